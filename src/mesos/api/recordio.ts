/**
 * RecordIO, the framing of Mesos streams: the length in decimal digits, a newline, that many bytes, and so on.
 * Lengths are limited, because they come from the network. operator-api.ts parses the records.
 */
import { fail } from '../../base/error.ts'

const NEWLINE = 0x0a
/** Limit of digits in a length; ten exceed every accepted length. */
const MAX_DIGITS = 10

/** Limit of a record: a SUBSCRIBED with 40,000 tasks fits. */
export const MAX_RECORD_BYTES = 128 * 1024 * 1024

export class RecordReader {
  readonly #maxBytes: number
  /** Digits of a length that is not complete yet. */
  #digits = ''
  /** Length of the current record; -1 while the length is read. */
  #length = -1
  #parts: Buffer[] = []
  #have = 0

  constructor(maxBytes: number = MAX_RECORD_BYTES) {
    this.#maxBytes = maxBytes
  }

  /**
   * The records completed by this chunk. Throws EDATA for invalid or too large records; the stream is then unusable.
   */
  push(chunk: Buffer): Buffer[] {
    const records: Buffer[] = []
    let at = 0
    while (at < chunk.length) {
      if (this.#length < 0) {
        at = this.#readLength(chunk, at)
        // an empty record is complete at once
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

  /** Reads digits up to the newline or the end of the chunk; returns the new position. */
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

/** Frames one record, for servers of such a stream. */
export const framed = (record: string): string => `${Buffer.byteLength(record)}\n${record}`
