/**
 * One message coming in over TCP, piece by piece: the label, then either an
 * encrypted frame with its length, or a plain message that ends where its
 * values end; either may be compressed.
 *
 *   encrypted  [10] [length: 32 bit] envelope   (the first five octets and
 *                                                the label are authenticated)
 *   compressed [9] {Algo, Buf}
 *
 * Costly steps are taken one at a time, so that the caller can let others
 * run between them.
 */
import { labelHeader } from './compound.ts'
import { ENVELOPE, opened, sealed } from './envelope.ts'
import { LzwDecoder } from './lzw.ts'
import { readCompressHead, readPushPullHead, readUserHead } from './messages.ts'
import { Reader, SHORT } from './msgpack.ts'
import { TYPE } from './types.ts'

/** Limit of one stream in octets, framed. memberlist's limit is 20 MiB; a ring of 10,000 members needs 1.6. */
export const STREAM_MOST = 16 * 1024 * 1024
/** Limit of a decompressed stream in octets. */
export const INFLATED_MOST = 2 * STREAM_MOST
/** Limit of nodes in one push/pull. */
export const NODES_MOST = 65_536
/** Octets decompressed in one step: about a millisecond of work. */
const LZW_STEP = 64 * 1024

/** wait: more octets are needed; more: call again; done: `payload` is complete; bad: close the stream. */
export type StreamState = 'wait' | 'more' | 'done' | 'bad'

export type StreamOptions = {
  /** The ring's label, '' for none. */
  readonly label: string
  /** The keys for decryption; undefined in a ring without keys. */
  readonly keys: readonly Uint8Array[] | undefined
}

const authenticated = (head: Uint8Array, label: string): Uint8Array =>
  label === '' ? head : Buffer.concat([head, Buffer.from(label)])

/** Frames a message for a stream. */
export const framed = (
  message: readonly Uint8Array[],
  label: string,
  key: Uint8Array | undefined,
  nonce: () => Uint8Array,
): Buffer => {
  const header = labelHeader(label)
  if (!key) return Buffer.concat([header, ...message])
  let size = ENVELOPE
  for (const part of message) size += part.length
  const head = Buffer.alloc(5)
  head[0] = TYPE.encrypt
  head.writeUInt32BE(size, 1)
  return Buffer.concat([header, head, sealed(key, nonce(), message, authenticated(head, label))])
}

export class StreamReader {
  #label: Buffer
  #labelText: string
  #keys: readonly Uint8Array[] | undefined
  #bytes: Buffer = Buffer.alloc(0)
  #length = 0
  #stage: 'label' | 'type' | 'encrypted' | 'compressed' | 'inflate' | 'plain' | 'done' | 'bad' =
    'label'
  /** Offset of the message, behind the label. */
  #from = 0
  /** How far a plain push/pull has been parsed, and how many states follow. */
  #at = 0
  #states = -1
  #userLength = 0
  #lzw: LzwDecoder | undefined
  #payload: Buffer = Buffer.alloc(0)

  constructor(options: StreamOptions) {
    this.#label = labelHeader(options.label)
    this.#labelText = options.label
    this.#keys = options.keys
  }

  /** The whole message, type octet first; valid once `step` returned 'done'. */
  get payload(): Buffer {
    return this.#payload
  }

  /** Octets buffered. */
  get held(): number {
    return this.#bytes.length
  }

  /** Adds received octets (copied). Exceeding the limit is bad; octets after the message are dropped. */
  push(chunk: Uint8Array): void {
    if (this.#stage === 'done' || this.#stage === 'bad' || this.#stage === 'inflate') return
    const need = this.#length + chunk.length
    if (need > STREAM_MOST) return this.#fail()
    if (need > this.#bytes.length) {
      const wider = Buffer.allocUnsafe(
        Math.max(need, Math.min(STREAM_MOST, this.#bytes.length * 2)),
      )
      this.#bytes.copy(wider, 0, 0, this.#length)
      this.#bytes = wider
    }
    this.#bytes.set(chunk, this.#length)
    this.#length = need
  }

  #fail(): void {
    this.#stage = 'bad'
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
    this.#lzw = undefined
  }

  /** Does one step of work. */
  step(): StreamState {
    switch (this.#stage) {
      case 'label':
        return this.#readLabel()
      case 'type':
        return this.#readType()
      case 'encrypted':
        return this.#readEncrypted()
      case 'compressed':
        return this.#readCompressed(this.#bytes, this.#length, this.#from + 1)
      case 'inflate':
        return this.#inflate()
      case 'plain':
        return this.#readPlain()
    }
    return this.#stage
  }

  #bad(): StreamState {
    this.#fail()
    return 'bad'
  }

  #to(stage: 'type' | 'encrypted' | 'compressed' | 'plain'): StreamState {
    this.#stage = stage
    return this.step()
  }

  #done(payload: Buffer): StreamState {
    this.#payload = payload
    this.#bytes = Buffer.alloc(0)
    this.#stage = 'done'
    return 'done'
  }

  #readLabel(): StreamState {
    const n = Math.min(this.#length, this.#label.length)
    if (this.#bytes.compare(this.#label, 0, n, 0, n) !== 0) return this.#bad()
    if (n < this.#label.length) return 'wait'
    this.#from = n
    return this.#to('type')
  }

  #readType(): StreamState {
    if (this.#length <= this.#from) return 'wait'
    const type = this.#bytes[this.#from]
    if (type === TYPE.encrypt) return this.#keys ? this.#to('encrypted') : this.#bad()
    // plain text is refused in a ring with keys
    if (this.#keys) return this.#bad()
    return this.#to(type === TYPE.compress ? 'compressed' : 'plain')
  }

  #readEncrypted(): StreamState {
    const body = this.#from + 5
    if (this.#length < body) return 'wait'
    const size = this.#bytes.readUInt32BE(this.#from + 1)
    if (size > STREAM_MOST - body) return this.#bad()
    if (this.#length < body + size) return 'wait'
    const head = this.#bytes.subarray(this.#from, body)
    const plain = opened(
      this.#keys ?? [],
      this.#bytes.subarray(body, body + size),
      authenticated(head, this.#labelText),
    )
    if (!plain || plain.length === 0) return this.#bad()
    return plain[0] === TYPE.compress
      ? this.#readCompressed(plain, plain.length, 1)
      : this.#done(plain)
  }

  #readCompressed(bytes: Buffer, end: number, at: number): StreamState {
    const r = new Reader(bytes, at, end)
    const length = readCompressHead(r, STREAM_MOST)
    if (length === undefined)
      return r.fault === SHORT && bytes === this.#bytes ? 'wait' : this.#bad()
    if (r.left < length) return bytes === this.#bytes ? 'wait' : this.#bad()
    this.#lzw = new LzwDecoder(r.take(length), INFLATED_MOST)
    this.#stage = 'inflate'
    return 'more'
  }

  #inflate(): StreamState {
    const lzw = this.#lzw
    const state = lzw?.step(LZW_STEP) ?? 'bad'
    if (state === 'more') return 'more'
    const plain = lzw?.output()
    this.#lzw = undefined
    return state === 'done' && plain && plain.length > 0 ? this.#done(plain) : this.#bad()
  }

  /** Finds the end of a plain message; continues where the last call stopped. */
  #readPlain(): StreamState {
    const type = this.#bytes[this.#from]
    const r = new Reader(this.#bytes, this.#at || this.#from + 1, this.#length)
    if (type === TYPE.pushPull) {
      if (this.#states < 0) {
        const head = readPushPullHead(r, NODES_MOST, STREAM_MOST)
        if (!head) return r.fault === SHORT ? 'wait' : this.#bad()
        this.#states = head.nodes
        this.#userLength = head.userLength
        this.#at = r.at
      }
      while (this.#states > 0) {
        r.skip()
        if (!r.ok) return r.fault === SHORT ? 'wait' : this.#bad()
        this.#states--
        this.#at = r.at
      }
      if (r.left < this.#userLength) return 'wait'
      return this.#done(this.#bytes.subarray(this.#from, r.at + this.#userLength))
    }
    if (type === TYPE.user) {
      const length = readUserHead(r, STREAM_MOST)
      if (length === undefined) return r.fault === SHORT ? 'wait' : this.#bad()
      return r.left < length ? 'wait' : this.#done(this.#bytes.subarray(this.#from, r.at + length))
    }
    if (type !== TYPE.ping && type !== TYPE.ack && type !== TYPE.error) return this.#bad()
    r.skip()
    if (!r.ok) return r.fault === SHORT ? 'wait' : this.#bad()
    return this.#done(this.#bytes.subarray(this.#from, r.at))
  }
}
