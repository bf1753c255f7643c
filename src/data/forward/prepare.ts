/**
 * Converts a checked response to the form of the cache: no OPT, only records that belong to the question, a
 * forwarder's flags, and records that can be rotated in a uniform layout. Most responses already have this form, and
 * their octets are copied unchanged.
 */
import { NEGATIVE, POSITIVE, type Fill, type FillMeta } from '../cache/entry.ts'
import { TYPE } from '../../wire/codes.ts'
import { compose, type Rename } from '../../wire/compose.ts'
import { AA, HEADER, QR, RA, RCODE_MASK } from '../../wire/header.ts'
import { copy, put16, u16, u8 } from '../../wire/octets.ts'
import { ANSWER, Records, scan } from '../../wire/scan.ts'

const ROTATES: ReadonlySet<number> = new Set([TYPE.A, TYPE.AAAA, TYPE.SRV])

const work = Buffer.allocUnsafeSlow(65_535)
const mine = new Records()

/**
 * The fill for the response b[0, r.end) described by `r`, with the records in `keep` (undefined: all). Its `wire` is
 * reused by the next call. Undefined if the message cannot be written, because a name in its rdata is bad.
 */
export const prepare = (
  b: Uint8Array,
  r: Records,
  keep: readonly number[] | undefined,
  whole: boolean,
  meta: FillMeta,
  rename?: Rename,
): Fill | undefined => {
  let wire: Uint8Array = b
  let records = r
  const end = r.opt >= 0 ? r.at[r.opt]! : r.end
  const asItIs =
    rename === undefined &&
    pointsAtQuestion(b, r) &&
    whole &&
    (r.opt < 0 || r.opt === r.count - 1) &&
    runIsEven(b, r)
  if (asItIs) {
    wire = work
    copy(b, 0, end, work, 0)
    if (r.opt >= 0) put16(work, 10, u16(b, 10) - 1)
    records = r
  } else {
    const length = compose(b, r, byPriority(b, r, keep ?? allOf(r)), work, rename)
    if (length < 0 || !scan(work, length, mine)) return undefined
    wire = work
    records = mine
  }
  const count = records.opt >= 0 ? records.count - 1 : records.count
  wire[2] = QR | (meta.authoritative ? AA : 0)
  wire[3] = RA | (u8(wire, 3) & RCODE_MASK)
  const ttls = new Array<number>(count)
  for (let i = 0; i < count; i++) ttls[i] = records.ttlAt[i]!
  const length = asItIs ? end : records.end
  const [rotateFrom, rotateCount] = findRun(wire, records, count)
  return {
    meta,
    wire,
    length,
    qnameEnd: records.qnameEnd,
    questionEnd: records.questionEnd,
    qtype: records.qtype,
    ttls,
    rotateFrom,
    rotateCount,
  }
}

/** Numbers of all records but OPT. */
const allOf = (r: Records): number[] =>
  Array.from({ length: r.count }, (_, i) => i).filter(i => i !== r.opt)

/** SRV records ordered by priority; all others in their order. */
const byPriority = (b: Uint8Array, r: Records, keep: readonly number[]): readonly number[] => {
  const srv = keep.filter(i => r.section[i] === ANSWER && r.type[i] === TYPE.SRV)
  if (srv.length < 2) return keep
  srv.sort((i, j) => u16(b, r.rdataAt[i]!) - u16(b, r.rdataAt[j]!))
  let next = 0
  return keep.map(i => (r.section[i] === ANSWER && r.type[i] === TYPE.SRV ? srv[next++]! : i))
}

/**
 * The first run of answers that may be rotated: [first, count], count 0 for none. Of SRV records only those with the
 * best priority.
 */
const findRun = (b: Uint8Array, r: Records, count: number): [number, number] => {
  for (let i = 0; i < count && r.section[i] === ANSWER; i++) {
    if (!ROTATES.has(r.type[i]!) || !shortOwner(b, r, i)) continue
    let n = 1
    while (i + n < count && belongs(b, r, i, i + n)) n++
    return n > 1 ? [i, n] : [0, 0]
  }
  return [0, 0]
}

/**
 * Whether the first answer's owner is a pointer to the question, so that clients get their own spelling. Some
 * servers write the name again.
 */
const pointsAtQuestion = (b: Uint8Array, r: Records): boolean =>
  r.count === 0 || r.section[0] !== ANSWER || u16(b, r.at[0]!) === 0xc000 + HEADER

const shortOwner = (b: Uint8Array, r: Records, i: number): boolean => u8(b, r.at[i]!) >= 0xc0

/** Whether record j continues the run that begins with record i. */
const belongs = (b: Uint8Array, r: Records, i: number, j: number): boolean =>
  r.section[j] === ANSWER &&
  r.type[j] === r.type[i] &&
  shortOwner(b, r, j) &&
  u16(b, r.at[j]!) === u16(b, r.at[i]!) &&
  (r.type[i] !== TYPE.SRV || u16(b, r.rdataAt[j]!) === u16(b, r.rdataAt[i]!))

/**
 * Whether the run has a uniform layout: all owners are pointers to one place before the run, and no later name
 * points into it.
 */
const runIsEven = (b: Uint8Array, r: Records): boolean => {
  let first = -1
  for (let i = 0; i < r.count && r.section[i] === ANSWER; i++) {
    if (!ROTATES.has(r.type[i]!)) continue
    if (first < 0) first = i
    else if (r.type[i] === TYPE.SRV || !belongs(b, r, first, i)) return false
  }
  if (first < 0) return true
  const runAt = r.at[first]!
  if (r.count - first > 1 && !shortOwner(b, r, first)) return false
  for (let i = first; i < r.count; i++) {
    if (i !== r.opt && lastPointer(b, r.at[i]!, r.ttlAt[i]! - 4) >= runAt) return false
  }
  return true
}

/** The target of the pointer that ends a name, 0 if it has none. */
const lastPointer = (b: Uint8Array, at: number, end: number): number =>
  end - at >= 2 && u8(b, end - 2) >= 0xc0 ? u16(b, end - 2) & 0x3fff : 0

/** A response with only a header and the question, to be stored as a failure. */
export const bareFill = (
  question: Uint8Array,
  questionEnd: number,
  qtype: number,
  rcode: number,
  meta: FillMeta,
): Fill => {
  work.fill(0, 0, HEADER)
  copy(question, HEADER, questionEnd, work, HEADER)
  work[2] = QR | (meta.authoritative ? AA : 0)
  work[3] = RA | (rcode & RCODE_MASK)
  work[5] = 1
  return {
    meta,
    wire: work,
    length: questionEnd,
    qnameEnd: questionEnd - 4,
    questionEnd,
    qtype,
    ttls: [],
    rotateFrom: 0,
    rotateCount: 0,
  }
}

export const kindOf = (
  kind: 'positive' | 'alias' | 'nxdomain' | 'nodata',
): typeof POSITIVE | typeof NEGATIVE => (kind === 'positive' ? POSITIVE : NEGATIVE)
