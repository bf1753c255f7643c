/**
 * Stores the bytes of keys and values as small blocks in few large buffers. A JS Buffer per value has about 150
 * bytes of overhead, more than the values themselves. A block's address is a 32-bit number: the slab's index, then
 * 12 bits for the offset in steps of 16 octets.
 */

const SLAB = 65_536

/** The size class of a length, and the octets of a block of that class. */
const classOf = (length: number): number => {
  if (length <= 256) return (length + 15) >> 4
  const shift = 31 - Math.clz32(length - 1) - 2 // four classes per doubling
  return 16 + (shift - 6) * 4 + (((length - 1) >> shift) & 3) + 1
}
const sizeOf = (index: number): number => {
  if (index <= 16) return Math.max(1, index) << 4
  const step = index - 17
  return (5 + (step & 3)) << (6 + (step >> 2))
}

export class Slabs {
  /** Slab 0 is never used, so that address 0 can stand for none. */
  #slabs: Buffer[] = [Buffer.alloc(0)]
  #free: number[] = []
  #fill: { slab: number; at: number }[] = []
  #slabCounts: number[] = []
  /** Octets allocated. */
  reserved = 0

  /** The buffer that contains a block; the block begins at `offset(address)`. */
  slab(address: number): Buffer {
    return this.#slabs[address >>> 12] as Buffer
  }

  offset(address: number): number {
    return (address & 0xfff) << 4
  }

  /** Stores from[at .. at + length); returns its address, 0 for no octets. */
  store(from: Uint8Array, at: number, length: number): number {
    if (length === 0) return 0
    const address = this.#take(classOf(length))
    const to = this.slab(address)
    const start = this.offset(address)
    if (length < 48) for (let i = 0; i < length; i++) to[start + i] = from[at + i] as number
    else to.set(from.subarray(at, at + length), start)
    return address
  }

  /** Frees a block of `length` octets. */
  free(address: number, length: number): void {
    if (address === 0) return
    const index = classOf(length)
    this.slab(address).writeUInt32LE(this.#free[index] ?? 0, this.offset(address))
    this.#free[index] = address
  }

  #take(index: number): number {
    const freed = this.#free[index] ?? 0
    if (freed !== 0) {
      this.#free[index] = this.slab(freed).readUInt32LE(this.offset(freed))
      return freed
    }
    const size = sizeOf(index)
    let fill = this.#fill[index]
    if (!fill || fill.at + size > (this.#slabs[fill.slab] as Buffer).length) {
      // The first slabs of a class are small, because a quiet node needs few blocks of each.
      const count = (this.#slabCounts[index] = (this.#slabCounts[index] ?? 0) + 1)
      const octets = Math.min(SLAB - (SLAB % size), size * (4 << Math.min(count, 12)))
      fill = { slab: this.#slabs.push(Buffer.alloc(octets)) - 1, at: 0 }
      this.#fill[index] = fill
      this.reserved += octets
    }
    const address = ((fill.slab << 12) | (fill.at >> 4)) >>> 0
    fill.at += size
    return address
  }
}
