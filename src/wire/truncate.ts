/**
 * Makes a response fit a client's size limit by removing whole RRsets from the end (RFC 2181 §9). Removing
 * additional data is silent; removing authority or answer records sets TC.
 */
import { HEADER, TC } from './header.ts'
import { skipPlainName } from './name.ts'
import { copy, put16, u8 } from './octets.ts'
import { ADDITIONAL, ANSWER, AUTHORITY, Records, scan } from './scan.ts'

const records = new Records()

/**
 * Cuts the response b[0, length) to at most `limit` octets, which must hold the question and the OPT; returns
 * the new length. An OPT at the end is moved behind the records that remain. A response that cannot be parsed
 * is cut to its question and sets TC, so that the client asks again over TCP.
 */
export const truncate = (b: Uint8Array, length: number, limit: number): number => {
  if (length <= limit) return length
  if (!scan(b, length, records)) return onlyQuestion(b, length)
  const r = records
  const hasOpt = r.opt >= 0 && r.opt === r.count - 1
  const optAt = hasOpt ? r.at[r.opt]! : length
  const optLength = length - optAt
  let kept = hasOpt ? r.count - 1 : r.count
  let end = optAt
  let cutSection = 4
  while (kept > 0 && end + optLength > limit) {
    const last = kept - 1
    cutSection = r.section[last]!
    // Step back over the whole RRset: neighbouring records of one section, type and owner.
    while (kept > 0 && sameRrset(b, r, kept - 1, last)) kept--
    end = r.at[kept]!
  }
  if (end + optLength > limit) end = r.questionEnd
  const counts = [0, 0, 0, hasOpt ? 1 : 0]
  for (let i = 0; i < kept; i++) counts[r.section[i]!]!++
  put16(b, 6, counts[ANSWER]!)
  put16(b, 8, counts[AUTHORITY]!)
  put16(b, 10, counts[ADDITIONAL]!)
  if (cutSection < ADDITIONAL) b[2] = u8(b, 2) | TC
  copy(b, optAt, length, b, end)
  return Math.max(HEADER, end + optLength)
}

/** Cuts a response that cannot be parsed to its question, or to its header if the question is damaged too. */
const onlyQuestion = (b: Uint8Array, length: number): number => {
  const nameEnd = skipPlainName(b, HEADER, length)
  const whole = nameEnd >= 0 && nameEnd + 4 <= length
  b[2] = u8(b, 2) | TC
  put16(b, 4, whole ? 1 : 0)
  for (let at = 6; at < HEADER; at += 2) put16(b, at, 0)
  return whole ? nameEnd + 4 : HEADER
}

const sameRrset = (b: Uint8Array, r: Records, i: number, j: number): boolean => {
  if (r.section[i] !== r.section[j] || r.type[i] !== r.type[j]) return false
  const a = r.at[i]!
  const c = r.at[j]!
  const length = r.ttlAt[i]! - 4 - a
  if (length !== r.ttlAt[j]! - 4 - c) return false
  for (let k = 0; k < length; k++) if (b[a + k] !== b[c + k]) return false
  return true
}
