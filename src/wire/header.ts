/**
 * The twelve octets every message begins with (RFC 1035 §4.1.1):
 *
 *     0  ID                4  QDCOUNT
 *     2  QR OPCODE AA TC RD   6  ANCOUNT
 *     3  RA Z AD CD RCODE     8  NSCOUNT
 *                         10  ARCOUNT
 */
import { u16, u8 } from './octets.ts'

export const HEADER = 12

/** Bits of octet 2. */
export const QR = 0x80
export const OPCODE_MASK = 0x78
export const AA = 0x04
export const TC = 0x02
export const RD = 0x01
/** Bits of octet 3. */
export const RA = 0x80
export const Z = 0x40
export const AD = 0x20
export const CD = 0x10
export const RCODE_MASK = 0x0f

export const id = (b: Uint8Array, at = 0): number => u16(b, at)
export const opcode = (b: Uint8Array, at = 0): number => (u8(b, at + 2) & OPCODE_MASK) >> 3
export const isResponse = (b: Uint8Array, at = 0): boolean => (u8(b, at + 2) & QR) !== 0
export const isTruncated = (b: Uint8Array, at = 0): boolean => (u8(b, at + 2) & TC) !== 0
/** The four RCODE bits of the header. An OPT record holds the eight upper bits of an extended RCODE. */
export const rcode = (b: Uint8Array, at = 0): number => u8(b, at + 3) & RCODE_MASK
export const setRcode = (b: Uint8Array, value: number): void => {
  b[3] = (u8(b, 3) & ~RCODE_MASK) | (value & RCODE_MASK)
}
export const qdcount = (b: Uint8Array, at = 0): number => u16(b, at + 4)
export const ancount = (b: Uint8Array, at = 0): number => u16(b, at + 6)
export const nscount = (b: Uint8Array, at = 0): number => u16(b, at + 8)
export const arcount = (b: Uint8Array, at = 0): number => u16(b, at + 10)
