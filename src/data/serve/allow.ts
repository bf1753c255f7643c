/**
 * Which clients may ask. Results are cached by address with a limit, so that a repeated client costs one comparison.
 */
import { BlockList } from 'node:net'
import { ipFamily } from '../../base/ip.ts'

/** Limit of cached addresses; then the cache is cleared. */
const REMEMBERED = 65_536

export class Allow {
  readonly #list = new BlockList()
  readonly #known = new Map<number, boolean>()
  #lastAddress = -1
  #lastVerdict = false
  readonly #knownTexts = new Map<string, boolean>()
  #lastText = ''
  #lastTextVerdict = false

  /** CIDRs such as 10.0.0.0/8 or fd00::/8, or single addresses. */
  constructor(cidrs: readonly string[]) {
    for (const cidr of cidrs) {
      const [address = '', bits] = cidr.split('/')
      const family = ipFamily(address) === 6 ? 'ipv6' : 'ipv4'
      if (bits === undefined) this.#list.addAddress(address, family)
      else this.#list.addSubnet(address, Number(bits), family)
    }
  }

  /** An IPv4 address as an unsigned number. */
  allows4(address: number): boolean {
    if (address === this.#lastAddress) return this.#lastVerdict
    let verdict = this.#known.get(address)
    if (verdict === undefined) {
      const text = `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
      verdict = this.#list.check(text, 'ipv4')
      if (this.#known.size >= REMEMBERED) this.#known.clear()
      this.#known.set(address, verdict)
    }
    this.#lastAddress = address
    return (this.#lastVerdict = verdict)
  }

  /** Any address as text; an IPv4-mapped one counts as IPv4. */
  allows(address: string): boolean {
    if (address === this.#lastText) return this.#lastTextVerdict
    let verdict = this.#knownTexts.get(address)
    if (verdict === undefined) {
      verdict = this.#check(address)
      if (this.#knownTexts.size >= REMEMBERED) this.#knownTexts.clear()
      this.#knownTexts.set(address, verdict)
    }
    this.#lastText = address
    return (this.#lastTextVerdict = verdict)
  }

  /**
   * Each call allocates an object with a finalizer, which slows the garbage collector; without the cache it was half
   * of the cost of a hit over TCP.
   */
  #check(address: string): boolean {
    const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
    const family = ipFamily(v4)
    return family !== 0 && this.#list.check(v4.replace(/%.*$/, ''), family === 6 ? 'ipv6' : 'ipv4')
  }
}
