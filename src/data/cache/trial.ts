/**
 * Entries on trial: answers for clients that ask for more than the thread can do. If nobody has asked for one again
 * by the time that so many others have come after it, it leaves the cache. So names that are made up to be asked once
 * neither fill the memory nor evict what others need, and names that are asked often stay.
 */
import type { Ref } from './slab.ts'

export class Trial {
  /** A ring of entries: their blocks plus one, and their hashes, which tell whether a block is still theirs. */
  readonly #refs: Int32Array
  readonly #hashes: Int32Array
  #next = 0

  constructor(most: number) {
    this.#refs = new Int32Array(most)
    this.#hashes = new Int32Array(most)
  }

  /** Adds an entry. Returns the block of the one whose trial is over; -1 if there is none. */
  add(ref: Ref, hash: number): Ref {
    const at = this.#next
    this.#next = (at + 1) % this.#refs.length
    const over = this.#refs[at]! - 1
    this.overHash = this.#hashes[at]!
    this.#refs[at] = ref + 1
    this.#hashes[at] = hash
    return over
  }

  /** The hash of the entry whose trial ended last. */
  overHash = 0
}
