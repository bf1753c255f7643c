/**
 * IP literals as text: one spelling per address, so that sets of addresses
 * can be compared as strings. Names are never accepted, nor scoped addresses
 * (fe80::1%eth0): neither can stand in a record.
 */
import { isIPv4, isIPv6 } from 'node:net'

/** The eight 16-bit groups of an IPv6 literal that `isIPv6` accepted. */
const groupsOf = (text: string): number[] => {
  let rest = text
  const tail: number[] = []
  const dot = text.lastIndexOf('.')
  if (dot >= 0) {
    const colon = text.lastIndexOf(':')
    const [a = 0, b = 0, c = 0, d = 0] = text
      .slice(colon + 1)
      .split('.')
      .map(Number)
    tail.push(a * 256 + b, c * 256 + d)
    // 'x::' must stay 'x::', 'x:y:' must lose its colon
    rest = text.slice(0, text[colon - 1] === ':' ? colon + 1 : colon)
  }
  const read = (part: string): number[] =>
    part === '' ? [] : part.split(':').map(group => parseInt(group, 16))
  const gap = rest.indexOf('::')
  if (gap < 0) return [...read(rest), ...tail]
  const head = read(rest.slice(0, gap))
  const end = [...read(rest.slice(gap + 2)), ...tail]
  return [...head, ...new Array<number>(Math.max(0, 8 - head.length - end.length)).fill(0), ...end]
}

/** Groups as RFC 5952 writes them: lower case, the longest run of zeros shortened, the first of equals. */
const writtenV6 = (groups: readonly number[]): string => {
  let at = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let n = 0
    while (i + n < 8 && groups[i + n] === 0) n++
    if (n > length) {
      at = i
      length = n
    }
    if (n > 0) i += n - 1
  }
  const hex = (part: readonly number[]): string => part.map(group => group.toString(16)).join(':')
  return at < 0 ? hex(groups) : `${hex(groups.slice(0, at))}::${hex(groups.slice(at + length))}`
}

/** The one spelling of an IPv4 or IPv6 literal, or '' if it is none. */
export const canonicalIp = (text: string): string => {
  if (isIPv4(text)) return text
  if (text.length > 45 || text.includes('%') || !isIPv6(text)) return ''
  return writtenV6(groupsOf(text))
}

/**
 * The one spelling of an address as a person or the system gives it, '' if it
 * is none: an IPv4-mapped IPv6 address is IPv4, and a scope (fe80::1%eth0) stays.
 */
export const canonicalAddress = (text: string): string => {
  if (!isIPv4(text) && !isIPv6(text)) return ''
  const [bare = '', scope] = text.split('%')
  const plain = canonicalIp(bare)
  if (plain.includes(':')) {
    const value = ipToNumber(plain)
    if (value >> 32n === 0xffffn) return numberToIp(value & 0xffffffffn, 4)
  }
  return scope === undefined ? plain : `${plain}%${scope}`
}

/** 4, 6, or 0 of a string that `canonicalIp` gave. */
export const familyOf = (ip: string): 4 | 6 | 0 => (ip === '' ? 0 : ip.includes(':') ? 6 : 4)

/** The address record type that holds this (canonical) address. */
export const addressType = (ip: string): 'A' | 'AAAA' => (ip.includes(':') ? 'AAAA' : 'A')

/** A canonical address as a whole number, for counting within ranges. */
export const ipToNumber = (ip: string): bigint =>
  ip.includes(':')
    ? groupsOf(ip).reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
    : ip.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n)

/** The address of a whole number, in canonical spelling. */
export const numberToIp = (value: bigint, family: 4 | 6): string => {
  const width = family === 4 ? 8n : 16n
  const parts: number[] = []
  for (let i = family === 4 ? 3n : 7n; i >= 0n; i--) {
    parts.push(Number((value >> (i * width)) & ((1n << width) - 1n)))
  }
  return family === 4 ? parts.join('.') : writtenV6(parts)
}

/** '192.0.2.1:80' or '[2001:db8::1]:80' of an address and a port. */
export const hostPort = (ip: string, port: number): string =>
  ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
