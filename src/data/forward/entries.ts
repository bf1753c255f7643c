/**
 * Creates the entries that clients are answered from: in the packet cache if possible, otherwise outside for one
 * answer.
 */
import { Entry, FAILURE, room, type Fill, type FillMeta, type Kind } from '../cache/entry.ts'
import type { PacketCache } from '../cache/packet-cache.ts'
import { Chunk } from '../cache/slab.ts'
import type { Validity } from '../cache/validity.ts'
import { RCODE } from '../../wire/codes.ts'
import { bareFill } from './prepare.ts'
import type { Question } from './query.ts'

export type EntryContext = {
  readonly cache: PacketCache
  readonly validity: Validity
  readonly now: () => number
}

/** Stores a fill in the cache. One with TTL 0, or a too large one, is only used for this answer. */
export const keep = (fill: Fill, { cache, now, validity }: EntryContext): Entry => {
  const t = now()
  return (fill.meta.ttl >= 1 && cache.fill(fill, t, validity.epoch)) || apart(fill, t)
}

/** An entry outside the cache. */
export const apart = (fill: Fill, now: number): Entry => {
  const entry = new Entry().point(new Chunk((room(fill) + 7) & ~7), 0)
  entry.store(fill, 0, now)
  entry.apart = true
  return entry
}

/** Gives an entry with TTL 0, which is made from a stale one, the age of that one. */
export const keepAge = (entry: Entry, original: Entry): void => {
  if (entry.apart && entry.ttl === 0) entry.expiresAt = original.storedAt
}

/**
 * Common properties of fills. `zone` is the metric label, `source` the number that the answer depends on; `stale` and
 * `staleTtl` as in FillMeta.
 */
export const metaOf = (
  question: Question,
  kind: Kind,
  ttl: number,
  zone: number,
  source: number,
  authoritative: boolean,
  stale = 0,
  staleTtl = 1,
): FillMeta => ({
  kind,
  ttl,
  stale,
  staleTtl,
  ede: -1,
  edeText: '',
  zone,
  source,
  several: false,
  failures: 0,
  dnssecOk: question.dnssecOk,
  checkingDisabled: question.checkingDisabled,
  onTrial: question.onTrial,
  authoritative,
})

/** Why a question has no answer. */
export type Reason = {
  readonly rcode: number
  /** Extended error code (RFC 8914). */
  readonly ede: number
  /** Text for the person who runs dig. */
  readonly why: string
}

/** A response with an error, not stored. `zone` is the metric label. */
export const failureEntry = (
  question: Question,
  zone: number,
  { rcode, ede, why }: Reason,
  now: number,
): Entry => {
  const meta = { ...metaOf(question, FAILURE, 0, zone, 0, false), ede, edeText: why }
  return apart(bareFill(question.wire, question.questionEnd, question.qtype, rcode, meta), now)
}

/** SERVFAIL with a reason. */
export const servfail = (ede: number, why: string): Reason => ({ rcode: RCODE.SERVFAIL, ede, why })

/** The text of an entry's extended error. */
export const edeTextOf = ({ edeText }: Entry): string =>
  edeText ? Buffer.from(edeText).toString() : ''

/** Remaining lifetime of an entry in whole seconds. */
export const secondsLeft = ({ expiresAt }: Entry, now: number): number =>
  Math.max(0, Math.ceil((expiresAt - now) / 1000))
