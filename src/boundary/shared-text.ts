/**
 * Passes text to another thread in shared memory. A string in a message would be copied into the heap of the
 * data thread and make its garbage collector run while clients wait; shared memory is outside that heap.
 *
 *   octets 0 to 3   1 until the reader has copied the text, then 0
 *   then            the text, UTF-8
 */

/** A text in shared memory. Only the reader may mark it as read. */
export type SharedText = { readonly memory: SharedArrayBuffer; readonly length: number }

const HEAD = 4
const FREE = 0
const TAKEN = 1
/**
 * Initial size. The pieces of a zone have similar sizes (control/zones/zone-publisher.ts), so most fit into memory of
 * this size.
 */
const ROOM = 64 * 1024

const state = (memory: SharedArrayBuffer): Int32Array => new Int32Array(memory, 0, 1)

/** The sender's side. */
export class SharedTextWriter {
  #memory: SharedArrayBuffer | undefined

  /** Stores a text in the memory of the previous one, if that was read; otherwise allocates new memory. */
  write(text: string): SharedText {
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

/** The reader's side: copies the text into the buffer from `room`, and marks it as read. */
export const unpack = (
  { memory, length }: SharedText,
  room: (length: number) => Buffer,
): Buffer => {
  const to = room(length)
  to.set(new Uint8Array(memory, HEAD, length))
  Atomics.store(state(memory), 0, FREE)
  return to
}
