/** Adds one answered query to the counters: what was asked, what was said, and how large both were. */
import {
  BLOCK,
  countSize,
  KINDS,
  RCODE_LABELS,
  rcodeIndex,
  SIZE_CELLS,
  TYPE_LABELS,
  typeIndex,
  ZONES,
} from '../../boundary/counters.ts'

/** Columns shared by all that is counted about one query. */
export const cell = (server: number, zone: number): number => server * ZONES + zone

export const tally = (
  c: Float64Array,
  at: number,
  proto: number,
  family: number,
  qtype: number,
  dnssecOk: boolean,
  rcode: number,
  asked: number,
  said: number,
): void => {
  c[BLOCK.requests + ((at * 2 + proto) * 2 + family) * TYPE_LABELS.length + typeIndex(qtype)]! += 1
  c[BLOCK.responses + at * RCODE_LABELS.length + rcodeIndex(rcode)]! += 1
  if (dnssecOk) c[BLOCK.doRequests + at]! += 1
  const sizes = (at * 2 + proto) * SIZE_CELLS
  countSize(c, BLOCK.requestSize + sizes, asked)
  countSize(c, BLOCK.responseSize + sizes, said)
}

/** One look into the cache; `kind` 0 a positive hit, 1 a negative one, -1 a miss. */
export const tallyLookup = (c: Float64Array, at: number, kind: number): void => {
  c[BLOCK.lookups + at]! += 1
  if (kind >= 0) c[BLOCK.hits + at * KINDS.length + kind]! += 1
}
