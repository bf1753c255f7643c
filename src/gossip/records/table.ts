/**
 * The entries themselves, packed: one row of typed arrays each, about 45
 * octets, and the value's octets in the slabs. An entry belongs to one
 * owner's list (in version order, least first) and to one key's chain (all
 * owners that have that key, keys.ts). Row 0 means none.
 *
 *   key owner version address length flags | owner's list: before after | chain: before after | slot next
 */
import { type Held, ZONE_KIND } from './caps.ts'
import { pairHash } from './hash.ts'
import { Keys } from './keys.ts'
import { grown, slotCount, unslot } from './rows.ts'
import { Slabs } from './slab.ts'

/** Flags of an entry. */
export const DELETED = 1
/** Replicated but never shown, because gossip may not fill this name or kind. */
export const REFUSED = 2
/** Seen while an owner's state is being replaced; entries without this flag are removed at the end. */
export const MARKED = 4
/** Our own entry from before a restart, until its kind is published again. */
export const INHERITED = 8

/** The ends of an owner's list and what it holds, maintained by the table. Tombstones do not count as entries. */
export type Chain = Held & {
  readonly id: number
  head: number
  tail: number
  tombs: number
}

export class Table {
  readonly slabs = new Slabs()
  readonly keys: Keys
  readonly #seed: number
  readonly #most: number

  key = new Uint32Array(16)
  owner = new Uint32Array(16)
  version = new Uint32Array(16)
  address = new Uint32Array(16)
  length = new Uint32Array(16)
  flags = new Uint8Array(16)
  before = new Uint32Array(16)
  after = new Uint32Array(16)
  chainBefore = new Uint32Array(16)
  chainAfter = new Uint32Array(16)
  #slotNext = new Uint32Array(16)
  #slots = new Uint32Array(16)
  #free = 0
  #top = 1

  /** Entries and tombstones. */
  rows = 0
  /** Octets of all keys and values. */
  bytes = 0

  /** `most` is the expected number of rows; more rows still work. */
  constructor(seed: number, most: number) {
    this.#seed = seed >>> 0
    this.#most = most
    this.keys = new Keys(this.slabs, this.#seed, most)
  }

  /** An owner's entry under a key, 0 if none. */
  find(k: number, owner: number): number {
    let e = this.#slots[pairHash(k, owner, this.#seed) & (this.#slots.length - 1)] as number
    while (e !== 0 && !(this.key[e] === k && this.owner[e] === owner))
      e = this.#slotNext[e] as number
    return e
  }

  /**
   * Sets bytes[at .. at + length) under a key as the owner's newest entry; length -1 creates a tombstone. Returns
   * the entry's row.
   */
  put(
    chain: Chain,
    k: number,
    version: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    flags = 0,
  ): number {
    let e = this.find(k, chain.id)
    if (e === 0) e = this.#insert(chain, k)
    else {
      this.#account(chain, e, -1)
      this.slabs.free(this.address[e] as number, this.length[e] as number)
      this.#unlist(chain, e)
    }
    this.version[e] = version
    this.length[e] = Math.max(0, length)
    this.address[e] = length > 0 ? this.slabs.store(bytes, at, length) : 0
    this.flags[e] = length < 0 ? DELETED | flags : flags
    this.#enlist(chain, e)
    this.#account(chain, e, 1)
    this.keys.touch(k)
    return e
  }

  /** Gives an unchanged entry a newer version, without reporting a change. */
  renew(chain: Chain, e: number, version: number, mark: number): void {
    this.#unlist(chain, e)
    this.version[e] = version
    this.flags[e] = ((this.flags[e] as number) & ~INHERITED) | mark
    this.#enlist(chain, e)
  }

  /** Removes an entry. */
  remove(chain: Chain, e: number): void {
    const k = this.key[e] as number
    this.#account(chain, e, -1)
    this.slabs.free(this.address[e] as number, this.length[e] as number)
    this.#unlist(chain, e)
    const before = this.chainBefore[e] as number
    const after = this.chainAfter[e] as number
    if (before === 0) this.keys.first[k] = after
    else this.chainAfter[before] = after
    if (after !== 0) this.chainBefore[after] = before
    const slot = pairHash(k, chain.id, this.#seed) & (this.#slots.length - 1)
    unslot(this.#slots, this.#slotNext, slot, e)
    this.#slotNext[e] = this.#free
    this.#free = e
    this.owner[e] = 0
    this.rows--
    if ((this.flags[e] as number) & DELETED) this.keys.release(k)
    else this.keys.touch(k)
  }

  /** A copy of an entry's value. */
  value(e: number): Uint8Array {
    const address = this.address[e] as number
    const at = this.slabs.offset(address)
    return Uint8Array.prototype.slice.call(
      this.slabs.slab(address),
      at,
      at + (this.length[e] as number),
    )
  }

  /** Whether an entry's value is bytes[at .. at + length). */
  sameValue(e: number, bytes: Uint8Array, at: number, length: number): boolean {
    const address = this.address[e] as number
    if (this.length[e] !== length) return false
    const start = this.slabs.offset(address)
    return this.slabs.slab(address).compare(bytes, at, at + length, start, start + length) === 0
  }

  /** Adds (or subtracts) an entry's octets in its owner's counts. */
  #account(chain: Chain, e: number, sign: 1 | -1): void {
    const k = this.key[e] as number
    const entries = (this.flags[e] as number) & DELETED ? 0 : sign
    const octets = (this.length[e] as number) + (this.keys.length[k] as number)
    if (entries === 0) chain.tombs += sign
    chain.count += entries
    chain.bytes += sign * octets
    if (this.keys.octet(k, 0) === ZONE_KIND) {
      chain.zoneCount += entries
      chain.zoneBytes += sign * octets
    }
    this.bytes += sign * octets
  }

  #insert(chain: Chain, k: number): number {
    let e = this.#free
    if (e !== 0) this.#free = this.#slotNext[e] as number
    else {
      e = this.#top++
      if (e >= this.key.length) this.#grow()
    }
    this.key[e] = k
    this.owner[e] = chain.id
    const first = this.keys.first[k] as number
    this.chainBefore[e] = 0
    this.chainAfter[e] = first
    if (first !== 0) this.chainBefore[first] = e
    this.keys.first[k] = e
    const slot = pairHash(k, chain.id, this.#seed) & (this.#slots.length - 1)
    this.#slotNext[e] = this.#slots[slot] as number
    this.#slots[slot] = e
    this.rows++
    return e
  }

  #enlist(chain: Chain, e: number): void {
    this.before[e] = chain.tail
    this.after[e] = 0
    if (chain.tail === 0) chain.head = e
    else this.after[chain.tail] = e
    chain.tail = e
  }

  #unlist(chain: Chain, e: number): void {
    const before = this.before[e] as number
    const after = this.after[e] as number
    if (before === 0) chain.head = after
    else this.after[before] = after
    if (after === 0) chain.tail = before
    else this.before[after] = before
  }

  #grow(): void {
    const size = this.key.length * 2
    this.key = grown(this.key, size)
    this.owner = grown(this.owner, size)
    this.version = grown(this.version, size)
    this.address = grown(this.address, size)
    this.length = grown(this.length, size)
    this.flags = grown(this.flags, size)
    this.before = grown(this.before, size)
    this.after = grown(this.after, size)
    this.chainBefore = grown(this.chainBefore, size)
    this.chainAfter = grown(this.chainAfter, size)
    this.#slotNext = grown(this.#slotNext, size)
    if (this.#slots.length >= size) return
    this.#slots = new Uint32Array(slotCount(size, this.#most))
    // Rows below #top - 1: the caller links the newest row itself.
    for (let e = 1; e < this.#top - 1; e++) {
      if (this.owner[e] === 0) continue
      const slot =
        pairHash(this.key[e] as number, this.owner[e] as number, this.#seed) &
        (this.#slots.length - 1)
      this.#slotNext[e] = this.#slots[slot] as number
      this.#slots[slot] = e
    }
  }
}
