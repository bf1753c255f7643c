/**
 * Writes MessagePack like the go-msgpack of serf's time: strings and octets as "raw" of the old specification,
 * numbers in their shortest form.
 */

/** Appends values to one growing buffer. */
export class Writer {
  #bytes: Buffer
  #at = 0

  /** @param size initial size in octets */
  constructor(size = 128) {
    this.#bytes = Buffer.allocUnsafe(size)
  }

  /** Octets written. */
  get length(): number {
    return this.#at
  }

  #room(n: number): void {
    if (this.#at + n <= this.#bytes.length) return
    const wider = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + n))
    this.#bytes.copy(wider, 0, 0, this.#at)
    this.#bytes = wider
  }

  /** One raw octet: a message type. */
  u8(value: number): this {
    this.#room(1)
    this.#bytes[this.#at++] = value
    return this
  }

  /** Raw octets. */
  bytes(value: Uint8Array): this {
    this.#room(value.length)
    this.#bytes.set(value, this.#at)
    this.#at += value.length
    return this
  }

  #head(fix: number, fixMost: number, tag16: number, n: number): this {
    this.#room(5)
    if (n <= fixMost) this.#bytes[this.#at++] = fix | n
    else if (n <= 0xffff) {
      this.#bytes[this.#at++] = tag16
      this.#at = this.#bytes.writeUInt16BE(n, this.#at)
    } else {
      this.#bytes[this.#at++] = tag16 + 1
      this.#at = this.#bytes.writeUInt32BE(n, this.#at)
    }
    return this
  }

  map(pairs: number): this {
    return this.#head(0x80, 15, 0xde, pairs)
  }

  array(elements: number): this {
    return this.#head(0x90, 15, 0xdc, elements)
  }

  raw(value: Uint8Array): this {
    return this.#head(0xa0, 31, 0xda, value.length).bytes(value)
  }

  /** Text as a raw value. */
  text(value: string): this {
    const n = Buffer.byteLength(value)
    this.#head(0xa0, 31, 0xda, n).#room(n)
    this.#at += this.#bytes.write(value, this.#at)
    return this
  }

  bool(value: boolean): this {
    return this.u8(value ? 0xc3 : 0xc2)
  }

  nil(): this {
    return this.u8(0xc0)
  }

  /** An integer in its shortest form. */
  int(value: number): this {
    this.#room(9)
    const b = this.#bytes
    if (value < 0) {
      if (value >= -32) b[this.#at++] = value & 0xff
      else {
        b[this.#at++] = 0xd3
        this.#at = b.writeBigInt64BE(BigInt(value), this.#at)
      }
    } else if (value < 0x80) b[this.#at++] = value
    else if (value <= 0xff) {
      b[this.#at++] = 0xcc
      b[this.#at++] = value
    } else if (value <= 0xffff) {
      b[this.#at++] = 0xcd
      this.#at = b.writeUInt16BE(value, this.#at)
    } else if (value <= 0xffff_ffff) {
      b[this.#at++] = 0xce
      this.#at = b.writeUInt32BE(value, this.#at)
    } else {
      b[this.#at++] = 0xcf
      this.#at = b.writeUInt32BE(Math.floor(value / 0x1_0000_0000), this.#at)
      this.#at = b.writeUInt32BE(value >>> 0, this.#at)
    }
    return this
  }

  /** The written octets; the writer must not be used afterwards. */
  done(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }
}
