/**
 * Refreshing names that are asked again before they end, so that nobody waits
 * for a name that is asked often. Each refresh follows at least two hits, so
 * prefetches never outnumber half of what clients ask.
 */
import { FAILURE, type Entry } from '../cache/entry.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import type { Question } from './query.ts'

/** Hits since its fill that make a name worth a refresh. */
const LEAST_HITS = 2
/**
 * A refresh begins when no more than this many hits can still be expected: if
 * hits come at random, one time in e⁴ = 55 none comes before the end.
 */
const HITS_LEFT = 4

/**
 * Whether an entry is asked often and near its end: in the last tenth of its
 * TTL, its last second, or where few more hits are to be expected; never in
 * the first half.
 */
export const wantsRefresh = (entry: Entry, now: number): boolean => {
  const { hits } = entry
  if (hits < LEAST_HITS || entry.refreshing || entry.kind === FAILURE) return false
  const left = entry.expiresAt - now
  const ttl = entry.ttl * 1000
  if (left * 2 > ttl) return false
  return left * 10 < ttl || left < 1000 || left * hits < HITS_LEFT * (ttl - left)
}

/** The question that an entry answers. */
export const questionOf = (entry: Entry): Question => {
  const { bytes, at } = entry
  const wire = Buffer.from(bytes.subarray(at, at + entry.questionEnd))
  return {
    wire,
    qnameEnd: entry.qnameEnd,
    questionEnd: entry.questionEnd,
    qtype: entry.qtype,
    dnssecOk: (entry.bits & 1) !== 0,
    checkingDisabled: (entry.bits & 2) !== 0,
    name: foldedText(wire, HEADER),
  }
}
