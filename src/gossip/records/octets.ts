/**
 * Reads and writes the octets of our own messages. The reader never runs past its end and never throws: after a
 * failed read, `ok` is false and every further read returns 0 or empty, so that a decoder checks once at the end.
 * Numbers are LEB128 varints of at most 53 bits.
 */

const MAX_SAFE = 2 ** 53

/** A cursor over bytes[at .. end). */
export class Reader {
  bytes: Buffer
  at: number
  end: number
  ok = true

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.at = at
    this.end = Math.min(end, bytes.length)
  }

  get left(): number {
    return this.end - this.at
  }

  #overrun(): number {
    this.ok = false
    this.at = this.end
    return 0
  }

  u8(): number {
    return this.at < this.end ? (this.bytes[this.at++] as number) : this.#overrun()
  }

  u32(): number {
    if (this.left < 4) return this.#overrun()
    const n = this.bytes.readUInt32BE(this.at)
    this.at += 4
    return n
  }

  /** Reads a 53-bit owner hash of seven octets. */
  hash(): number {
    if (this.left < 7) return this.#overrun()
    const high = this.bytes.readUIntBE(this.at, 3)
    const low = this.bytes.readUInt32BE(this.at + 3)
    this.at += 7
    return high < 0x200000 ? high * 0x100000000 + low : this.#overrun()
  }

  varint(): number {
    let n = 0
    let scale = 1
    while (this.at < this.end) {
      const b = this.bytes[this.at++] as number
      n += (b & 0x7f) * scale
      if (b < 0x80) return n < MAX_SAFE ? n : this.#overrun()
      scale *= 128
      if (scale >= MAX_SAFE) break
    }
    return this.#overrun()
  }

  /** Skips `length` octets; returns where they begin. */
  skip(length: number): number {
    if (length > this.left) return this.#overrun()
    const at = this.at
    this.at += length
    return at
  }

  /** Skips `length` octets; returns a reader over them. */
  part(length: number): Reader {
    const at = this.skip(length)
    const part = new Reader(this.bytes, at, this.ok ? at + length : at)
    part.ok = this.ok
    return part
  }

  text(length: number): string {
    const at = this.skip(length)
    return this.ok ? this.bytes.toString('utf8', at, at + length) : ''
  }
}

/** Number of octets of n as a varint. */
export const varintSize = (n: number): number => {
  let size = 1
  while (n >= 128) {
    n = Math.floor(n / 128)
    size++
  }
  return size
}

/** Appends octets to a growing buffer. */
export class Writer {
  bytes: Buffer
  at = 0

  constructor(size = 1_408) {
    this.bytes = Buffer.allocUnsafe(size)
  }

  /** Reserves room for `more` octets. */
  room(more: number): void {
    if (this.at + more <= this.bytes.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.bytes.length * 2, this.at + more))
    this.bytes.copy(grown, 0, 0, this.at)
    this.bytes = grown
  }

  u8(n: number): void {
    this.room(1)
    this.bytes[this.at++] = n
  }

  u32(n: number): void {
    this.room(4)
    this.at = this.bytes.writeUInt32BE(n >>> 0, this.at)
  }

  hash(n: number): void {
    this.room(7)
    this.at = this.bytes.writeUIntBE(Math.floor(n / 0x100000000), this.at, 3)
    this.at = this.bytes.writeUInt32BE(n % 0x100000000, this.at)
  }

  varint(n: number): void {
    this.room(8)
    while (n >= 128) {
      this.bytes[this.at++] = (n % 128) | 0x80
      n = Math.floor(n / 128)
    }
    this.bytes[this.at++] = n
  }

  raw(from: Uint8Array, start = 0, end = from.length): void {
    this.room(end - start)
    if (end - start < 48)
      for (let i = start; i < end; i++) this.bytes[this.at++] = from[i] as number
    else {
      this.bytes.set(start === 0 && end === from.length ? from : from.subarray(start, end), this.at)
      this.at += end - start
    }
  }

  /** A text after its length; cut at 255 octets. */
  text(text: string): void {
    const octets = Buffer.from(text, 'utf8').subarray(0, 255)
    this.u8(octets.length)
    this.raw(octets)
  }

  /** A copy of the written octets. */
  done(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.at))
  }
}
