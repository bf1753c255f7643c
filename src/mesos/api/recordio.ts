/**
 * RecordIO, the framing of Mesos' streams: the length in decimal, a newline,
 * that many bytes, and again. Bounded, because the length comes from the
 * other end. The reader decodes the records (operator-api.ts).
 */
import { fail } from '../../base/error.ts'

const NEWLINE = 0x0a
/** Digits of a length: ten reach beyond any limit we accept. */
const MAX_DIGITS = 10

/** A SUBSCRIBED of 40,000 tasks; anything above is a broken stream. */
export const MAX_RECORD_BYTES = 128 * 1024 * 1024

export class RecordReader {
  readonly #maxBytes: number
  /** Digits of a length whose newline has not come. */
  #digits = ''
  /** Length of the record under way; -1 while its length is read. */
  #length = -1
  #parts: Buffer[] = []
  #have = 0

  constructor(maxBytes: number = MAX_RECORD_BYTES) {
    this.#maxBytes = maxBytes
  }

  /**
   * The records this chunk completes. Throws EDATA on what is no RecordIO or
   * too long; the stream is then of no use any more.
   */
  push(chunk: Buffer): Buffer[] {
    const records: Buffer[] = []
    let at = 0
    while (at < chunk.length) {
      if (this.#length < 0) {
        at = this.#readLength(chunk, at)
        // a record of no bytes has no body to wait for
        if (this.#length === 0) records.push(this.#take())
        continue
      }
      const end = Math.min(chunk.length, at + this.#length - this.#have)
      this.#parts.push(chunk.subarray(at, end))
      this.#have += end - at
      at = end
      if (this.#have === this.#length) records.push(this.#take())
    }
    return records
  }

  #take(): Buffer {
    const record =
      this.#parts.length === 1 ? (this.#parts[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#parts)
    this.#parts = []
    this.#have = 0
    this.#length = -1
    return record
  }

  /** Reads digits up to the newline or the chunk's end; the new position. */
  #readLength(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const octet = chunk[at] ?? 0
      if (octet === NEWLINE && this.#digits !== '') {
        this.#length = Number(this.#digits)
        this.#digits = ''
        if (this.#length > this.#maxBytes) {
          throw fail(`a record of ${this.#length} bytes is too long`, 'EDATA')
        }
        return at + 1
      }
      if (octet < 0x30 || octet > 0x39 || this.#digits.length >= MAX_DIGITS) {
        throw fail('the stream is not RecordIO', 'EDATA')
      }
      this.#digits += String.fromCharCode(octet)
    }
    return chunk.length
  }
}

/** One record as it goes over the wire, for servers of such a stream. */
export const framed = (record: string): string => `${Buffer.byteLength(record)}\n${record}`
