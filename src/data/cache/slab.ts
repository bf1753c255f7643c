/**
 * Memory for cached responses: chunks cut into blocks of one size each, given
 * out and taken back by number. A number holds no object, so 50,000 entries
 * are a handful of chunks that the garbage collector never has to look into:
 * with an object per entry a third of a miss's processor time went into
 * moving and marking them.
 */

const CHUNK = 256 * 1024
/** Blocks lie at multiples of this. */
const UNIT = 64
const UNIT_BITS = 6
const UNITS_BITS = 12
const UNITS_MASK = (1 << UNITS_BITS) - 1
/** Block sizes: multiples of 64 to 1 KiB, then doubling to one block a chunk. */
const SIZES = [
  ...Array.from({ length: 16 }, (_, i) => UNIT * (i + 1)),
  2048,
  4096,
  8192,
  16384,
  32768,
  65536,
  131072,
]
const classOf = (length: number): number =>
  length <= 1024
    ? Math.max(0, ((length + 63) >>> 6) - 1)
    : 16 + Math.max(0, 32 - Math.clz32(length - 1) - 11)

/** Some memory, and the four ways we look at it. */
export class Chunk {
  readonly bytes: Buffer
  readonly u16: Uint16Array
  readonly i32: Int32Array
  readonly f64: Float64Array

  constructor(length: number) {
    const memory = new ArrayBuffer(length)
    this.bytes = Buffer.from(memory)
    this.u16 = new Uint16Array(memory)
    this.i32 = new Int32Array(memory)
    this.f64 = new Float64Array(memory)
  }
}

/** Names a block: the chunk's index and where in it the block begins. */
export type Ref = number

/** Where in its chunk a block begins, in octets; a multiple of 64. */
export const startOf = (ref: Ref): number => (ref & UNITS_MASK) << UNIT_BITS

/** Octets a block for `length` octets takes from the cache's budget. */
export const blockSize = (length: number): number => SIZES[classOf(length)]!

export class Slab {
  readonly #chunks: Chunk[] = []
  readonly #free: Ref[][] = SIZES.map(() => [])

  chunkOf(ref: Ref): Chunk {
    return this.#chunks[ref >>> UNITS_BITS]!
  }

  /** A block of at least `length` octets (131,072 at most), its content undefined. */
  take(length: number): Ref {
    const k = classOf(length)
    const free = this.#free[k]!
    if (free.length === 0) {
      const first = this.#chunks.length << UNITS_BITS
      this.#chunks.push(new Chunk(CHUNK))
      for (let at = CHUNK - SIZES[k]!; at >= 0; at -= SIZES[k]!)
        free.push(first | (at >>> UNIT_BITS))
    }
    return free.pop()!
  }

  /** Gives back a block that was taken for `length` octets. */
  give(ref: Ref, length: number): void {
    this.#free[classOf(length)]!.push(ref)
  }
}
