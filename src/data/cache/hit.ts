/**
 * Writes a cached response for one client: with its ID and spelling, aged TTLs, rotated records, and our OPT if it
 * sent one. The caller truncates the result if it is too large for the client.
 */
import type { Head } from '../serve/admit.ts'
import { ttlAt, type Entry } from './entry.ts'
import { CD, HEADER, QR, RD } from '../../wire/header.ts'
import { putOpt } from '../../wire/edns.ts'
import { copy, put16, put32, u16, u8 } from '../../wire/octets.ts'

/** Length of the response in octets. */
export const hitLength = (entry: Entry, head: Head): number =>
  entry.length + (head.edns ? 11 + (entry.ede < 0 ? 0 : 6 + (entry.edeText?.length ?? 0)) : 0)

/** The TTL of an entry at `now`: what is left of it, or its stale TTL after its end. */
export const shownTtl = (entry: Entry, now: number): number => {
  const left = Math.ceil((entry.expiresAt - now) / 1000)
  return left > 0 ? Math.min(left, entry.ttl) : entry.ttl === 0 ? 0 : entry.staleTtl
}

/**
 * Writes the response for the query at b[at] to out[outAt]; returns its length. `ede` and `text` replace the entry's
 * own, for stale answers.
 */
export const putHit = (
  entry: Entry,
  b: Uint8Array,
  at: number,
  head: Head,
  out: Uint8Array,
  outAt: number,
  ttl: number,
  ede = entry.ede,
  text = entry.edeText,
): number => {
  const { bytes: chunk, at: from } = entry
  out[outAt] = b[at]!
  out[outAt + 1] = b[at + 1]!
  out[outAt + 2] = QR | (u8(chunk, from + 2) & 0x04) | (b[at + 2]! & RD)
  out[outAt + 3] = u8(chunk, from + 3) | (b[at + 3]! & CD)
  copy(chunk, from + 4, from + HEADER, out, outAt + 4)
  const bodyAt = copy(b, at + HEADER, at + entry.questionEnd, out, outAt + HEADER)
  let end: number
  if (entry.rotateCount > 1) end = putRotated(entry, out, outAt, bodyAt, ttl)
  else {
    end = copy(chunk, from + entry.questionEnd, from + entry.length, out, bodyAt)
    for (let i = 0; i < entry.ttlCount; i++) put32(out, outAt + ttlAt(entry, i), ttl)
  }
  if (!head.edns) return end - outAt
  // Both octets must be updated: an answer may have 255 additional records before our OPT.
  put16(out, outAt + 10, u16(out, outAt + 10) + 1)
  return putOpt(out, end, head.dnssecOk, 0, ede, text) - outAt
}

/**
 * Like putHit, but the entry's run begins with the next record. Each record of the run has a two-octet owner, so it
 * begins six octets before its TTL and ends where the next one begins. No pointer leads into the run.
 */
const putRotated = (
  entry: Entry,
  out: Uint8Array,
  outAt: number,
  bodyAt: number,
  ttl: number,
): number => {
  const { bytes: chunk, at: from } = entry
  const { rotateFrom: first, rotateCount: count, ttlCount } = entry
  const runAt = ttlAt(entry, first) - 6
  const last = ttlAt(entry, first + count - 1)
  const runEnd = last + 6 + ((chunk[from + last + 4]! << 8) | chunk[from + last + 5]!)
  const k = entry.turn
  entry.turn = k + 1 < count ? k + 1 : 0
  const split = ttlAt(entry, first + k) - 6
  let end = copy(chunk, from + entry.questionEnd, from + runAt, out, bodyAt)
  end = copy(chunk, from + split, from + runEnd, out, end)
  end = copy(chunk, from + runAt, from + split, out, end)
  end = copy(chunk, from + runEnd, from + entry.length, out, end)
  const forward = runEnd - split
  const back = split - runAt
  for (let i = 0; i < ttlCount; i++) {
    const at = ttlAt(entry, i)
    const moved = i < first || i >= first + count ? at : i < first + k ? at + forward : at - back
    put32(out, outAt + moved, ttl)
  }
  return end
}
