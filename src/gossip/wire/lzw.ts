/**
 * Decoder for memberlist's compressed messages. The format is GIF's LZW: codes packed from the low bit, 8-bit
 * literals, codes of 9 to 12 bits; 256 clears the table, 257 ends the data. It works in steps, so that a large
 * stream does not block the event loop, and stops at a size limit. We never compress: receivers do not require it.
 */

const CLEAR = 256
const END = 257
const MAX_BITS = 12
const TABLE = 1 << MAX_BITS

/** The result of a step. */
export type LzwState = 'more' | 'done' | 'bad'

export class LzwDecoder {
  #input: Uint8Array
  #at = 0
  #bits = 0
  #bitCount = 0
  #width = 9
  /** The newest code in the table; higher codes are not defined yet. */
  #high = END
  /** The code at which the code width grows. */
  #overflow = 1 << 9
  /** The previous code, -1 after a clear. */
  #last = -1
  #prefix = new Uint16Array(TABLE)
  #suffix = new Uint8Array(TABLE)
  #scratch = new Uint8Array(TABLE)
  #out: Buffer
  #length = 0
  #most: number

  /** @param most size limit of the output in octets */
  constructor(input: Uint8Array, most: number) {
    this.#input = input
    this.#most = most
    this.#out = Buffer.allocUnsafe(Math.min(most, Math.max(256, input.length * 3)))
  }

  /** Decodes about `budget` more octets of output. Input without an end code is bad. */
  step(budget = Infinity): LzwState {
    const until = this.#length + budget
    for (;;) {
      while (this.#bitCount < this.#width) {
        if (this.#at >= this.#input.length) return 'bad'
        this.#bits |= this.#input[this.#at++]! << this.#bitCount
        this.#bitCount += 8
      }
      const code = this.#bits & ((1 << this.#width) - 1)
      this.#bits >>>= this.#width
      this.#bitCount -= this.#width
      if (code === END) return 'done'
      if (code === CLEAR) this.#clear()
      else if (!this.#emit(code)) return 'bad'
      if (this.#length >= until) return 'more'
    }
  }

  #clear(): void {
    this.#width = 9
    this.#high = END
    this.#overflow = 1 << 9
    this.#last = -1
  }

  #emit(code: number): boolean {
    const last = this.#last
    if (code > this.#high + 1 || (code > this.#high && last < 0)) return false
    // 'high + 1' is the string that this code defines: the previous one and its own first octet
    const own = code > this.#high && code > END
    let at = TABLE
    let walk = code
    if (own) {
      at--
      walk = last
    }
    while (walk > END) {
      this.#scratch[--at] = this.#suffix[walk]!
      walk = this.#prefix[walk]!
    }
    this.#scratch[--at] = walk
    if (own) this.#scratch[TABLE - 1] = walk
    if (!this.#push(at)) return false
    if (last >= 0 && this.#high < TABLE - 1) {
      this.#high++
      this.#prefix[this.#high] = last
      this.#suffix[this.#high] = walk
      if (this.#high + 1 >= this.#overflow && this.#width < MAX_BITS) {
        this.#width++
        this.#overflow <<= 1
      }
    }
    this.#last = code
    return true
  }

  /** Appends the scratch buffer from `at` to the output. */
  #push(at: number): boolean {
    const n = TABLE - at
    if (this.#length + n > this.#most) return false
    if (this.#length + n > this.#out.length) {
      const wider = Buffer.allocUnsafe(
        Math.min(this.#most, Math.max(this.#out.length * 2, this.#length + n)),
      )
      this.#out.copy(wider, 0, 0, this.#length)
      this.#out = wider
    }
    this.#out.set(this.#scratch.subarray(at), this.#length)
    this.#length += n
    return true
  }

  /** Everything decoded so far (a view). */
  output(): Buffer {
    return this.#out.subarray(0, this.#length)
  }
}

/** Decodes a whole buffer; undefined if it is not LZW or its output exceeds `most`. */
export const decompressed = (input: Uint8Array, most: number): Buffer | undefined => {
  const decoder = new LzwDecoder(input, most)
  return decoder.step() === 'done' ? decoder.output() : undefined
}
