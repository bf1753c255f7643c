/**
 * The distinct keys in packed form: one row per key with its octets (kind, then name) in the slabs, its first entry,
 * and a flag for a changed view. A key without entries and without pending change is removed.
 */
import { keyHash } from './hash.ts'
import { grown, slotCount, unslot } from './rows.ts'
import type { Slabs } from './slab.ts'

/** Flag: the key is in the list of changed keys. */
const CHANGED = 1
/** After this many changes were taken from the list, its memory is freed. */
const REPORTED_MOST = 65_536

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
  /** Keys whose entries have changed since the last takeChanges, in order. */
  #changed: number[] = []
  #reported = 0

  constructor(slabs: Slabs, seed: number, most: number) {
    this.#slabs = slabs
    this.#seed = seed
    this.#most = most
  }

  /** All row numbers are below this; a row whose `first` is 0 has no entries. */
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

  /** The row of a key; created if there is none. */
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

  /** Octet `i` of a key; octet 0 is its kind. */
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

  /** Marks a key as changed. */
  touch(k: number): void {
    if ((this.#flags[k] as number) & CHANGED) return
    this.#flags[k] = CHANGED
    this.#changed.push(k)
  }

  /** Number of changed keys that were not taken yet. */
  get changes(): number {
    return this.#changed.length - this.#reported
  }

  /** Passes up to `most` changed keys to `take`, each once; a key that changes again is listed again. */
  takeChanges(most: number, take: (k: number) => void): void {
    const end = Math.min(this.#changed.length, this.#reported + most)
    while (this.#reported < end) {
      const k = this.#changed[this.#reported++] as number
      this.#flags[k] = 0
      take(k)
      this.release(k)
    }
    if (this.#reported === this.#changed.length) this.#changed = []
    else if (this.#reported > REPORTED_MOST) this.#changed.splice(0, this.#reported)
    else return
    this.#reported = 0
  }

  /** Removes a key that has no entry and no pending change; other keys are kept. */
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
    // New rows are added only when no row is free, so all rows below the newest are in use.
    for (let k = 1; k < this.#top - 1; k++) {
      const slot = (this.#hash[k] as number) & (this.#slots.length - 1)
      this.#next[k] = this.#slots[slot] as number
      this.#slots[slot] = k
    }
  }
}
