/**
 * The OPT record (RFC 6891), which is per hop: a client's is read here and
 * answered with one of our own; an upstream's is read and cut off.
 *
 *     0  root owner (0)       5  extended RCODE
 *     1  TYPE 41              6  version
 *     3  CLASS: payload size  7  DO and Z
 *                             9  RDLENGTH, then options
 */
import { TYPE } from './codes.ts'
import { copy, put16, u16, u8 } from './octets.ts'

/** An OPT without options. */
export const OPT_LENGTH = 11
/**
 * The UDP payload size that we offer, and the most that we send: small enough to avoid fragments (DNS flag
 * day 2020, RFC 9715).
 */
export const PAYLOAD = 1232
/** The size limit without EDNS, and for a client that offers less (RFC 6891 §6.2.3). */
export const MIN_PAYLOAD = 512

const EDE_OPTION = 15
const KEEPALIVE_OPTION = 11
const NSID_OPTION = 3

/**
 * Writes our OPT at `at`; returns the offset after it. `extended` is the whole RCODE; its upper eight bits
 * are stored here. `ede` is an info code, or -1 for none; `text` explains it. Options that we do not know are
 * never echoed.
 */
export const putOpt = (
  b: Uint8Array,
  at: number,
  dnssecOk: boolean,
  extended = 0,
  ede = -1,
  text: Uint8Array | undefined = undefined,
): number => {
  b[at] = 0
  put16(b, at + 1, TYPE.OPT)
  put16(b, at + 3, PAYLOAD)
  b[at + 5] = extended >> 4
  b[at + 6] = 0
  b[at + 7] = dnssecOk ? 0x80 : 0
  b[at + 8] = 0
  const textLength = ede < 0 ? 0 : (text?.length ?? 0)
  put16(b, at + 9, ede < 0 ? 0 : 6 + textLength)
  at += OPT_LENGTH
  if (ede < 0) return at
  put16(b, at, EDE_OPTION)
  put16(b, at + 2, 2 + textLength)
  put16(b, at + 4, ede)
  return text ? copy(text, 0, textLength, b, at + 6) : at + 6
}

/** The EDE info code and text in the options at [at, end); undefined if there is none. */
export const readEde = (
  b: Uint8Array,
  at: number,
  end: number,
): { code: number; text: string } | undefined => {
  while (at + 4 <= end) {
    const length = u16(b, at + 2)
    const next = at + 4 + length
    if (next > end) return undefined
    if (u16(b, at) === EDE_OPTION && length >= 2) {
      return { code: u16(b, at + 4), text: Buffer.from(b.subarray(at + 6, next)).toString('utf8') }
    }
    at = next
  }
  return undefined
}

/** Whether all options lie completely within [at, end). */
export const optionsFit = (b: Uint8Array, at: number, end: number): boolean => {
  while (at + 4 <= end) at += 4 + u16(b, at + 2)
  return at === end
}

/** Whether the options at [at, end) contain an option of this code. */
export const hasOption = (
  b: Uint8Array,
  at: number,
  end: number,
  code: 'keepalive' | 'nsid',
): boolean => {
  const wanted = code === 'keepalive' ? KEEPALIVE_OPTION : NSID_OPTION
  while (at + 4 <= end) {
    if (u16(b, at) === wanted) return true
    at += 4 + u16(b, at + 2)
  }
  return false
}

/** Adds an option to the OPT record that ends the message at `end`; returns the new end. */
export const addOption = (
  b: Uint8Array,
  optAt: number,
  end: number,
  code: 'keepalive' | 'nsid',
  data: Uint8Array,
): number => {
  put16(b, end, code === 'keepalive' ? KEEPALIVE_OPTION : NSID_OPTION)
  put16(b, end + 2, data.length)
  copy(data, 0, data.length, b, end + 4)
  put16(b, optAt + 9, u16(b, optAt + 9) + 4 + data.length)
  return end + 4 + data.length
}

/** The upper eight bits of the RCODE, from the OPT whose rdata begins at `rdataAt`. */
export const extendedRcode = (b: Uint8Array, rdataAt: number): number => u8(b, rdataAt - 6)
