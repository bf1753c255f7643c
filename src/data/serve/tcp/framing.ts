/**
 * DNS messages on a stream: each follows two octets of length (RFC 1035 section 4.2.2). Reading accepts any
 * segmentation; writing puts length and message into one piece (RFC 7766 section 8).
 */
import { fail } from '../../../base/error.ts'

/** Octets of a DNS header, the shortest possible message. */
const SHORTEST = 12
const LONGEST = 65_535
/**
 * Initial room for a message in parts. It doubles with the received data, so that a large length alone costs
 * nothing.
 */
const FIRST_ROOM = 512

/**
 * Splits a stream into messages. Call `push` with a chunk, then `next` until it returns undefined; an incomplete
 * message waits for the next chunk.
 */
export class FrameReader {
  #chunk: Buffer = Buffer.alloc(0)
  #at = 0
  /** Length of the current frame, -1 before its two octets have arrived. */
  #length = -1
  /** The first of the two octets, -1 if it has not arrived. */
  #high = -1
  #part: Buffer | undefined
  #have = 0

  /** Whether a frame is incomplete. */
  get partial(): boolean {
    return this.#high >= 0 || this.#length >= 0
  }

  /** Whether a frame was shorter than a DNS header; the stream is then unusable. */
  get broken(): boolean {
    return this.#length >= 0 && this.#length < SHORTEST
  }

  /** Keeps the chunk until its messages are read. */
  push(chunk: Buffer): void {
    const rest = this.#chunk.length - this.#at
    this.#chunk = rest > 0 ? Buffer.concat([this.#chunk.subarray(this.#at), chunk]) : chunk
    this.#at = 0
  }

  /** The next complete message: a view of the chunk if it came in one piece. */
  next(): Buffer | undefined {
    if (this.#length < 0 && !this.#readLength()) return undefined
    if (this.broken) return undefined
    const left = this.#chunk.length - this.#at
    const missing = this.#length - this.#have
    if (!this.#part && left >= missing) {
      const message = this.#chunk.subarray(this.#at, this.#at + missing)
      this.#at += missing
      this.#length = -1
      return message
    }
    this.#collect(Math.min(left, missing))
    if (this.#have < this.#length) return undefined
    const message = this.#part!.subarray(0, this.#length)
    this.#part = undefined
    this.#have = 0
    this.#length = -1
    return message
  }

  #readLength(): boolean {
    const left = this.#chunk.length - this.#at
    if (this.#high < 0 && left >= 2) {
      this.#length = this.#chunk.readUInt16BE(this.#at)
      this.#at += 2
      return true
    }
    if (left === 0) return false
    const octet = this.#chunk[this.#at++]!
    if (this.#high < 0) {
      this.#high = octet
      return false
    }
    this.#length = this.#high * 256 + octet
    this.#high = -1
    return true
  }

  #collect(bytes: number): void {
    const need = this.#have + bytes
    if (!this.#part || this.#part.length < need) {
      const room = Math.min(Math.max(need * 2, FIRST_ROOM), this.#length)
      const grown = Buffer.allocUnsafe(room)
      this.#part?.copy(grown, 0, 0, this.#have)
      this.#part = grown
    }
    this.#chunk.copy(this.#part, this.#have, this.#at, this.#at + bytes)
    this.#at += bytes
    this.#have = need
  }
}

/** A message after its length. Throws EWIRE if it is longer than 65,535 octets. */
export const framed = (message: Uint8Array): Buffer => {
  if (message.length > LONGEST) {
    throw fail(`a message of ${message.length} octets does not fit a frame`, 'EWIRE')
  }
  const frame = Buffer.allocUnsafe(message.length + 2)
  frame.writeUInt16BE(message.length)
  frame.set(message, 2)
  return frame
}
