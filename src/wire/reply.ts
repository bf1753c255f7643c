/**
 * Responses without records: the header, the question as the client sent it, and our OPT. Used for SERVFAIL,
 * REFUSED, FORMERR and similar.
 */
import { RCODE } from './codes.ts'
import { HEADER, OPCODE_MASK, QR, RA, RD, CD, RCODE_MASK, TC } from './header.ts'
import { putOpt } from './edns.ts'
import { copy, u8 } from './octets.ts'

/** The parts of the query that such a response repeats. */
export type Asked = {
  /** The offset just past the question, from the start of the query; 0 leaves the question out. */
  readonly questionEnd: number
  readonly edns: boolean
  readonly dnssecOk: boolean
}

/**
 * Writes a response without records to the query at `at` of `query`; its
 * length. QR is always set, Z and AD always clear. RD and RA mean something in a
 * QUERY only (RFC 8906 §3): RD is the query's there, and RA is set. CD is the query's where the query was processed, and
 * clear in an error that rejects it (RFC 4035 §3.2.2). `text` goes with the EDE.
 */
export const putReply = (
  query: Uint8Array,
  at: number,
  asked: Asked,
  rcode: number,
  out: Uint8Array,
  outAt: number,
  ede = -1,
  text: Uint8Array | undefined = undefined,
  truncated = false,
): number => {
  const flags = u8(query, at + 2)
  const isQuery = (flags & OPCODE_MASK) === 0
  const processed = isQuery && (rcode === RCODE.NOERROR || rcode === RCODE.SERVFAIL)
  out[outAt] = u8(query, at)
  out[outAt + 1] = u8(query, at + 1)
  out[outAt + 2] = QR | (flags & (isQuery ? RD : OPCODE_MASK)) | (truncated ? TC : 0)
  out[outAt + 3] =
    (isQuery ? RA : 0) | (processed ? u8(query, at + 3) & CD : 0) | (rcode & RCODE_MASK)
  out.fill(0, outAt + 4, outAt + HEADER)
  let end = outAt + HEADER
  if (asked.questionEnd > 0) {
    out[outAt + 5] = 1
    end = copy(query, at + HEADER, at + asked.questionEnd, out, end)
  }
  if (asked.edns) {
    out[outAt + 11] = 1
    end = putOpt(out, end, asked.dnssecOk, rcode, ede, text)
  }
  return end - outAt
}

/** putReply into a new Buffer. */
export const reply = (
  query: Uint8Array,
  asked: Asked,
  rcode: number,
  ede = -1,
  text?: string,
  truncated = false,
): Buffer => {
  const words = text === undefined ? undefined : Buffer.from(text)
  const out = Buffer.allocUnsafe(HEADER + asked.questionEnd + 17 + (words?.length ?? 0))
  return out.subarray(0, putReply(query, 0, asked, rcode, out, 0, ede, words, truncated))
}
