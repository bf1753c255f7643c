/**
 * The entries themselves, packed: one row of typed arrays per entry, one per
 * distinct key, the octets in slabs. An entry belongs to one owner's list
 * (in version order, least first) and to one key's chain (all owners that
 * have that key). Row 0 of either table means none.
 *
 *   entry  key owner version address length flags | owner list: before after | chain: before after | slot next
 *   key    address length hash first flags | slot next
 */
import { keyHash, pairHash } from './hash.ts'
import { Slabs } from './slab.ts'

/** Entry flags. */
export const DELETED = 1
/** Kept so that replicas stay equal, but never shown: its name or kind is not for gossip to fill. */
export const REFUSED = 2
/** Met while an owner's state is being replaced; what lacks it at the end is dropped. */
export const MARKED = 4
/** Ours from before a restart, until its kind is published again. */
export const INHERITED = 8

/** Key flag: on the list of keys that changed. */
const CHANGED = 1
/** Above this many rows the slots are made for the largest table at once, so that no turn pays for a large rehash. */
const EARLY = 16_384

/** An owner's ends of its list and what it holds; kept up by the table. */
export type Chain = {
  readonly id: number
  head: number
  tail: number
  /** Entries that are not tombstones, and tombstones. */
  count: number
  tombs: number
  /** Octets of keys and values. */
  bytes: number
}

const grown = <T extends Uint8Array | Uint16Array | Uint32Array>(from: T, size: number): T => {
  const to = new (from.constructor as new (n: number) => T)(size)
  to.set(from)
  return to
}

export class Table {
  readonly slabs = new Slabs()
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

  keyAddress = new Uint32Array(16)
  keyLength = new Uint16Array(16)
  keyFirst = new Uint32Array(16)
  #keyHash = new Uint32Array(16)
  #keyFlags = new Uint8Array(16)
  #keyNext = new Uint32Array(16)
  #keySlots = new Uint32Array(16)
  #keyFree = 0
  #keyTop = 1

  /** Entries and tombstones; distinct keys. */
  rows = 0
  keys = 0
  /** Keys whose entries changed since they were last taken, first changed first. */
  #changed: number[] = []
  #taken = 0

  /** `most` rows are expected at the most; more would still work. */
  constructor(seed: number, most: number) {
    this.#seed = seed >>> 0
    this.#most = most
  }

  /** The row of a key (kind octet and name), 0 if there is none. */
  findKey(bytes: Uint8Array, at: number, length: number): number {
    const hash = keyHash(bytes, at, length, this.#seed)
    let k = this.#keySlots[hash & (this.#keySlots.length - 1)] as number
    while (k !== 0 && !(this.#keyHash[k] === hash && this.#sameKey(k, bytes, at, length))) k = this.#keyNext[k] as number
    return k
  }

  /** The row of a key, made if there is none. */
  internKey(bytes: Uint8Array, at: number, length: number): number {
    const found = this.findKey(bytes, at, length)
    if (found !== 0) return found
    let k = this.#keyFree
    if (k !== 0) this.#keyFree = this.#keyNext[k] as number
    else {
      k = this.#keyTop++
      if (k >= this.keyFirst.length) this.#growKeys()
    }
    const hash = keyHash(bytes, at, length, this.#seed)
    this.keyAddress[k] = this.slabs.store(bytes, at, length)
    this.keyLength[k] = length
    this.keyFirst[k] = 0
    this.#keyHash[k] = hash
    this.#keyFlags[k] = 0
    const slot = hash & (this.#keySlots.length - 1)
    this.#keyNext[k] = this.#keySlots[slot] as number
    this.#keySlots[slot] = k
    this.keys++
    return k
  }

  /** The entry an owner has under a key, 0 if none. */
  find(k: number, owner: number): number {
    let e = this.#slots[pairHash(k, owner, this.#seed) & (this.#slots.length - 1)] as number
    while (e !== 0 && !(this.key[e] === k && this.owner[e] === owner)) e = this.#slotNext[e] as number
    return e
  }

  /** Put bytes[at .. at + length) under a key as the owner's newest; length -1 leaves a tombstone. The entry's row. */
  put(chain: Chain, k: number, version: number, bytes: Uint8Array, at: number, length: number, flags = 0): number {
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
    this.touch(k)
    return e
  }

  /** Give an entry that says the same as before a newer version; nobody is told. */
  renew(chain: Chain, e: number, version: number, mark: number): void {
    this.#unlist(chain, e)
    this.version[e] = version
    this.flags[e] = ((this.flags[e] as number) & ~INHERITED) | mark
    this.#enlist(chain, e)
  }

  /** Take an entry out altogether. */
  remove(chain: Chain, e: number): void {
    const k = this.key[e] as number
    this.#account(chain, e, -1)
    this.slabs.free(this.address[e] as number, this.length[e] as number)
    this.#unlist(chain, e)
    const before = this.chainBefore[e] as number
    const after = this.chainAfter[e] as number
    if (before === 0) this.keyFirst[k] = after
    else this.chainAfter[before] = after
    if (after !== 0) this.chainBefore[after] = before
    const slot = pairHash(k, chain.id, this.#seed) & (this.#slots.length - 1)
    this.#unslot(this.#slots, this.#slotNext, slot, e)
    this.#slotNext[e] = this.#free
    this.#free = e
    this.owner[e] = 0
    this.rows--
    if ((this.flags[e] as number) & DELETED) this.#dropKey(k)
    else this.touch(k)
  }

  /** Note that what is shown under a key may have changed. */
  touch(k: number): void {
    if ((this.#keyFlags[k] as number) & CHANGED) return
    this.#keyFlags[k] = CHANGED
    this.#changed.push(k)
  }

  /** Key rows are below this number; a row whose `keyFirst` is 0 holds none. */
  get keyRows(): number {
    return this.#keyTop
  }

  get changes(): number {
    return this.#changed.length - this.#taken
  }

  /** Up to `most` changed keys, each once, through `take`; they are noted afresh if they change again. */
  takeChanges(most: number, take: (k: number) => void): void {
    const end = Math.min(this.#changed.length, this.#taken + most)
    while (this.#taken < end) {
      const k = this.#changed[this.#taken++] as number
      this.#keyFlags[k] = 0
      take(k)
      this.#dropKey(k)
    }
    if (this.#taken === this.#changed.length) {
      this.#changed = []
      this.#taken = 0
    } else if (this.#taken > 65_536) {
      this.#changed.splice(0, this.#taken)
      this.#taken = 0
    }
  }

  /** Octet `i` of a key: 0 is its kind. */
  keyOctet(k: number, i: number): number {
    const address = this.keyAddress[k] as number
    return this.slabs.slab(address)[this.slabs.offset(address) + i] as number
  }

  /** A copy of a key: its kind octet and its name. */
  keyOctets(k: number): Buffer {
    const address = this.keyAddress[k] as number
    const at = this.slabs.offset(address)
    return Buffer.from(this.slabs.slab(address).subarray(at, at + (this.keyLength[k] as number)))
  }

  /** A key's name. */
  keyName(k: number): string {
    const address = this.keyAddress[k] as number
    const at = this.slabs.offset(address)
    return this.slabs.slab(address).toString('latin1', at + 1, at + (this.keyLength[k] as number))
  }

  /** A copy of an entry's value. */
  value(e: number): Uint8Array {
    const address = this.address[e] as number
    const at = this.slabs.offset(address)
    return Uint8Array.prototype.slice.call(this.slabs.slab(address), at, at + (this.length[e] as number))
  }

  /** Whether an entry's value is bytes[at .. at + length). */
  sameValue(e: number, bytes: Uint8Array, at: number, length: number): boolean {
    const address = this.address[e] as number
    if (this.length[e] !== length) return false
    const start = this.slabs.offset(address)
    return this.slabs.slab(address).compare(bytes, at, at + length, start, start + length) === 0
  }

  /** What an entry counts for in its owner's octets. */
  #account(chain: Chain, e: number, sign: 1 | -1): void {
    if ((this.flags[e] as number) & DELETED) chain.tombs += sign
    else chain.count += sign
    chain.bytes += sign * ((this.length[e] as number) + (this.keyLength[this.key[e] as number] as number))
  }

  #sameKey(k: number, bytes: Uint8Array, at: number, length: number): boolean {
    if (this.keyLength[k] !== length) return false
    const address = this.keyAddress[k] as number
    const slab = this.slabs.slab(address)
    const start = this.slabs.offset(address)
    for (let i = 0; i < length; i++) if (slab[start + i] !== bytes[at + i]) return false
    return true
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
    const first = this.keyFirst[k] as number
    this.chainBefore[e] = 0
    this.chainAfter[e] = first
    if (first !== 0) this.chainBefore[first] = e
    this.keyFirst[k] = e
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

  #unslot(slots: Uint32Array, next: Uint32Array, slot: number, row: number): void {
    let at = slots[slot] as number
    if (at === row) {
      slots[slot] = next[row] as number
      return
    }
    while (next[at] !== row) at = next[at] as number
    next[at] = next[row] as number
  }

  /** A key nobody has and nobody waits to hear of is forgotten. */
  #dropKey(k: number): void {
    if (this.keyFirst[k] !== 0 || ((this.#keyFlags[k] as number) & CHANGED) !== 0) return
    this.slabs.free(this.keyAddress[k] as number, this.keyLength[k] as number)
    this.#unslot(this.#keySlots, this.#keyNext, (this.#keyHash[k] as number) & (this.#keySlots.length - 1), k)
    this.#keyNext[k] = this.#keyFree
    this.#keyFree = k
    this.keys--
  }

  #slotCount(rows: number): number {
    const wanted = rows > EARLY ? Math.max(rows, this.#most) : rows
    return 2 ** Math.ceil(Math.log2(wanted))
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
    this.#slots = new Uint32Array(this.#slotCount(size))
    // Rows below #top - 1: the newest is linked by its maker.
    for (let e = 1; e < this.#top - 1; e++) {
      if (this.owner[e] === 0) continue
      const slot = pairHash(this.key[e] as number, this.owner[e] as number, this.#seed) & (this.#slots.length - 1)
      this.#slotNext[e] = this.#slots[slot] as number
      this.#slots[slot] = e
    }
  }

  #growKeys(): void {
    const size = this.keyFirst.length * 2
    this.keyAddress = grown(this.keyAddress, size)
    this.keyLength = grown(this.keyLength, size)
    this.keyFirst = grown(this.keyFirst, size)
    this.#keyHash = grown(this.#keyHash, size)
    this.#keyFlags = grown(this.#keyFlags, size)
    this.#keyNext = grown(this.#keyNext, size)
    if (this.#keySlots.length >= size) return
    // Growing happens only when no row is free, so all rows below the newest are keys.
    this.#keySlots = new Uint32Array(this.#slotCount(size))
    for (let k = 1; k < this.#keyTop - 1; k++) {
      const slot = (this.#keyHash[k] as number) & (this.#keySlots.length - 1)
      this.#keyNext[k] = this.#keySlots[slot] as number
      this.#keySlots[slot] = k
    }
  }
}
