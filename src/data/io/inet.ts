/**
 * Addresses as both bodies need them: literals read into the kernel's
 * `sockaddr` layout and written back as text. Nothing here resolves a name.
 */
import { networkInterfaces } from 'node:os'
import { fail } from '../../base/error.ts'
import { groupsOf, ipFamily } from '../../base/ip.ts'
import type { Peer } from './packet-io.ts'

export const AF_INET = 2
export const AF_INET6 = 10

/**
 * Words of 32 bits that one sockaddr slot takes. A sockaddr_in6 is 28 bytes;
 * 32 keeps every slot on one cache line.
 *
 *     word  sockaddr_in         sockaddr_in6
 *     0     family | port<<16   family | port<<16   (port in network order)
 *     1     address             flow
 *     2-5                       address
 *     6                         scope
 */
export const NAME_WORDS = 8
export const NAME_BYTES = NAME_WORDS * 4

/**
 * A peer stored as the words of its sockaddr, so that keeping one per query takes one small object, and sending
 * copies a few words. Its text is created on demand.
 */
export class InetPeer implements Peer {
  readonly family: 4 | 6
  readonly port: number
  /** Family and port. */
  readonly word0: number
  /** IPv4: the address. */
  readonly word1: number
  /** IPv6: the address. */
  readonly word2: number
  readonly word3: number
  readonly word4: number
  readonly word5: number
  /** IPv6: the scope. */
  readonly word6: number
  /** Of a sender to a wildcard socket: with this control data a reply leaves from the address that was asked. */
  control: Buffer | undefined = undefined
  #address = ''

  /** Copies the sockaddr at word `at`. */
  constructor(names: Int32Array, at: number) {
    const word0 = names[at]!
    const v4 = (word0 & 0xffff) === AF_INET
    this.family = v4 ? 4 : 6
    this.port = portOf(word0)
    this.word0 = word0
    this.word1 = v4 ? names[at + 1]! : 0
    this.word2 = v4 ? 0 : names[at + 2]!
    this.word3 = v4 ? 0 : names[at + 3]!
    this.word4 = v4 ? 0 : names[at + 4]!
    this.word5 = v4 ? 0 : names[at + 5]!
    this.word6 = v4 ? 0 : names[at + 6]!
  }

  get address(): string {
    return (this.#address ||= this.family === 4 ? text4(address4Of(this.word1)) : this.#text6())
  }

  /** Writes its sockaddr. */
  put(names: Int32Array, at: number): void {
    names[at] = this.word0
    names[at + 1] = this.word1
    names[at + 2] = this.word2
    names[at + 3] = this.word3
    names[at + 4] = this.word4
    names[at + 5] = this.word5
    names[at + 6] = this.word6
    names[at + 7] = 0
  }

  #text6(): string {
    const groups: number[] = []
    for (const word of [this.word2, this.word3, this.word4, this.word5]) {
      const n = swap32(word)
      groups.push(n >>> 16, n & 0xffff)
    }
    return text6(groups) + (this.word6 ? `%${this.word6}` : '')
  }
}

const swap16 = (n: number): number => ((n & 0xff) << 8) | ((n >>> 8) & 0xff)
/** A 32-bit number in the other order of octets, unsigned. */
export const swap32 = (n: number): number =>
  ((n << 24) | ((n & 0xff00) << 8) | ((n >>> 8) & 0xff00) | (n >>> 24)) >>> 0

/** The port from word 0 of a sockaddr. */
export const portOf = (word0: number): number => swap16(word0 >>> 16)

/** The IPv4 address from word 1 of a sockaddr_in, as an unsigned number. */
export const address4Of = (word1: number): number => swap32(word1)

/** Text of an IPv4 address from an unsigned number. */
export const text4 = (n: number): string =>
  `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}`

/** An IPv4 literal as an unsigned number. */
export const number4 = (address: string): number => {
  let n = 0
  for (const part of address.split('.')) n = n * 256 + Number(part)
  return n
}

/** Text of eight groups, with the longest run of zeros shortened (RFC 5952 section 4). */
const text6 = (groups: readonly number[]): string => {
  let at = -1
  let length = 1
  for (let i = 0; i < 8; i++) {
    let n = 0
    while (i + n < 8 && groups[i + n] === 0) n++
    if (n > length) [at, length] = [i, n]
  }
  const hex = (part: readonly number[]): string => part.map(g => g.toString(16)).join(':')
  // IPv4-mapped addresses are written with dots.
  if (at === 0 && length === 5 && groups[5] === 0xffff) {
    return `::ffff:${text4(groups[6]! * 65536 + groups[7]!)}`
  }
  return at < 0 ? hex(groups) : `${hex(groups.slice(0, at))}::${hex(groups.slice(at + length))}`
}

const scopeNumber = (scope: string): number => {
  if (/^\d{1,9}$/.test(scope)) return Number(scope)
  for (const { scopeid } of (networkInterfaces()[scope] ?? []).filter(a => a.family === 'IPv6')) {
    if (scopeid) return scopeid
  }
  throw fail(`no interface ${scope} with an IPv6 scope`, 'EUSAGE', { scope })
}

/** Parses `address`, an IPv4 or IPv6 literal (`%scope` allowed), and a port. Throws EUSAGE for anything else. */
export const inetPeer = (address: string, port: number): InetPeer => {
  const family = ipFamily(address)
  if (family === 0) throw fail(`not an IP address: ${address}`, 'EUSAGE', { address })
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw fail(`not a port: ${port}`, 'EUSAGE', { address, port })
  }
  const words = new Int32Array(NAME_WORDS)
  if (family === 4) {
    words[0] = AF_INET | (swap16(port) << 16)
    words[1] = swap32(number4(address))
    return new InetPeer(words, 0)
  }
  const [literal = '', scope] = address.split('%')
  const groups = groupsOf(literal)!
  words[0] = AF_INET6 | (swap16(port) << 16)
  for (let i = 0; i < 4; i++) words[2 + i] = swap32(groups[2 * i]! * 65536 + groups[2 * i + 1]!)
  if (scope !== undefined) words[6] = scopeNumber(scope)
  return new InetPeer(words, 0)
}

/** Converts a Peer to an InetPeer; only one of another class must be parsed. */
export const asInet = (peer: Peer): InetPeer =>
  peer instanceof InetPeer ? peer : inetPeer(peer.address, peer.port)
