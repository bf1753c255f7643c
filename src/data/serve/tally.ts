/** Counts answered queries: type, RCODE, sizes, latency, and cache look-ups. */
import {
  BLOCK,
  countSize,
  countTime,
  KINDS,
  RCODE_LABELS,
  rcodeIndex,
  SIZE_CELLS,
  TIME_CELLS,
  TYPE_LABELS,
  typeIndex,
  ZONES,
} from '../../boundary/counters.ts'
import type { Head } from './admit.ts'

/** The index for a listener and a zone in counters that have both as labels. */
const cell = (server: number, zone: number): number => server * ZONES + zone

/** `proto` 0 UDP, 1 TCP; `family` 0 IPv4, 1 IPv6; `asked` and `said` in octets. */
export const tally = (
  c: Float64Array,
  server: number,
  zone: number,
  proto: number,
  family: number,
  head: Head,
  rcode: number,
  asked: number,
  said: number,
): void => {
  const at = cell(server, zone)
  const type = typeIndex(head.questionEnd > 0 ? head.qtype : 0)
  c[BLOCK.requests + ((at * 2 + proto) * 2 + family) * TYPE_LABELS.length + type]! += 1
  c[BLOCK.responses + at * RCODE_LABELS.length + rcodeIndex(rcode)]! += 1
  if (head.dnssecOk) c[BLOCK.doRequests + at]! += 1
  const sizes = (at * 2 + proto) * SIZE_CELLS
  countSize(c, BLOCK.requestSize + sizes, asked)
  countSize(c, BLOCK.responseSize + sizes, said)
}

/** Counts `n` answers that took `ms`. */
export const tallyTime = (c: Float64Array, server: number, zone: number, ms: number, n = 1): void =>
  countTime(c, BLOCK.duration + cell(server, zone) * TIME_CELLS, Math.max(0, ms) / 1000, n)

/** Counts one cache look-up. `kind`: 0 a positive hit, 1 a negative hit, -1 a miss. */
export const tallyLookup = (c: Float64Array, server: number, zone: number, kind: number): void => {
  const at = cell(server, zone)
  c[BLOCK.lookups + at]! += 1
  if (kind >= 0) c[BLOCK.hits + at * KINDS.length + kind]! += 1
}
