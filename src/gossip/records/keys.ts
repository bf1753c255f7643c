/**
 * The distinct keys, packed: one row each, its octets (kind, then name) in
 * the slabs, the first entry that has it, and a mark when what it shows may
 * have changed. A key nobody has and nobody waits to hear of is forgotten.
 */
import { keyHash } from './hash.ts'
import { grown, slotCount, unslot } from './rows.ts'
import type { Slabs } from './slab.ts'

/** Flag: on the list of keys that changed. */
const CHANGED = 1
/** Of the list of changes so many may have been taken before its memory is given back. */
const TAKEN_MOST = 65_536

export class Keys {
  readonly #slabs: Slabs
  readonly #seed: number
  readonly #most: number
  address = new Uint32Array(16)
  length = new Uint16Array(16)
  /** First entry of the key's chain, 0 for none. */
  first = new Uint32Array(16)
  #hash = new Uint32Array(16)
  #flags = new Uint8Array(16)
  #next = new Uint32Array(16)
  #slots = new Uint32Array(16)
  #free = 0
  #top = 1
  count = 0
  /** Keys whose entries changed since they were last taken, first changed first. */
  #changed: number[] = []
  #taken = 0

  constructor(slabs: Slabs, seed: number, most: number) {
    this.#slabs = slabs
    this.#seed = seed
    this.#most = most
  }

  /** Rows are below this number; one whose `first` is 0 shows nothing. */
  get rows(): number {
    return this.#top
  }

  /** The row of a key, 0 if there is none. */
  find(bytes: Uint8Array, at: number, length: number): number {
    const hash = keyHash(bytes, at, length, this.#seed)
    let k = this.#slots[hash & (this.#slots.length - 1)] as number
    while (k !== 0 && !(this.#hash[k] === hash && this.#same(k, bytes, at, length)))
      k = this.#next[k] as number
    return k
  }

  /** The row of a key, made if there is none. */
  intern(bytes: Uint8Array, at: number, length: number): number {
    const found = this.find(bytes, at, length)
    if (found !== 0) return found
    let k = this.#free
    if (k !== 0) this.#free = this.#next[k] as number
    else {
      k = this.#top++
      if (k >= this.first.length) this.#grow()
    }
    const hash = keyHash(bytes, at, length, this.#seed)
    this.address[k] = this.#slabs.store(bytes, at, length)
    this.length[k] = length
    this.first[k] = 0
    this.#hash[k] = hash
    this.#flags[k] = 0
    const slot = hash & (this.#slots.length - 1)
    this.#next[k] = this.#slots[slot] as number
    this.#slots[slot] = k
    this.count++
    return k
  }

  /** Octet `i` of a key: 0 is its kind. */
  octet(k: number, i: number): number {
    const address = this.address[k] as number
    return this.#slabs.slab(address)[this.#slabs.offset(address) + i] as number
  }

  /** A key's name. */
  name(k: number): string {
    const address = this.address[k] as number
    const at = this.#slabs.offset(address)
    return this.#slabs.slab(address).toString('latin1', at + 1, at + (this.length[k] as number))
  }

  /** A copy of a key: its kind octet and its name. */
  octets(k: number): Buffer {
    const address = this.address[k] as number
    const at = this.#slabs.offset(address)
    return Buffer.from(this.#slabs.slab(address).subarray(at, at + (this.length[k] as number)))
  }

  /** Note that what is shown under a key may have changed. */
  touch(k: number): void {
    if ((this.#flags[k] as number) & CHANGED) return
    this.#flags[k] = CHANGED
    this.#changed.push(k)
  }

  /** How many keys have changed and were not taken yet. */
  get changes(): number {
    return this.#changed.length - this.#taken
  }

  /** Up to `most` changed keys, each once, through `take`; they are noted afresh if they change again. */
  takeChanges(most: number, take: (k: number) => void): void {
    const end = Math.min(this.#changed.length, this.#taken + most)
    while (this.#taken < end) {
      const k = this.#changed[this.#taken++] as number
      this.#flags[k] = 0
      take(k)
      this.release(k)
    }
    if (this.#taken === this.#changed.length) this.#changed = []
    else if (this.#taken > TAKEN_MOST) this.#changed.splice(0, this.#taken)
    else return
    this.#taken = 0
  }

  /** Forget a key that no entry has and nobody waits to hear of; nothing happens to others. */
  release(k: number): void {
    if (this.first[k] !== 0 || ((this.#flags[k] as number) & CHANGED) !== 0) return
    this.#slabs.free(this.address[k] as number, this.length[k] as number)
    unslot(this.#slots, this.#next, (this.#hash[k] as number) & (this.#slots.length - 1), k)
    this.#next[k] = this.#free
    this.#free = k
    this.count--
  }

  #same(k: number, bytes: Uint8Array, at: number, length: number): boolean {
    if (this.length[k] !== length) return false
    const address = this.address[k] as number
    const slab = this.#slabs.slab(address)
    const start = this.#slabs.offset(address)
    for (let i = 0; i < length; i++) if (slab[start + i] !== bytes[at + i]) return false
    return true
  }

  #grow(): void {
    const size = this.first.length * 2
    this.address = grown(this.address, size)
    this.length = grown(this.length, size)
    this.first = grown(this.first, size)
    this.#hash = grown(this.#hash, size)
    this.#flags = grown(this.#flags, size)
    this.#next = grown(this.#next, size)
    if (this.#slots.length >= size) return
    this.#slots = new Uint32Array(slotCount(size, this.#most))
    // Rows grow only when none is free, so all below the newest are keys.
    for (let k = 1; k < this.#top - 1; k++) {
      const slot = (this.#hash[k] as number) & (this.#slots.length - 1)
      this.#next[k] = this.#slots[slot] as number
      this.#slots[slot] = k
    }
  }
}
