/**
 * Memory for cached responses: chunks that are cut into blocks of one size, referred to by number. There is no
 * object per entry, so the garbage collector has almost nothing to do for 50,000 entries.
 *
 * The number of chunks is limited by the cache's budget. If another chunk is needed, the one with the fewest octets
 * in use is emptied and cut again, so memory adapts to the current sizes of answers.
 */

const CHUNK = 256 * 1024
/** Blocks begin at multiples of this. */
const UNIT = 64
const UNIT_BITS = 6
const UNITS_BITS = 12
const UNITS_MASK = (1 << UNITS_BITS) - 1
/** Block sizes: multiples of 64 up to 1 KiB, then doubling up to half a chunk. */
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
/** Chunks beyond the budget, because most block sizes in use have one chunk that is partly full. */
const SPARE_CHUNKS = 8

const classOf = (length: number): number =>
  length <= 1024
    ? Math.max(0, ((length + 63) >>> 6) - 1)
    : 16 + Math.max(0, 32 - Math.clz32(length - 1) - 11)

/** A piece of memory as four typed arrays. */
export class Chunk {
  readonly bytes: Buffer
  readonly u16: Uint16Array
  readonly i32: Int32Array
  readonly f64: Float64Array
  /** How often it was cut; older views of its blocks are invalid. */
  cuts = 0

  constructor(length: number) {
    const memory = new ArrayBuffer(length)
    this.bytes = Buffer.from(memory)
    this.u16 = new Uint16Array(memory)
    this.i32 = new Int32Array(memory)
    this.f64 = new Float64Array(memory)
  }
}

/** The block size of a chunk, and which of its blocks are free. */
class Cut {
  readonly sizeClass: number
  /** By block number: 1 if in use. */
  readonly used: Uint8Array
  /** Numbers of free blocks, the first `freeCount` of them. */
  readonly free: Uint16Array
  freeCount: number

  constructor(sizeClass: number) {
    const blocks = Math.floor(CHUNK / SIZES[sizeClass]!)
    this.sizeClass = sizeClass
    this.used = new Uint8Array(blocks)
    // The lowest number is used first.
    this.free = Uint16Array.from({ length: blocks }, (_, i) => blocks - 1 - i)
    this.freeCount = blocks
  }

  get octetsUsed(): number {
    return (this.used.length - this.freeCount) * SIZES[this.sizeClass]!
  }
}

/** Identifies a block: the index of its chunk and its position there. */
export type Ref = number

/** Offset of a block in its chunk; a multiple of 64. */
export const startOf = (ref: Ref): number => (ref & UNITS_MASK) << UNIT_BITS

/** Octets that a block for `length` octets takes from the cache's budget. */
export const blockSize = (length: number): number => SIZES[classOf(length)]!

export class Slab {
  readonly #chunks: Chunk[] = []
  readonly #cuts: Cut[] = []
  /** Chunks with free blocks, by size class. */
  readonly #open: number[][] = SIZES.map(() => [])
  readonly #most: number
  readonly #evict: (ref: Ref) => void

  /**
   * @param maxBytes limit of the blocks in use
   * @param evict called for each block of a chunk that is being emptied; must free the block
   */
  constructor(maxBytes: number, evict: (ref: Ref) => void) {
    this.#most = Math.ceil(maxBytes / CHUNK) + SPARE_CHUNKS
    this.#evict = evict
  }

  /** Octets of all chunks. */
  get resident(): number {
    return this.#chunks.length * CHUNK
  }
  get chunks(): number {
    return this.#chunks.length
  }

  chunkOf(ref: Ref): Chunk {
    return this.#chunks[ref >>> UNITS_BITS]!
  }

  /** Allocates a block of at least `length` octets (at most 131,072), not initialised. */
  take(length: number): Ref {
    const sizeClass = classOf(length)
    const open = this.#open[sizeClass]!
    const index = open.length > 0 ? open[open.length - 1]! : this.#another(sizeClass)
    const cut = this.#cuts[index]!
    const block = cut.free[--cut.freeCount]!
    cut.used[block] = 1
    if (cut.freeCount === 0) open.pop()
    return (index << UNITS_BITS) | ((block * SIZES[sizeClass]!) >>> UNIT_BITS)
  }

  /** Frees a block. */
  give(ref: Ref): void {
    const index = ref >>> UNITS_BITS
    const cut = this.#cuts[index]!
    const block = startOf(ref) / SIZES[cut.sizeClass]!
    cut.used[block] = 0
    cut.free[cut.freeCount++] = block
    if (cut.freeCount === 1) this.#open[cut.sizeClass]!.push(index)
  }

  /** The blocks of a chunk that are in use; ends when the chunk is cut again. */
  *used(index: number): Iterable<Ref> {
    const cut = this.#cuts[index]!
    const { used, sizeClass } = cut
    for (let block = 0; block < used.length && this.#cuts[index] === cut; block++)
      if (used[block] === 1)
        yield (index << UNITS_BITS) | ((block * SIZES[sizeClass]!) >>> UNIT_BITS)
  }

  /** Whether a block in use begins there. */
  isUsed(ref: Ref): boolean {
    const cut = this.#cuts[ref >>> UNITS_BITS]
    return cut !== undefined && cut.used[startOf(ref) / SIZES[cut.sizeClass]!] === 1
  }

  /** A chunk with free blocks of this class: a new one, or one that is cut again. */
  #another(sizeClass: number): number {
    let index = this.#chunks.length
    if (index < this.#most && !this.#cuts.some(cut => cut.octetsUsed === 0))
      this.#chunks.push(new Chunk(CHUNK))
    else {
      index = this.#leastUsed()
      for (const ref of [...this.used(index)]) this.#evict(ref)
      const open = this.#open[this.#cuts[index]!.sizeClass]!
      open.splice(open.indexOf(index), 1)
      this.#chunks[index]!.cuts++
    }
    this.#cuts[index] = new Cut(sizeClass)
    this.#open[sizeClass]!.push(index)
    return index
  }

  #leastUsed(): number {
    let least = 0
    for (let i = 1; i < this.#cuts.length; i++)
      if (this.#cuts[i]!.octetsUsed < this.#cuts[least]!.octetsUsed) least = i
    return least
  }
}
