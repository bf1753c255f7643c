/**
 * Text on its way to another thread in memory that both see. A string would be
 * copied into the heap of the thread that answers, which would have to collect
 * it again while clients wait. Shared memory is not counted as that thread's.
 *
 *   octets 0 to 3   1 until the reader has copied the text, then 0
 *   then            the text, UTF-8
 */

/** A text in shared memory. Only its reader may say that it is done with it. */
export type Parcel = { readonly memory: SharedArrayBuffer; readonly length: number }

const HEAD = 4
const FREE = 0
const TAKEN = 1
/** Pieces of a zone are of nearly one size (zone-publisher.ts): memory for one has room for most others. */
const ROOM = 64 * 1024

const state = (memory: SharedArrayBuffer): Int32Array => new Int32Array(memory, 0, 1)

/** The sender's end. */
export class Carrier {
  #memory: SharedArrayBuffer | undefined

  /** Puts a text where the last one was, if that has been read; otherwise elsewhere, and leaves it to its reader. */
  pack(text: string): Parcel {
    const length = Buffer.byteLength(text)
    const last = this.#memory
    const again = last && last.byteLength >= HEAD + length && Atomics.load(state(last), 0) === FREE
    const memory = again ? last : new SharedArrayBuffer(Math.ceil((HEAD + length) / ROOM) * ROOM)
    this.#memory = memory
    Buffer.from(memory, HEAD).write(text)
    Atomics.store(state(memory), 0, TAKEN)
    return { memory, length }
  }
}

/** The reader's: copies the text to where `room` says, and gives its memory back. */
export const unpack = ({ memory, length }: Parcel, room: (length: number) => Buffer): Buffer => {
  const to = room(length)
  to.set(new Uint8Array(memory, HEAD, length))
  Atomics.store(state(memory), 0, FREE)
  return to
}
