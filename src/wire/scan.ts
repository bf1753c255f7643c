/**
 * One walk over a response that checks every length, so that later code can rely on them. It stores the
 * positions of the records in a table that is reused, and decodes nothing. RDLENGTH alone decides where a
 * record ends: a reader that uses the type's layout instead would misplace the next record.
 */
import { CLASS, TYPE } from './codes.ts'
import { HEADER, ancount, arcount, nscount, qdcount } from './header.ts'
import { skipName, skipPlainName } from './name.ts'
import { u16, u32, u8 } from './octets.ts'

export type Section = 1 | 2 | 3
export const ANSWER = 1
export const AUTHORITY = 2
export const ADDITIONAL = 3

/** Limit of records in one message. A 64 KB message of the smallest records has 5,957. */
export const MAX_RECORDS = 6000

/** Positions in the message that was scanned last. The next scan overwrites them. */
export class Records {
  /** Records found, OPT included. */
  count = 0
  /** The offset just past the question; HEADER if there is none. */
  questionEnd = 0
  qnameEnd = 0
  qtype = 0
  qclass = 0
  /** Index of the OPT record, -1 if there is none. */
  opt = -1
  /** The offset just past the last record; octets after it are ignored. */
  end = 0
  readonly section = new Uint8Array(MAX_RECORDS)
  /** Offset of each record's owner name. */
  readonly at = new Int32Array(MAX_RECORDS)
  readonly type = new Uint16Array(MAX_RECORDS)
  readonly class = new Uint16Array(MAX_RECORDS)
  readonly ttlAt = new Int32Array(MAX_RECORDS)
  readonly rdataAt = new Int32Array(MAX_RECORDS)
  readonly rdataEnd = new Int32Array(MAX_RECORDS)
}

/**
 * Walks a response of `length` octets. Returns true if it is well formed: at most one question, with a plain
 * name; every record inside the message; at most one OPT, with the root as owner, in the additional section
 * (RFC 6891 §6.1.1).
 */
export const scan = (b: Uint8Array, length: number, r: Records): boolean => {
  r.count = 0
  r.opt = -1
  if (length < HEADER) return false
  const qd = qdcount(b)
  if (qd > 1) return false
  let at = HEADER
  r.qnameEnd = r.questionEnd = at
  if (qd === 1) {
    at = skipPlainName(b, at, length)
    if (at < 0 || at + 4 > length) return false
    r.qnameEnd = at
    r.qtype = u16(b, at)
    r.qclass = u16(b, at + 2)
    r.questionEnd = at += 4
  }
  const answers = ancount(b)
  const authority = answers + nscount(b)
  const total = authority + arcount(b)
  if (total > MAX_RECORDS) return false
  for (let i = 0; i < total; i++) {
    const owner = at
    at = skipName(b, at, length)
    if (at < 0 || at + 10 > length) return false
    const rdataEnd = at + 10 + u16(b, at + 8)
    if (rdataEnd > length) return false
    const type = u16(b, at)
    if (type === TYPE.OPT) {
      if (r.opt >= 0 || i < authority || u8(b, owner) !== 0) return false
      r.opt = i
    }
    r.section[i] = i < answers ? ANSWER : i < authority ? AUTHORITY : ADDITIONAL
    r.at[i] = owner
    r.type[i] = type
    r.class[i] = u16(b, at + 2)
    r.ttlAt[i] = at + 4
    r.rdataAt[i] = at + 10
    r.rdataEnd[i] = rdataEnd
    at = rdataEnd
  }
  r.count = total
  r.end = at
  return true
}

/** TTL; a set top bit counts as zero (RFC 2181 §8). */
export const ttlOf = (b: Uint8Array, r: Records, i: number): number => {
  const ttl = u32(b, r.ttlAt[i]!)
  return ttl > 0x7fffffff ? 0 : ttl
}

export const isIn = (r: Records, i: number): boolean => r.class[i] === CLASS.IN
