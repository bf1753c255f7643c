/**
 * Reads the subset of MessagePack that memberlist and Serf use: maps keyed by field name, integers, booleans, and
 * "raw" for strings and bytes (the specification before 2013, which go-msgpack writes). It also accepts the newer
 * forms, never throws, and distinguishes incomplete from invalid input, so that a message can be parsed while it
 * arrives.
 */

/** No error so far. */
export const OK = 0
/** The bytes end inside a value; more bytes may complete it. */
export const SHORT = 1
/** The bytes are invalid, whatever follows. */
export const BAD = 2
export type Fault = typeof OK | typeof SHORT | typeof BAD

const EMPTY = Buffer.alloc(0)

/** A Buffer over the same memory. */
export const bufferOf = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/**
 * Reads one value after another. After the first error every read returns an empty value and `fault` stays set, so
 * that callers check it once at the end.
 */
export class Reader {
  readonly bytes: Buffer
  /** Offset of the next octet. */
  at: number
  fault: Fault = OK
  #end: number

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bufferOf(bytes)
    this.at = at
    this.#end = end
  }

  /** Whether everything was read without error. */
  get ok(): boolean {
    return this.fault === OK
  }

  /** Octets not read yet. */
  get left(): number {
    return this.#end - this.at
  }

  /** Marks the message as invalid. */
  bad(): void {
    if (this.fault === OK) this.fault = BAD
  }

  /** Whether n octets are available; otherwise sets the fault SHORT. */
  #has(n: number): boolean {
    if (this.fault !== OK) return false
    if (this.at + n <= this.#end) return true
    this.fault = SHORT
    return false
  }

  #uint(n: 1 | 2 | 4 | 8): number {
    if (!this.#has(n)) return 0
    const at = this.at
    this.at += n
    if (n === 1) return this.bytes[at] ?? 0
    if (n === 2) return this.bytes.readUInt16BE(at)
    if (n === 4) return this.bytes.readUInt32BE(at)
    return this.bytes.readUInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4)
  }

  /** The next n octets (a view, not a copy). */
  take(n: number): Buffer {
    if (!this.#has(n)) return EMPTY
    this.at += n
    return this.bytes.subarray(this.at - n, this.at)
  }

  #tag(): number {
    return this.#uint(1)
  }

  /** Number of pairs in a map; nil counts as none. More than `most` is BAD. */
  map(most = 64): number {
    const tag = this.#tag()
    const n =
      (tag & 0xf0) === 0x80
        ? tag & 0x0f
        : tag === 0xde
          ? this.#uint(2)
          : tag === 0xdf
            ? this.#uint(4)
            : tag === 0xc0
              ? 0
              : -1
    if (n < 0 || n > most) this.bad()
    return this.fault === OK ? n : 0
  }

  /** Number of elements in an array; nil counts as none. More than `most` is BAD. */
  array(most: number): number {
    const tag = this.#tag()
    const n =
      (tag & 0xf0) === 0x90
        ? tag & 0x0f
        : tag === 0xdc
          ? this.#uint(2)
          : tag === 0xdd
            ? this.#uint(4)
            : tag === 0xc0
              ? 0
              : -1
    if (n < 0 || n > most) this.bad()
    return this.fault === OK ? n : 0
  }

  /** Length of a raw, str or bin value; its octets come next. More than `most` is BAD. */
  rawLength(most: number): number {
    const tag = this.#tag()
    const n =
      (tag & 0xe0) === 0xa0
        ? tag & 0x1f
        : tag === 0xd9 || tag === 0xc4
          ? this.#uint(1)
          : tag === 0xda || tag === 0xc5
            ? this.#uint(2)
            : tag === 0xdb || tag === 0xc6
              ? this.#uint(4)
              : tag === 0xc0
                ? 0
                : -1
    if (n < 0 || n > most) this.bad()
    return this.fault === OK ? n : 0
  }

  /** Octets of a raw, str or bin value (a view). An array of small integers is accepted, too. */
  raw(most: number): Buffer {
    if (this.#has(1) && (this.bytes[this.at]! & 0xf0) === 0x90) {
      const n = this.array(Math.min(most, 15))
      return Buffer.from(Array.from({ length: n }, () => this.int() & 0xff))
    }
    return this.take(this.rawLength(most))
  }

  /** Text of a raw value. Invalid UTF-8 is BAD, because such a name could not be sent back unchanged. */
  text(most: number): string {
    const text = this.#string(this.rawLength(most), 'utf8')
    if (text.includes('\ufffd')) this.bad()
    return text
  }

  /** A field name in a struct; '' for one longer than all known names. */
  key(): string {
    const n = this.rawLength(0xffff)
    return n > 32 ? this.take(n).toString('latin1', 0, 0) : this.#string(n, 'latin1')
  }

  /** n octets as text, without creating a view. */
  #string(n: number, as: 'utf8' | 'latin1'): string {
    if (!this.#has(n)) return ''
    this.at += n
    return this.bytes.toString(as, this.at - n, this.at)
  }

  /** An integer of any width; beyond 2^53 rounded to a double. */
  int(): number {
    const tag = this.#tag()
    if (tag < 0x80) return tag
    if (tag >= 0xe0) return tag - 256
    switch (tag) {
      case 0xc0:
        return 0
      case 0xcc:
        return this.#uint(1)
      case 0xcd:
        return this.#uint(2)
      case 0xce:
        return this.#uint(4)
      case 0xcf:
        return Math.min(this.#uint(8), Number.MAX_SAFE_INTEGER)
      case 0xd0:
        return (this.#uint(1) << 24) >> 24
      case 0xd1:
        return (this.#uint(2) << 16) >> 16
      case 0xd2:
        return this.#uint(4) | 0
      case 0xd3:
        return this.#int64()
    }
    this.bad()
    return 0
  }

  #int64(): number {
    if (!this.#has(8)) return 0
    const high = this.bytes.readInt32BE(this.at)
    const low = this.bytes.readUInt32BE(this.at + 4)
    this.at += 8
    const value = high * 0x1_0000_0000 + low
    return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(value, Number.MAX_SAFE_INTEGER))
  }

  /** An integer from 0 to `most`; anything else is BAD. */
  uint(most: number): number {
    const n = this.int()
    if (n < 0 || n > most) this.bad()
    return this.fault === OK ? n : 0
  }

  bool(): boolean {
    const tag = this.#tag()
    if (tag !== 0xc2 && tag !== 0xc3 && tag !== 0xc0) this.bad()
    return tag === 0xc3
  }

  /** Skips one value with all nested values, without recursion. */
  skip(): void {
    for (let values = 1; values > 0 && this.fault === OK; values--) {
      const tag = this.#tag()
      if (tag < 0x80 || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) continue
      if (tag < 0x90) values += (tag & 0x0f) * 2
      else if (tag < 0xa0) values += tag & 0x0f
      else if (tag < 0xc0) this.take(tag & 0x1f)
      else values += this.#skipLong(tag)
    }
  }

  /** Skips the length field of a tag; returns the number of values inside it. */
  #skipLong(tag: number): number {
    switch (tag) {
      case 0xcc:
      case 0xd0:
        this.take(1)
        return 0
      case 0xcd:
      case 0xd1:
        this.take(2)
        return 0
      case 0xce:
      case 0xd2:
      case 0xca:
        this.take(4)
        return 0
      case 0xcf:
      case 0xd3:
      case 0xcb:
        this.take(8)
        return 0
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        this.take(1 + (1 << (tag - 0xd4)))
        return 0
      case 0xc7:
      case 0xc8:
      case 0xc9:
        this.take(this.#uint(tag === 0xc7 ? 1 : tag === 0xc8 ? 2 : 4) + 1)
        return 0
      case 0xd9:
      case 0xc4:
        this.take(this.#uint(1))
        return 0
      case 0xda:
      case 0xc5:
        this.take(this.#uint(2))
        return 0
      case 0xdb:
      case 0xc6:
        this.take(this.#uint(4))
        return 0
      case 0xdc:
        return this.#uint(2)
      case 0xdd:
        return this.#uint(4)
      case 0xde:
        return this.#uint(2) * 2
      case 0xdf:
        return this.#uint(4) * 2
    }
    this.bad()
    return 0
  }
}
