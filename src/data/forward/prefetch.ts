/**
 * Refreshes names that clients ask often before they expire, so that no client has to wait. Each refresh needs at
 * least two hits before, so prefetches are at most half as many as the clients' questions.
 */
import { FAILURE, type Entry } from '../cache/entry.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import type { Question } from './query.ts'

/** Hits since the last fill that are required for a refresh. */
const LEAST_HITS = 2
/**
 * A refresh begins when at most this many hits are expected before the end. If hits come at random, in one of e⁴ =
 * 55 cases none comes before the end.
 */
const HITS_LEFT = 4

/**
 * Whether an entry is asked often and near its end: in the last tenth of its TTL, in its last second, or when few
 * more hits are expected; never in the first half.
 */
export const wantsRefresh = (entry: Entry, now: number): boolean => {
  const { hits } = entry
  if (hits < LEAST_HITS || entry.refreshing || entry.kind === FAILURE) return false
  const left = entry.expiresAt - now
  const ttl = entry.ttl * 1000
  if (left * 2 > ttl) return false
  return left * 10 < ttl || left < 1000 || left * hits < HITS_LEFT * (ttl - left)
}

/** The question of an entry. */
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
    hash: entry.hash,
    onTrial: false,
  }
}
