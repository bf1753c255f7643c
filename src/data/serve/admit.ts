/**
 * Decides from a query's octets, before any look-up, whether it is dropped, answered at once with an error, or
 * accepted. Rules from RFC 1035, 6891, 8906 and 9619. Every valid query gets a response.
 */
import { CLASS, EDE, RCODE, TYPE } from '../../wire/codes.ts'
import { CD, HEADER, OPCODE_MASK, QR, RD } from '../../wire/header.ts'
import { MIN_PAYLOAD, optionsFit } from '../../wire/edns.ts'
import { skipName, skipPlainName } from '../../wire/name.ts'
import { u16, u8 } from '../../wire/octets.ts'

export const ACCEPT = 0
/** Fewer than twelve octets: too short to be answered. */
export const DROP_RUNT = 1
/** QR=1: answering a response could start a loop. */
export const DROP_RESPONSE = 2
/** `head.rcode` must be answered at once. */
export const REPLY = 3
export type Verdict = typeof ACCEPT | typeof DROP_RUNT | typeof DROP_RESPONSE | typeof REPLY

/** What admission reads from a query. A single object, overwritten for each query. */
export class Head {
  /** RCODE of the answer if the verdict is REPLY. */
  rcode = 0
  /** Extended error code, -1 for none. */
  ede = -1
  /** Offsets just past the name and the question, from the start of the message; 0 without a valid question. */
  qnameEnd = 0
  questionEnd = 0
  qtype = 0
  qclass = 0
  /** The query has an OPT record, so its response must have one. */
  edns = false
  dnssecOk = false
  checkingDisabled = false
  recursionDesired = false
  /** UDP payload size of the client. */
  payload = MIN_PAYLOAD
  /** Offsets of the OPT's options from the start of the message. */
  optionsAt = 0
  optionsEnd = 0
}

const reject = (head: Head, rcode: number, ede = -1): Verdict => {
  head.rcode = rcode
  head.ede = ede
  return REPLY
}

/**
 * Reads the query of `length` octets at `at` into `head`. A rejected query is searched for an OPT, because its error
 * response must have one, too (RFC 6891 §6.1.1).
 */
export const admit = (b: Uint8Array, at: number, length: number, head: Head): Verdict => {
  const verdict = judge(b, at, length, head)
  if (verdict === REPLY && !head.edns) findOpt(b, at, at + length, head)

  return verdict
}

const judge = (b: Uint8Array, at: number, length: number, head: Head): Verdict => {
  if (length < HEADER) return DROP_RUNT
  const flags = u8(b, at + 2)
  if (flags & QR) return DROP_RESPONSE
  head.questionEnd = 0
  head.edns = head.dnssecOk = false
  head.payload = MIN_PAYLOAD
  head.optionsAt = head.optionsEnd = 0
  head.recursionDesired = (flags & RD) !== 0
  head.checkingDisabled = (u8(b, at + 3) & CD) !== 0
  if (flags & OPCODE_MASK) return reject(head, RCODE.NOTIMP, EDE.NOT_SUPPORTED)
  if (u16(b, at + 4) !== 1) return reject(head, RCODE.FORMERR)
  const end = at + length
  const nameEnd = skipPlainName(b, at + HEADER, end)
  if (nameEnd < 0 || nameEnd + 4 > end) return reject(head, RCODE.FORMERR)
  head.qtype = u16(b, nameEnd)
  head.qclass = u16(b, nameEnd + 2)
  const rest = nameEnd + 4
  head.qnameEnd = nameEnd - at
  head.questionEnd = rest - at
  const additional = u16(b, at + 10)
  // Most queries end here: nothing more, or a single OPT without options.
  if ((u16(b, at + 6) | u16(b, at + 8)) !== 0) {
    if (head.qtype === TYPE.IXFR) return reject(head, RCODE.REFUSED, EDE.NOT_SUPPORTED)
    return reject(head, RCODE.FORMERR)
  }
  if (additional !== 0) {
    const verdict = readAdditional(b, at, rest, end, additional, head)
    if (verdict !== ACCEPT) return verdict
  } else if (rest !== end) return reject(head, RCODE.FORMERR)
  if (head.qtype > 127 && head.qtype < 256) {
    if (head.qtype === TYPE.AXFR || head.qtype === TYPE.IXFR)
      return reject(head, RCODE.REFUSED, EDE.NOT_SUPPORTED)
    if (head.qtype === TYPE.TSIG || head.qtype === 249) return reject(head, RCODE.FORMERR)
  } else if (head.qtype === TYPE.OPT || head.qtype === 0) return reject(head, RCODE.FORMERR)
  if (head.qclass !== CLASS.IN && head.qclass !== CLASS.CH)
    return reject(head, RCODE.REFUSED, EDE.NOT_SUPPORTED)
  return ACCEPT
}

const readAdditional = (
  b: Uint8Array,
  start: number,
  at: number,
  end: number,
  count: number,
  head: Head,
): Verdict => {
  for (let i = 0; i < count; i++) {
    const owner = at
    at = skipName(b, at, end)
    if (at < 0 || at + 10 > end) return reject(head, RCODE.FORMERR)
    const type = u16(b, at)
    const rdataAt = at + 10
    const rdataEnd = rdataAt + u16(b, at + 8)
    if (rdataEnd > end) return reject(head, RCODE.FORMERR)
    if (type === TYPE.OPT) {
      if (head.edns || u8(b, owner) !== 0) return reject(head, RCODE.FORMERR)
      head.edns = true
      head.dnssecOk = (u8(b, at + 6) & 0x80) !== 0
      head.payload = Math.max(MIN_PAYLOAD, u16(b, at + 2))
      if (u8(b, at + 5) !== 0) return reject(head, RCODE.BADVERS)
      if (rdataAt !== rdataEnd) {
        if (!optionsFit(b, rdataAt, rdataEnd)) return reject(head, RCODE.FORMERR)
        head.optionsAt = rdataAt - start
        head.optionsEnd = rdataEnd - start
      }
    } else if (type === TYPE.TSIG) {
      // A signed query must not be forwarded without its signature (RFC 8945 §5.5).
      return reject(head, RCODE.REFUSED, EDE.NOT_SUPPORTED)
    }
    at = rdataEnd
  }
  return at === end ? ACCEPT : reject(head, RCODE.FORMERR)
}

/**
 * Searches a rejected query for an OPT, whatever its opcode and counts. Stops at the first invalid octet, so it
 * costs at most one walk over the message.
 */
const findOpt = (b: Uint8Array, start: number, end: number, head: Head): void => {
  let at = start + HEADER
  for (let i = u16(b, start + 4); i > 0; i--) {
    at = skipName(b, at, end)
    if (at < 0 || at + 4 > end) return
    at += 4
  }
  const before = u16(b, start + 6) + u16(b, start + 8)
  const total = before + u16(b, start + 10)
  for (let i = 0; i < total; i++) {
    const owner = at
    at = skipName(b, at, end)
    if (at < 0 || at + 10 > end) return
    if (i >= before && u16(b, at) === TYPE.OPT && u8(b, owner) === 0) {
      head.edns = true
      head.dnssecOk = (u8(b, at + 6) & 0x80) !== 0
      return
    }
    at += 10 + u16(b, at + 8)
    if (at > end) return
  }
}
