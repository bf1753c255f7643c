/**
 * A cached response: its octets and the numbers a hit needs, all in one block
 * of the slab, so that an entry costs no object.
 *
 *     -64           the numbers, at the places below
 *     0             the response: header, question in lower case, records; no OPT
 *     length (even) offsets of the TTL fields, two octets each
 *     then          the text of the extended error, if there is one
 *
 * All records carry the entry's own TTL (the least of the answer's), so ageing
 * is one number written to each offset. A run of equal-type records that may
 * rotate is marked by its first TTL offset and its count.
 *
 * This file is long, because it is the one place that knows where each number
 * lies in the block.
 */
import { blockSize, Chunk, startOf, type Ref } from './slab.ts'
import { FOLD } from '../../wire/name.ts'
import { copy, put16, u16 } from '../../wire/octets.ts'

export const POSITIVE = 0
export const NEGATIVE = 1
export const FAILURE = 2
export type Kind = typeof POSITIVE | typeof NEGATIVE | typeof FAILURE

/** Properties of an answer besides its message. */
export type FillMeta = {
  readonly kind: Kind
  /** TTL in whole seconds; an answer with 0 is not kept. */
  readonly ttl: number
  /** Seconds that it may be served after its TTL (RFC 8767), 0 for never. */
  readonly stale: number
  /** TTL shown while stale. */
  readonly staleTtl: number
  readonly ede: number
  readonly edeText: string
  /** Index of the zone's metric label. */
  readonly zone: number
  /**
   * Number of the route or local zone that the answer came from. A change there changes the number, which
   * invalidates the entry.
   */
  readonly source: number
  /**
   * Its aliases or SRV targets lead to other zones, so that `source` combines several numbers (answer/sources.ts).
   */
  readonly several: boolean
  /** Number of failures in a row before this one; only for a failure. */
  readonly failures: number
  readonly dnssecOk: boolean
  readonly checkingDisabled: boolean
  /** Kept only if it is asked for again soon (trial.ts). */
  readonly onTrial: boolean
  /** From a local zone. */
  readonly authoritative: boolean
}

/**
 * An answer to store: a message of `length` octets in `wire`, without OPT, whose question is the name that was
 * asked.
 */
export type Fill = {
  readonly wire: Uint8Array
  readonly length: number
  readonly qnameEnd: number
  readonly questionEnd: number
  readonly qtype: number
  /** Offsets of the TTL fields, ascending, without OPT. */
  readonly ttls: readonly number[]
  /** Index into `ttls`, and length, of the run of records that is rotated between clients. */
  readonly rotateFrom: number
  readonly rotateCount: number
  /** A separate object, because spreading its twenty fields into the fill cost 7 µs. */
  readonly meta: FillMeta
}

/** Octets of the numeric fields. */
const NUMBERS = 64

// Position of each field before the response, in units of its type.
const F64 = { expiresAt: -8, retryAt: -7 } as const
const I32 = { hash: -12, generation: -11, ttl: -10, stale: -9, epoch: -8, source: -7 } as const
const U16 = {
  length: -12,
  qnameEnd: -11,
  qtype: -10,
  ttlCount: -9,
  rotateFrom: -8,
  rotateCount: -7,
  turn: -6,
  touched: -5,
  hits: -4,
} as const
const U8 = { kind: -6, bits: -5, zone: -4, staleTtl: -3, ede: -2, failures: -1 } as const
// Stored in the same octet as the kind.
const REFRESHING = 0x80
const SEVERAL = 0x40
const APART = 0x20
const RESTORED = 0x10
/** Flag in `ede`: a text follows the TTL offsets, and its length is in the octet before it. */
const HAS_TEXT = 0x80
/** Limit of an extended error's text in octets. */
const MOST_TEXT = 255

const NOTHING = new Chunk(NUMBERS)

/**
 * A view of one entry, valid until the cache changes. For longer use, take a copy of the view with `held` and check
 * `gone` first.
 */
export class Entry {
  #chunk: Chunk = NOTHING
  /** Offset of the response in `bytes`. */
  at = NUMBERS
  #ref: Ref = 0
  #generation = 0
  #cuts = 0

  /** Makes this view show a block. */
  point(chunk: Chunk, ref: Ref): this {
    // The chunk is usually the same; skipping the write saves the garbage collector's write barrier.
    if (this.#chunk !== chunk) this.#chunk = chunk
    this.at = startOf(ref) + NUMBERS
    this.#ref = ref
    return this
  }

  /** The block that it shows. */
  get ref(): Ref {
    return this.#ref
  }

  /** The response is bytes[at, at + length). */
  get bytes(): Buffer {
    return this.#chunk.bytes
  }

  /** For a held view: the entry was removed from the cache, and the block may be reused. */
  get gone(): boolean {
    return this.#cuts !== this.#chunk.cuts || this.#generation !== this.#i32(I32.generation)
  }

  get hash(): number {
    return this.#i32(I32.hash)
  }
  get length(): number {
    return this.#u16(U16.length)
  }
  get qnameEnd(): number {
    return this.#u16(U16.qnameEnd)
  }
  get questionEnd(): number {
    return this.#u16(U16.qnameEnd) + 4
  }
  get qtype(): number {
    return this.#u16(U16.qtype)
  }
  /** DO and CD as one number; part of the key. */
  get bits(): number {
    return this.#u8(U8.bits)
  }
  get kind(): Kind {
    return (this.#u8(U8.kind) & 3) as Kind
  }
  get ttl(): number {
    return this.#i32(I32.ttl)
  }
  get storedAt(): number {
    return this.expiresAt - this.ttl * 1000
  }
  /** Milliseconds on the data thread's clock. */
  get expiresAt(): number {
    return this.#chunk.f64[(this.at >>> 3) + F64.expiresAt]!
  }
  set expiresAt(t: number) {
    this.#chunk.f64[(this.at >>> 3) + F64.expiresAt] = t
  }
  get staleUntil(): number {
    return this.expiresAt + this.#i32(I32.stale) * 1000
  }
  get staleTtl(): number {
    return this.#u8(U8.staleTtl)
  }
  get ttlCount(): number {
    return this.#u16(U16.ttlCount)
  }
  get ttlsAt(): number {
    return (this.length + 1) & ~1
  }
  get rotateFrom(): number {
    return this.#u16(U16.rotateFrom)
  }
  get rotateCount(): number {
    return this.#u16(U16.rotateCount)
  }
  get turn(): number {
    return this.#u16(U16.turn)
  }
  set turn(n: number) {
    this.#chunk.u16[(this.at >>> 1) + U16.turn] = n
  }
  /** Hits since it was filled, at most 65,535. */
  get hits(): number {
    return this.#u16(U16.hits)
  }
  set hits(n: number) {
    this.#chunk.u16[(this.at >>> 1) + U16.hits] = Math.min(n, 0xffff)
  }
  /** The second, modulo 65,536, in which the cache's LRU order was last updated for it. */
  get touched(): number {
    return this.#u16(U16.touched)
  }
  set touched(second: number) {
    this.#chunk.u16[(this.at >>> 1) + U16.touched] = second
  }
  /** A refresh was started since it was filled. */
  get refreshing(): boolean {
    return (this.#u8(U8.kind) & REFRESHING) !== 0
  }
  set refreshing(yes: boolean) {
    this.#putFlag(REFRESHING, yes)
  }
  /** Whether its source combines several numbers. */
  get several(): boolean {
    return (this.#u8(U8.kind) & SEVERAL) !== 0
  }
  /** Whether it is stored outside the cache, for one answer. */
  get apart(): boolean {
    return (this.#u8(U8.kind) & APART) !== 0
  }
  set apart(yes: boolean) {
    this.#putFlag(APART, yes)
  }
  /** Whether it comes from the cache of an earlier run. */
  get restored(): boolean {
    return (this.#u8(U8.kind) & RESTORED) !== 0
  }
  set restored(yes: boolean) {
    this.#putFlag(RESTORED, yes)
  }
  /** The data thread's epoch when its source was last checked. */
  get epoch(): number {
    return this.#i32(I32.epoch)
  }
  set epoch(n: number) {
    this.#chunk.i32[(this.at >>> 2) + I32.epoch] = n
  }
  /** -1 for none. */
  get ede(): number {
    return (this.#u8(U8.ede) & ~HAS_TEXT) - 1
  }
  get edeText(): Uint8Array | undefined {
    if ((this.#u8(U8.ede) & HAS_TEXT) === 0) return undefined
    const at = this.at + this.ttlsAt + this.ttlCount * 2
    return this.bytes.subarray(at + 1, at + 1 + this.bytes[at]!)
  }
  get zone(): number {
    return this.#u8(U8.zone)
  }
  get source(): number {
    return this.#i32(I32.source)
  }
  get failures(): number {
    return this.#u8(U8.failures)
  }
  set failures(n: number) {
    this.#putU8(U8.failures, Math.min(n, 0xff))
  }
  /** No refresh before this time, after one has failed (RFC 8767 §5); 0 for no wait. */
  get retryAt(): number {
    return this.#chunk.f64[(this.at >>> 3) + F64.retryAt]!
  }
  set retryAt(t: number) {
    this.#chunk.f64[(this.at >>> 3) + F64.retryAt] = t
  }

  /** Octets that its block was allocated for. */
  get room(): number {
    const text = this.edeText
    return NUMBERS + this.ttlsAt + this.ttlCount * 2 + (text ? 1 + text.length : 0)
  }

  /** Octets that it takes from the budget. */
  get size(): number {
    return sizeOf(this.room)
  }

  /** A copy of this view, to be kept. */
  held(): Entry {
    const held = new Entry()
    held.#chunk = this.#chunk
    held.at = this.at
    held.#ref = this.#ref
    held.#generation = this.#i32(I32.generation)
    held.#cuts = this.#chunk.cuts
    return held
  }

  /** A copy of the entry outside the cache, which stays valid when the cache changes. */
  copy(): Entry {
    const chunk = new Chunk((this.room + 7) & ~7)
    const from = this.at - NUMBERS
    copy(this.bytes, from, from + this.room, chunk.bytes, 0)
    const entry = new Entry().point(chunk, 0)
    entry.apart = this.apart
    return entry
  }

  /** Marks the entry as removed: every view of it is now gone. */
  end(): void {
    this.#chunk.i32[(this.at >>> 2) + I32.generation]! += 1
  }

  /** Writes a fill into the block of this view, which must be large enough. */
  store(fill: Fill, hash: number, now: number): void {
    const { meta } = fill
    const { f64, i32, u16: halves, bytes } = this.#chunk
    const { at } = this
    const d = at >>> 3
    const w = at >>> 2
    const h = at >>> 1
    f64[d + F64.expiresAt] = Math.round(now) + meta.ttl * 1000
    f64[d + F64.retryAt] = 0
    i32[w + I32.hash] = hash
    i32[w + I32.ttl] = meta.ttl
    i32[w + I32.stale] = meta.stale
    i32[w + I32.epoch] = 0
    i32[w + I32.source] = meta.source
    halves[h + U16.length] = fill.length
    halves[h + U16.qnameEnd] = fill.qnameEnd
    halves[h + U16.qtype] = fill.qtype
    halves[h + U16.ttlCount] = fill.ttls.length
    halves[h + U16.rotateFrom] = fill.rotateFrom
    halves[h + U16.rotateCount] = fill.rotateCount
    halves[h + U16.turn] = 0
    halves[h + U16.touched] = Math.trunc(now / 1000) & 0xffff
    halves[h + U16.hits] = 0
    this.#putU8(U8.kind, meta.kind | (meta.several ? SEVERAL : 0))
    this.#putU8(U8.bits, keyBits(meta.dnssecOk, meta.checkingDisabled))
    this.#putU8(U8.zone, meta.zone)
    this.#putU8(U8.staleTtl, meta.staleTtl)
    this.#putU8(U8.ede, meta.ede + 1)
    this.failures = meta.failures
    copy(fill.wire, 0, fill.length, bytes, at)
    for (let i = 12; i < fill.qnameEnd; i++) bytes[at + i] = FOLD[bytes[at + i]!]!
    let end = at + ((fill.length + 1) & ~1)
    for (let i = 0; i < fill.ttls.length; i++, end += 2) put16(bytes, end, fill.ttls[i]!)
    if (meta.edeText === '') return
    this.#putU8(U8.ede, (meta.ede + 1) | HAS_TEXT)
    const text = Buffer.from(meta.edeText)
    bytes[end] = Math.min(MOST_TEXT, text.length)
    text.copy(bytes, end + 1, 0, MOST_TEXT)
  }

  #putFlag(flag: number, yes: boolean): void {
    const octet = this.#u8(U8.kind)
    this.#putU8(U8.kind, yes ? octet | flag : octet & ~flag)
  }
  #u8(at: number): number {
    return this.#chunk.bytes[this.at + at]!
  }
  #putU8(at: number, value: number): void {
    this.#chunk.bytes[this.at + at] = value
  }
  #u16(at: number): number {
    return this.#chunk.u16[(this.at >>> 1) + at]!
  }
  #i32(at: number): number {
    return this.#chunk.i32[(this.at >>> 2) + at]!
  }
}

/** Octets of an entry besides its block: in lru-cache's arrays and map, and in the table. */
const OVERHEAD = 96

/** What an entry with this many octets takes from the budget. */
export const sizeOf = (length: number): number => blockSize(length) + OVERHEAD

export const keyBits = (dnssecOk: boolean, checkingDisabled: boolean): number =>
  (dnssecOk ? 1 : 0) | (checkingDisabled ? 2 : 0)

/** Octets of slab memory that a fill needs. */
export const room = ({ length, ttls, meta }: Fill): number => {
  const text = meta.edeText === '' ? 0 : 1 + Math.min(MOST_TEXT, Buffer.byteLength(meta.edeText))
  return NUMBERS + ((length + 1) & ~1) + ttls.length * 2 + text
}

/** Offset of TTL field `i` from the start of the response. */
export const ttlAt = (entry: Entry, i: number): number =>
  u16(entry.bytes, entry.at + entry.ttlsAt + i * 2)

/** The hash in a block, read without a view, because most entries that a look-up passes do not match. */
export const hashAt = (chunk: Chunk, ref: Ref): number =>
  chunk.i32[((startOf(ref) + NUMBERS) >>> 2) + I32.hash]!
