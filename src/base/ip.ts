/**
 * IP literals as text, with one spelling for each address, so that addresses can be compared as strings.
 * Names and scoped addresses (fe80::1%eth0) are refused: a DNS record can hold neither.
 */
import { isIPv4 } from 'node:net'

const HEXTET = /^[0-9a-f]{1,4}$/i
const SCOPE = /^[0-9a-z.:-]+$/i

/** The groups on one side of '::'; at the end of the address two of them may be written as IPv4. */
const sideOf = (text: string, ends: boolean): number[] | undefined => {
  if (text === '') return []
  const words = text.split(':')
  const last = ends ? words.at(-1)! : ''
  const dotted = isIPv4(last) ? last.split('.').map(Number) : undefined
  if (dotted) words.pop()
  if (!words.every(word => HEXTET.test(word))) return undefined
  const groups = words.map(word => parseInt(word, 16))
  if (dotted) groups.push(dotted[0]! * 256 + dotted[1]!, dotted[2]! * 256 + dotted[3]!)
  return groups
}

/**
 * The eight 16-bit groups of an IPv6 literal without scope (RFC 4291 §2.2), undefined if it is none. Node's `isIPv6`
 * knows the same, but its regular expression takes 7 ms to compile, in each thread, at the start.
 */
export const groupsOf = (text: string): number[] | undefined => {
  const [head = '', tail, more] = text.split('::')
  if (more !== undefined) return undefined
  const before = sideOf(head, tail === undefined)
  const after = sideOf(tail ?? '', true)
  if (!before || !after) return undefined
  const zeros = 8 - before.length - after.length
  if (tail === undefined ? zeros !== 0 : zeros < 1) return undefined
  return [...before, ...new Array<number>(zeros).fill(0), ...after]
}

/** 4 or 6 for a literal of that family, which may have a scope (fe80::1%eth0) if it is IPv6; otherwise 0. */
export const ipFamily = (text: string): 4 | 6 | 0 => {
  if (isIPv4(text)) return 4
  const [bare = '', scope, more] = text.split('%')
  if (more !== undefined || (scope !== undefined && !SCOPE.test(scope))) return 0
  return groupsOf(bare) ? 6 : 0
}

/**
 * Groups in the form of RFC 5952: lower case, the longest run of zeros shortened, the first run if two are
 * equally long.
 */
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

/** The canonical spelling of an IPv4 or IPv6 literal, '' if it is not one. */
export const canonicalIp = (text: string): string => {
  if (isIPv4(text)) return text
  const groups = groupsOf(text)
  return groups ? writtenV6(groups) : ''
}

/**
 * The canonical spelling of an address from the system or from the operator, '' if it is not one. An
 * IPv4-mapped IPv6 address becomes IPv4; a scope (fe80::1%eth0) is kept.
 */
export const canonicalAddress = (text: string): string => {
  if (ipFamily(text) === 0) return ''
  const [bare = '', scope] = text.split('%')
  const plain = canonicalIp(bare)
  if (plain.includes(':')) {
    const value = ipToNumber(plain)
    if (value >> 32n === 0xffffn) return numberToIp(value & 0xffffffffn, 4)
  }
  return scope === undefined ? plain : `${plain}%${scope}`
}

/** 4 or 6; 0 for ''. Takes the result of `canonicalIp`. */
export const familyOf = (ip: string): 4 | 6 | 0 => (ip === '' ? 0 : ip.includes(':') ? 6 : 4)

/** The type of the address record for a canonical address. */
export const addressType = (ip: string): 'A' | 'AAAA' => (ip.includes(':') ? 'AAAA' : 'A')

/** A canonical address, without its scope, as an integer, for arithmetic in ranges. */
export const ipToNumber = (ip: string): bigint => {
  const [bare = ''] = ip.split('%')
  const groups = groupsOf(bare)
  return groups
    ? groups.reduce((sum, group) => (sum << 16n) | BigInt(group), 0n)
    : bare.split('.').reduce((sum, octet) => (sum << 8n) | BigInt(octet), 0n)
}

/** The 4 or 16 octets of an address, whose scope is left out; none if it is no address. */
export const ipToOctets = (ip: string): Buffer => {
  const [bare = ''] = ip.split('%')
  if (isIPv4(bare)) return Buffer.from(bare.split('.').map(Number))
  return Buffer.from((groupsOf(bare) ?? []).flatMap(group => [group >> 8, group & 0xff]))
}

/** The canonical spelling of the address with this integer value. */
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

/** 1.2.0.192.in-addr.arpa for 192.0.2.1 (RFC 1035 §3.5); an IPv6 address by nibbles (RFC 3596 §2.5). */
export const reverseName = (address: string): string => {
  const plain = canonicalAddress(address)
  if (isIPv4(plain)) return `${plain.split('.').reverse().join('.')}.in-addr.arpa`
  return `${[...ipToNumber(plain).toString(16).padStart(32, '0')].reverse().join('.')}.ip6.arpa`
}

/**
 * Who an address stands for where clients share something fairly, as a number, because every query that misses the
 * cache needs it: an IPv4 address stands for itself (an unsigned number), an IPv6 address for its /64, all of which one host may use.
 * Link-local addresses share one /64, so each stands for itself. Two /64s of different /32s may have one number.
 */
export type Client = number

/** The client of a query of our own. */
export const OURSELVES: Client = -1

/** The client behind an IPv6 address as four unsigned numbers, from its first octets to its last. */
export const client6 = (a: number, b: number, c: number, d: number): Client => {
  if (a === 0 && b === 0 && c === 0xffff) return d
  const linkLocal = a >>> 22 === 0xfe80 >>> 6
  const high = linkLocal ? c : a
  const low = linkLocal ? d : b
  // 20 bits and 32 bits: together they fit into a number exactly. The lowest values are left to IPv4.
  return (((high ^ (high >>> 12)) & 0xfffff) + 1) * 2 ** 32 + low
}

/** The client behind an address as text; '' is ourselves. */
export const clientOf = (address: string): Client => {
  const [bare = ''] = address.split('%')
  if (isIPv4(bare)) return Number(ipToNumber(bare))
  const groups = groupsOf(bare)
  if (!groups) return OURSELVES
  const word = (i: number): number => groups[i]! * 2 ** 16 + groups[i + 1]!
  return client6(word(0), word(2), word(4), word(6))
}
