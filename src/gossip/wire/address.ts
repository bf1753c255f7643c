/**
 * Addresses as the protocol encodes them: 4 or 16 octets; an IPv4 address may have either length. The program uses
 * text in canonical spelling.
 */
import { canonicalIp, ipToNumber, numberToIp } from '../../base/ip.ts'

/** The address of a member or a socket. */
export type Endpoint = { readonly address: string; readonly port: number }

const isMapped = (b: Uint8Array): boolean => {
  for (let i = 0; i < 10; i++) if (b[i] !== 0) return false
  return b[10] === 0xff && b[11] === 0xff
}

/** Canonical text of 4 or 16 octets; '' for any other length. An IPv4-mapped address becomes IPv4. */
export const addressText = (b: Uint8Array): string => {
  if (b.length === 4) return `${b[0]}.${b[1]}.${b[2]}.${b[3]}`
  if (b.length !== 16) return ''
  if (isMapped(b)) return `${b[12]}.${b[13]}.${b[14]}.${b[15]}`
  let value = 0n
  for (const octet of b) value = (value << 8n) | BigInt(octet)
  return numberToIp(value, 6)
}

/** The 4 or 16 octets of a canonical address; empty if the text is not an address. */
export const addressBytes = (text: string): Uint8Array => {
  if (text.includes(':')) {
    const out = Buffer.alloc(16)
    const value = ipToNumber(text)
    out.writeBigUInt64BE(value >> 64n, 0)
    out.writeBigUInt64BE(value & 0xffff_ffff_ffff_ffffn, 8)
    return out
  }
  const parts = text.split('.')
  return parts.length === 4 ? Uint8Array.from(parts, Number) : new Uint8Array(0)
}

/**
 * The canonical spelling of an address from a socket: '::ffff:192.0.2.1' becomes '192.0.2.1', a scope is removed.
 */
export const socketAddress = (text: string): string => {
  if (!text.includes(':')) return text
  if (text.startsWith('::ffff:') && text.includes('.')) return text.slice(7)
  const scope = text.indexOf('%')
  return canonicalIp(scope < 0 ? text : text.slice(0, scope)) || text
}

/** A map key for an endpoint. */
export const endpointKey = (at: Endpoint): string => `${at.address} ${at.port}`
