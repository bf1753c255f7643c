/**
 * Responses by question. lru-cache decides what lives, by octets and by
 * count; in front of it lies a table from the question's hash to the entry,
 * because a string key and a Map cost three times what the rest of a hit
 * does (src/bench shows the difference). The two agree by construction: an
 * entry is put into both here, and the only way out of the table is
 * lru-cache's own dispose.
 */
import { LRUCache } from 'lru-cache'
import { FOLD } from '../wire/name.ts'
import { u16, u8 } from '../wire/octets.ts'
import {
  Entry,
  keyBits,
  NEGATIVE,
  POSITIVE,
  room,
  sizeOf,
  store,
  type Fill,
} from './entry.ts'
import { Slab } from './slab.ts'

/** Whole seconds between two notes to lru-cache about the same entry. */
const TOUCH_SECONDS = 1

export type CacheBounds = { readonly maxBytes: number; readonly maxEntries: number }

/**
 * Hash of a question: FNV-1a over the name with bit 0x20 set in every octet
 * (letters fold; the comparison decides), its type and its DO and CD bits.
 */
export const hashQuestion = (
  b: Uint8Array,
  nameAt: number,
  nameEnd: number,
  qtype: number,
  bits: number,
): number => {
  let h = 0x811c9dc5 ^ seed
  for (let i = nameAt; i < nameEnd; i++) h = Math.imul(h ^ (b[i]! | 0x20), 0x01000193)
  h = Math.imul(h ^ qtype, 0x01000193)
  h = Math.imul(h ^ bits, 0x01000193)
  return h ^ (h >>> 15)
}

/** Set once at start from the thread's random source, so that nobody outside can choose colliding names. */
let seed = 0
export const seedHash = (random: number): void => {
  seed = random | 0
}

export class PacketCache {
  readonly #lru: LRUCache<Entry, Entry>
  readonly #slab = new Slab()
  readonly #table: (Entry | undefined)[]
  readonly #mask: number
  readonly #maxBytes: number
  #denials = 0
  /** Told of each entry that had to go to stay within the bounds. */
  readonly #evicted: (kind: typeof POSITIVE | typeof NEGATIVE) => void

  constructor(
    bounds: CacheBounds,
    evicted: (kind: typeof POSITIVE | typeof NEGATIVE) => void = () => {},
  ) {
    this.#evicted = evicted
    this.#maxBytes = bounds.maxBytes
    let slots = 1024
    while (slots < bounds.maxEntries * 2) slots *= 2
    this.#table = new Array<Entry | undefined>(slots).fill(undefined)
    this.#mask = slots - 1
    this.#lru = new LRUCache<Entry, Entry>({
      max: bounds.maxEntries,
      maxSize: bounds.maxBytes,
      sizeCalculation: entry => entry.size,
      dispose: (entry, _key, reason) => this.#letGo(entry, reason),
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
   * The entry for the question whose name is b[nameAt, nameEnd), fresh or
   * not; undefined for none.
   */
  find(
    b: Uint8Array,
    nameAt: number,
    nameEnd: number,
    qtype: number,
    bits: number,
  ): Entry | undefined {
    const hash = hashQuestion(b, nameAt, nameEnd, qtype, bits)
    const table = this.#table
    const mask = this.#mask
    const length = nameEnd - nameAt
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = table[slot]
      if (entry === undefined) return undefined
      if (
        entry.hash !== hash ||
        entry.qtype !== qtype ||
        entry.bits !== bits ||
        entry.qnameEnd - 12 !== length
      )
        continue
      const { chunk, at } = entry.block
      const from = at + 12 - nameAt
      let i = nameAt
      while (i < nameEnd && (b[i] === chunk[from + i] || FOLD[b[i]!] === chunk[from + i])) i++
      if (i === nameEnd) return entry
    }
  }

  /** Says that an entry was used; lru-cache hears of it at most once a second. */
  touch(entry: Entry, now: number): void {
    const second = Math.trunc(now / 1000)
    if (second - entry.touched < TOUCH_SECONDS) return
    entry.touched = second
    this.#lru.get(entry)
  }

  /** Puts a response in place of whatever answered its question before. Undefined if it is too large to keep. */
  fill(fill: Fill, now: number, epoch: number): Entry | undefined {
    const bits = keyBits(fill.meta.dnssecOk, fill.meta.checkingDisabled)
    const old = this.find(fill.wire, 12, fill.qnameEnd, fill.qtype, bits)
    if (old) this.#lru.delete(old)
    // lru-cache would pass over it without a word to dispose, and the table would keep it for ever.
    if (sizeOf(room(fill)) > this.#maxBytes) return undefined
    const entry = new Entry()
    const hash = hashQuestion(fill.wire, 12, fill.qnameEnd, fill.qtype, bits)
    store(entry, fill, this.#slab.take(room(fill)), hash, now)
    entry.epoch = epoch
    let slot = hash & this.#mask
    while (this.#table[slot] !== undefined) slot = (slot + 1) & this.#mask
    this.#table[slot] = entry
    if (entry.kind !== POSITIVE) this.#denials++
    this.#lru.set(entry, entry)
    return entry
  }

  delete(entry: Entry): void {
    this.#lru.delete(entry)
  }

  clear(): void {
    this.#lru.clear()
  }

  /** Most recently used first. */
  all(): Iterable<Entry> {
    return this.#lru.keys()
  }

  #letGo(entry: Entry, reason: string): void {
    if (entry.gone) return
    entry.gone = true
    this.#drop(entry)
    this.#slab.give(entry.block, entry.ttlsAt + entry.ttlCount * 2)
    if (entry.kind !== POSITIVE) this.#denials--
    if (reason === 'evict') this.#evicted(entry.kind === POSITIVE ? POSITIVE : NEGATIVE)
  }

  /** Takes an entry out of the table, closing the gap so that no probe ends early. */
  #drop(entry: Entry): void {
    const table = this.#table
    const mask = this.#mask
    let gap = entry.hash & mask
    while (table[gap] !== entry) gap = (gap + 1) & mask
    for (let slot = (gap + 1) & mask; table[slot] !== undefined; slot = (slot + 1) & mask) {
      const home = table[slot]!.hash & mask
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue
      table[gap] = table[slot]
      gap = slot
    }
    table[gap] = undefined
  }
}

/** The RCODE stored with an entry. */
export const rcodeOf = (entry: Entry): number => u8(entry.block.chunk, entry.block.at + 3) & 0x0f
/** Records in the answer section of a stored response. */
export const answersOf = (entry: Entry): number => u16(entry.block.chunk, entry.block.at + 6)
