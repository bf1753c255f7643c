/**
 * Builds a message from records of another message: some left out, in another order, or under another suffix.
 * Compression pointers are only valid at their old place, so names are expanded and compressed again. Rdata
 * of an unknown layout is copied unchanged (RFC 3597 §4).
 *
 * Names may point to the question, to owners and to CNAME targets, but never into SRV rdata, so that SRV
 * records can be rotated later.
 */
import { TYPE } from './codes.ts'
import { HEADER } from './header.ts'
import { expandName, FOLD, MAX_NAME, type Budget, STEPS } from './name.ts'
import { copy, put16, u8 } from './octets.ts'
import { ADDITIONAL, ANSWER, AUTHORITY, type Records } from './scan.ts'

/**
 * Where names lie in rdata: 'n' stands for a name, a number for that many other octets. The octets after the
 * last item are copied.
 */
const LAYOUT: Readonly<Record<number, readonly (number | 'n')[]>> = {
  [TYPE.NS]: ['n'],
  [TYPE.CNAME]: ['n'],
  [TYPE.PTR]: ['n'],
  [TYPE.DNAME]: ['n'],
  [TYPE.SOA]: ['n', 'n'],
  [TYPE.MX]: [2, 'n'],
  [TYPE.SRV]: [6, 'n'],
  3: ['n'], // MD
  4: ['n'], // MF
  7: ['n'], // MB
  8: ['n'], // MG
  9: ['n'], // MR
  14: ['n', 'n'], // MINFO
  17: ['n', 'n'], // RP
  18: [2, 'n'], // AFSDB
  21: [2, 'n'], // RT
  26: [2, 'n', 'n'], // PX
  36: [2, 'n'], // KX
}
/** Types in whose rdata names may be compressed and may be pointed at. */
const COMPRESSED: ReadonlySet<number> = new Set([TYPE.NS, TYPE.CNAME, TYPE.PTR, TYPE.SOA, TYPE.MX])

/**
 * Changes an expanded name of `length` octets in place. Returns its new length, or -1 if the result is not a
 * valid name.
 */
export type Rename = (name: Uint8Array, length: number) => number
const same: Rename = (_name, length) => length

const scratch = Buffer.alloc(2 * MAX_NAME + 2)

/**
 * Offsets of names already written, by their lower-case octets. A pointer cannot reach offsets past 0x3fff.
 */
class Written {
  readonly #at = new Map<string, number>()

  /**
   * Writes the plain name scratch[0, length) at `at`, with a pointer to an earlier name where allowed.
   * Returns the offset after it.
   */
  put(out: Uint8Array, at: number, length: number, mayPoint: boolean, remember: boolean): number {
    let from = 0
    for (;;) {
      const n = u8(scratch, from)
      if (n === 0) {
        out[at] = 0
        return at + 1
      }
      const key = foldedKey(from, length)
      const seen = this.#at.get(key)
      if (seen !== undefined && mayPoint) {
        put16(out, at, 0xc000 | seen)
        return at + 2
      }
      if (seen === undefined && remember && at < 0x4000) this.#at.set(key, at)
      at = copy(scratch, from, from + n + 1, out, at)
      from += n + 1
    }
  }
}

const foldedKey = (from: number, end: number): string => {
  let key = ''
  for (let i = from; i < end; i++) key += String.fromCharCode(FOLD[scratch[i]!]!)
  return key
}

/**
 * Writes a message with the header of `b` and the kept records to `out`. `kept` holds record numbers in `r`
 * in their new order, sections ascending; OPT is never kept. Without `compress` no pointer is written, so the
 * records can be moved. Returns the length, or -1 if a name is bad or `out` is too small.
 */
export const compose = (
  b: Uint8Array,
  r: Records,
  keep: readonly number[],
  out: Uint8Array,
  rename: Rename = same,
  compress = true,
): number => {
  const budget: Budget = { steps: STEPS }
  const written = new Written()
  const name = (from: number, limit: number): number => {
    const length = expandName(b, from, limit, scratch, budget)
    return length < 0 ? -1 : rename(scratch, length)
  }
  copy(b, 0, HEADER, out, 0)
  let at = HEADER
  if (r.questionEnd > HEADER) {
    const length = name(HEADER, r.questionEnd)
    if (length < 0) return -1
    at = written.put(out, at, length, false, true)
    at = copy(b, r.qnameEnd, r.questionEnd, out, at)
  }
  const counts = [0, 0, 0, 0]
  for (const i of keep) {
    if (i === r.opt) continue
    const rdataAt = r.rdataAt[i]!
    const rdataEnd = r.rdataEnd[i]!
    // The largest size that a record can grow to: two names of 255 octets more than before.
    if (at + (rdataEnd - rdataAt) + 3 * MAX_NAME + 10 > out.length) return -1
    const length = name(r.at[i]!, r.end)
    if (length < 0) return -1
    at = written.put(out, at, length, compress, true)
    at = copy(b, r.ttlAt[i]! - 4, rdataAt - 2, out, at)
    const lengthAt = at
    at += 2
    let from = rdataAt
    const type = r.type[i]!
    for (const part of LAYOUT[type] ?? []) {
      if (part === 'n') {
        const end = nameEnd(b, from, rdataEnd)
        const length = end < 0 ? -1 : name(from, rdataEnd)
        if (length < 0) return -1
        at = written.put(out, at, length, compress && COMPRESSED.has(type), COMPRESSED.has(type))
        from = end
      } else {
        if (from + part > rdataEnd) return -1
        at = copy(b, from, from + part, out, at)
        from += part
      }
    }
    at = copy(b, from, rdataEnd, out, at)
    if (at - lengthAt - 2 > 0xffff) return -1
    put16(out, lengthAt, at - lengthAt - 2)
    counts[r.section[i]!]!++
  }
  put16(out, 6, counts[ANSWER]!)
  put16(out, 8, counts[AUTHORITY]!)
  put16(out, 10, counts[ADDITIONAL]!)
  return at > 0xffff ? -1 : at
}

/** The offset just past a name, as stored; -1 if it is not complete. */
const nameEnd = (b: Uint8Array, at: number, end: number): number => {
  while (at < end) {
    const n = u8(b, at)
    if (n === 0) return at + 1
    if (n >= 0xc0) return at + 2 <= end ? at + 2 : -1
    at += n + 1
  }
  return -1
}
