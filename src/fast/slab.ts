/**
 * Memory for cached responses: chunks cut into blocks of one size each, given
 * out and taken back by number. A Buffer per entry would cost two objects, a
 * malloc and a finalizer apiece; with blocks, 50,000 entries are a handful of
 * Buffers that the garbage collector never has to visit.
 */

const CHUNK = 256 * 1024
/** Block sizes: multiples of 64 to 1 KiB, then doubling to one block a chunk. */
const SIZES = [
  ...Array.from({ length: 16 }, (_, i) => 64 * (i + 1)),
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

/** Where a block lies. The chunk is shared; `at` is a multiple of 64. */
export type Block = { chunk: Buffer; at: number }

/** Octets a block for `length` octets takes from the cache's budget. */
export const blockSize = (length: number): number => SIZES[classOf(length)]!

export class Slab {
  readonly #free: Block[][] = SIZES.map(() => [])
  #chunks = 0

  /** Octets held from the system. */
  get reserved(): number {
    return this.#chunks * CHUNK
  }

  /** A block of at least `length` octets (131,072 at most), its content undefined. */
  take(length: number): Block {
    const k = classOf(length)
    const free = this.#free[k]!
    const block = free.pop()
    if (block) return block
    const size = SIZES[k]!
    const chunk = Buffer.allocUnsafeSlow(CHUNK)
    this.#chunks++
    for (let at = CHUNK - size; at > 0; at -= size) free.push({ chunk, at })
    return { chunk, at: 0 }
  }

  /** Gives back a block that was taken for `length` octets. */
  give(block: Block, length: number): void {
    this.#free[classOf(length)]!.push(block)
  }
}
