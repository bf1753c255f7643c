/**
 * Responses by question. lru-cache decides which entries are kept, by octets and count. A table from the question's
 * hash to the entry's block is used for look-ups, because a string key and a Map cost three times as much as the
 * rest of a hit. Both always have the same entries: this file adds a block to both, and removes it from the table
 * only in lru-cache's dispose callback.
 */
import { LRUCache } from 'lru-cache'
import { FOLD } from '../../wire/name.ts'
import { u8 } from '../../wire/octets.ts'
import { Entry, hashAt, keyBits, NEGATIVE, POSITIVE, room, sizeOf, type Fill } from './entry.ts'
import { hashQuestion } from './hash.ts'
import { Slab, type Ref } from './slab.ts'
import { Trial } from './trial.ts'

export type CacheBounds = { readonly maxBytes: number; readonly maxEntries: number }

/** Limit of table places that a look-up visits. Half the table is free, so random hashes stay far below. */
const MOST_PROBES = 128

/** Entries on trial are at most one in this many. */
const TRIAL_SHARE = 8

export class PacketCache {
  readonly #lru: LRUCache<Ref, Ref>
  readonly #slab: Slab
  /** Block numbers plus one, by hash; 0 is free. */
  readonly #table: Int32Array
  readonly #mask: number
  readonly #maxBytes: number
  readonly #sized = new Entry()
  readonly #leaving = new Entry()
  readonly #trial: Trial
  #denials = 0
  /** Entries by their DO and CD bits (`keyBits`). */
  readonly #countByBits = new Uint32Array(4)
  /** Called for each entry that was evicted because of the limits. */
  readonly #evicted: (kind: typeof POSITIVE | typeof NEGATIVE) => void

  constructor(
    bounds: CacheBounds,
    evicted: (kind: typeof POSITIVE | typeof NEGATIVE) => void = () => {},
  ) {
    this.#evicted = evicted
    this.#maxBytes = bounds.maxBytes
    this.#slab = new Slab(bounds.maxBytes, ref => this.#makeWay(ref))
    let slots = 1024
    while (slots < bounds.maxEntries * 2) slots *= 2
    this.#table = new Int32Array(slots)
    this.#mask = slots - 1
    this.#trial = new Trial(Math.ceil(bounds.maxEntries / TRIAL_SHARE))
    this.#lru = new LRUCache<Ref, Ref>({
      max: bounds.maxEntries,
      maxSize: bounds.maxBytes,
      sizeCalculation: ref => this.#view(this.#sized, ref).size,
      dispose: (ref, _key, reason) => this.#letGo(ref, reason),
    })
  }

  get entries(): number {
    return this.#lru.size
  }
  get denials(): number {
    return this.#denials
  }
  /** Octets counted against maxBytes. */
  get bytes(): number {
    return this.#lru.calculatedSize
  }

  /**
   * The entry for the question whose name is b[nameAt, nameEnd), fresh or not; undefined if there is none. `into` is
   * the view that is set and returned, so that a look-up allocates nothing.
   */
  find(
    b: Uint8Array,
    nameAt: number,
    nameEnd: number,
    qtype: number,
    bits: number,
    into: Entry,
  ): Entry | undefined {
    const hash = hashQuestion(b, nameAt, nameEnd, qtype, bits)
    return this.findBy(hash, b, nameAt, nameEnd, qtype, bits, into)
  }

  /** Whether any question is stored with these DO and CD bits. If not, `find` need not be called. */
  hasBits(bits: number): boolean {
    return this.#countByBits[bits]! > 0
  }

  /** The same for a question whose hash is known. */
  findBy(
    hash: number,
    b: Uint8Array,
    nameAt: number,
    nameEnd: number,
    qtype: number,
    bits: number,
    into: Entry,
  ): Entry | undefined {
    const table = this.#table
    const mask = this.#mask
    const length = nameEnd - nameAt
    for (let probe = 0; probe < MOST_PROBES; probe++) {
      const ref = table[(hash + probe) & mask]! - 1
      if (ref < 0) return undefined
      const chunk = this.#slab.chunkOf(ref)
      if (hashAt(chunk, ref) !== hash) continue
      const entry = into.point(chunk, ref)
      if (entry.qtype !== qtype || entry.bits !== bits || entry.qnameEnd - 12 !== length) continue
      const { bytes } = chunk
      const from = entry.at + 12 - nameAt
      let i = nameAt
      while (i < nameEnd && (b[i] === bytes[from + i] || FOLD[b[i]!] === bytes[from + i])) i++
      if (i === nameEnd) return entry
    }
    return undefined
  }

  /** Marks an entry as used; lru-cache is updated at most once a second. */
  touch(entry: Entry, now: number): void {
    const second = Math.trunc(now / 1000) & 0xffff
    if (second === entry.touched) return
    entry.touched = second
    this.#lru.get(entry.ref)
  }

  /** Stores a response in place of the previous one for its question. Undefined if it is too large to keep. */
  fill(fill: Fill, now: number, epoch: number): Entry | undefined {
    const { wire, qnameEnd, qtype } = fill
    const bits = keyBits(fill.meta.dnssecOk, fill.meta.checkingDisabled)
    const hash = hashQuestion(wire, 12, qnameEnd, qtype, bits)
    const length = room(fill)
    const size = sizeOf(length)
    const entry = new Entry()
    const found = this.findBy(hash, wire, 12, qnameEnd, qtype, bits, entry)
    if (found && entry.size === size) {
      // The block is used again. Deleting the entry first would be slow in a daemon that nobody asks: the answer to its
      // own query is the only entry then, and when the last one goes, lru-cache clears arrays of `maxEntries`: 1 ms.
      if (entry.kind !== POSITIVE) this.#denials--
      entry.end()
    } else {
      if (found) this.delete(entry)
      // lru-cache would drop it without calling dispose, and the table would keep it forever.
      if (size > this.#maxBytes) return undefined
      const ref = this.#slab.take(length)
      this.#view(entry, ref)
      this.#table[this.#freeSlot(hash)] = ref + 1
      this.#countByBits[bits]!++
    }
    entry.store(fill, hash, now)
    entry.epoch = epoch
    if (entry.kind !== POSITIVE) this.#denials++
    this.#lru.set(entry.ref, entry.ref)
    if (fill.meta.onTrial) this.#endTrial(this.#trial.add(entry.ref, hash))
    return entry
  }

  /** Removes an entry that nobody has asked for since it was stored. */
  #endTrial(ref: Ref): void {
    const entry = ref < 0 ? undefined : this.at(ref, this.#sized)
    if (entry && entry.hash === this.#trial.overHash && entry.hits === 0) this.delete(entry)
  }

  delete(entry: Entry): void {
    this.#lru.delete(entry.ref)
  }

  clear(): void {
    this.#lru.clear()
  }

  /** All entries, most recently used first, each as a new view. */
  *all(): Iterable<Entry> {
    for (const ref of this.#lru.keys()) yield this.#view(new Entry(), ref)
  }

  /** Octets of memory for responses, in use or not. */
  get resident(): number {
    return this.#slab.resident
  }

  /** A free place in the table for a hash. If there is none nearby, the entry at the hash's own place is evicted. */
  #freeSlot(hash: number): number {
    for (;;) {
      for (let probe = 0; probe < MOST_PROBES; probe++) {
        const slot = (hash + probe) & this.#mask
        if (this.#table[slot] === 0) return slot
      }
      this.#makeWay(this.#table[hash & this.#mask]! - 1)
    }
  }

  /** Evicts an entry although the budget has room for it. */
  #makeWay(ref: Ref): void {
    const { kind } = this.#view(this.#leaving, ref)
    this.#lru.delete(ref)
    this.#evicted(kind === POSITIVE ? POSITIVE : NEGATIVE)
  }

  /**
   * Every entry, chunk by chunk, each shown by `into`. Entries may be added or removed during the iteration; added
   * ones may be missed.
   */
  *scan(into: Entry): Iterable<Entry> {
    for (let chunk = 0; chunk < this.#slab.chunks; chunk++)
      for (const ref of this.#slab.used(chunk)) yield this.#view(into, ref)
  }

  /** The entry in a block; undefined if the block is not in use. */
  at(ref: Ref, into: Entry): Entry | undefined {
    return this.#slab.isUsed(ref) ? this.#view(into, ref) : undefined
  }

  #view(entry: Entry, ref: Ref): Entry {
    return entry.point(this.#slab.chunkOf(ref), ref)
  }

  #letGo(ref: Ref, reason: string): void {
    const entry = this.#view(this.#leaving, ref)
    this.#drop(ref, entry.hash)
    this.#countByBits[entry.bits]!--
    entry.end()
    this.#slab.give(ref)
    if (entry.kind !== POSITIVE) this.#denials--
    if (reason === 'evict') this.#evicted(entry.kind === POSITIVE ? POSITIVE : NEGATIVE)
  }

  /** Removes a block from the table and closes the gap, so that no probe ends early. */
  #drop(ref: Ref, hash: number): void {
    const table = this.#table
    const mask = this.#mask
    let gap = hash & mask
    while (table[gap] !== ref + 1) gap = (gap + 1) & mask
    for (let slot = (gap + 1) & mask; table[slot] !== 0; slot = (slot + 1) & mask) {
      const other = table[slot]! - 1
      const home = hashAt(this.#slab.chunkOf(other), other) & mask
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue
      table[gap] = other + 1
      gap = slot
    }
    table[gap] = 0
  }
}

/** The RCODE of an entry. */
export const rcodeOf = (entry: Entry): number => u8(entry.bytes, entry.at + 3) & 0x0f
