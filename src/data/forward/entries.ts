/**
 * Makes the entries that answers are given from: kept in the packet cache
 * where they may be, or living just long enough for one answer.
 */
import { Entry, FAILURE, room, type Fill, type FillMeta, type Kind } from '../cache/entry.ts'
import type { PacketCache } from '../cache/packet-cache.ts'
import { Chunk } from '../cache/slab.ts'
import { bareFill } from './prepare.ts'
import type { Question } from './query.ts'

export type EntryMeans = {
  readonly cache: PacketCache
  readonly now: () => number
  /** The number that tells a hit whether an entry has been checked against the present routes. */
  readonly epoch: () => number
}

/** Puts a fill into the cache; with TTL 0, or too large, it only lives long enough to be answered from. */
export const keep = (fill: Fill, { cache, now, epoch }: EntryMeans): Entry => {
  const t = now()
  return (fill.meta.ttl >= 1 && cache.fill(fill, t, epoch())) || passing(fill, t)
}

/** What most fills have in common. `zone` is the metric label, `source` the number the answer depends on. */
export const metaOf = (
  question: Question,
  kind: Kind,
  ttl: number,
  zone: number,
  source: number,
  authoritative: boolean,
): FillMeta => ({
  kind,
  ttl,
  stale: 0,
  staleTtl: 1,
  ede: -1,
  edeText: '',
  zone,
  source,
  failures: 0,
  dnssecOk: question.dnssecOk,
  checkingDisabled: question.checkingDisabled,
  authoritative,
})

/** A response of our own that says what went wrong, not kept. `text` is for the person who runs dig. */
export const failureEntry = (
  question: Question,
  zone: number,
  source: number,
  rcode: number,
  ede: number,
  text: string,
  now: number,
): Entry => {
  const meta: FillMeta = {
    ...metaOf(question, FAILURE, 0, zone, source, false),
    ede,
    edeText: text,
  }
  return passing(bareFill(question.wire, question.questionEnd, question.qtype, rcode, meta), now)
}

/** An entry outside the cache. */
const passing = (fill: Fill, now: number): Entry => {
  const entry = new Entry().point(new Chunk((room(fill) + 7) & ~7), 0)
  entry.store(fill, 0, now)
  return entry
}
