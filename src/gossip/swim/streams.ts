/**
 * The TCP part of the machine: which streams are open, what each is for, and when it times out. A stream carries one
 * message each way. Streams that we open have positive ids; the network chooses negative ids for the others.
 */
import { type Endpoint, endpointKey } from '../wire/address.ts'
import type { StreamReader } from '../wire/stream.ts'
import type { Env } from './env.ts'
import type { Job } from './sync.ts'
import type { Timer } from './timers.ts'

/** A stream that is not finished after this time is closed (memberlist's TCPTimeout). */
export const STREAM_MS = 10_000
/** Limits of open streams in each direction. */
const INBOUND_MOST = 64
const OUTBOUND_MOST = 64
/** Octets of incomplete messages that are buffered over all streams. */
const HELD_MOST = 48 * 1024 * 1024

/** What a stream that we open is for. At most one of each kind per peer at a time. */
export type Purpose = 'sync' | 'ping' | 'records'

type Stream = {
  readonly id: number
  readonly from: Endpoint
  /** '' for a stream that a peer opened. */
  readonly key: string
  readonly reader: StreamReader
  readonly timer: Timer
  held: number
  reading: boolean
  /** Called once: with the message, or with undefined if none will come. */
  done: ((message: Buffer | undefined) => void) | undefined
}

export type StreamHooks = {
  readonly reader: () => StreamReader
  /** Effects for the driver: open a stream, close one. */
  readonly open: (id: number, to: Endpoint, bytes: Uint8Array) => void
  readonly close: (id: number) => void
  /** Called with the complete message of a stream that a peer opened; the answer may be written to the stream. */
  readonly onMessage: (id: number, from: Endpoint, message: Buffer) => void
  readonly work: (job: Job) => void
}

export class Streams {
  readonly #env: Env
  readonly #hooks: StreamHooks
  #streams = new Map<number, Stream>()
  #outbound = new Set<string>()
  #nextId = 1
  #held = 0

  constructor(env: Env, hooks: StreamHooks) {
    this.#env = env
    this.#hooks = hooks
  }

  get count(): number {
    return this.#streams.size
  }

  #add(id: number, from: Endpoint, key: string, ms: number, done: Stream['done']): void {
    const timer = this.#env.timers.at(this.#env.now + ms, () => this.failed(id))
    this.#streams.set(id, {
      id,
      from,
      key,
      reader: this.#hooks.reader(),
      timer,
      held: 0,
      reading: false,
      done,
    })
    if (key !== '') this.#outbound.add(key)
  }

  /**
   * Opens a stream and writes `bytes`; `done` gets the answer, or undefined. False if a stream of this kind to that
   * peer is already open.
   */
  open(
    purpose: Purpose,
    to: Endpoint,
    bytes: Uint8Array,
    ms: number,
    done: (message: Buffer | undefined) => void,
  ): boolean {
    const key = `${purpose} ${endpointKey(to)}`
    if (this.#outbound.has(key) || this.#outbound.size >= OUTBOUND_MOST) return false
    const id = this.#nextId++
    this.#env.stats.streamsOut++
    this.#add(id, to, key, ms, done)
    this.#hooks.open(id, to, bytes)
    return true
  }

  /** Whether a stream for this purpose is open to that peer. */
  isOpen(purpose: Purpose, to: Endpoint): boolean {
    return this.#outbound.has(`${purpose} ${endpointKey(to)}`)
  }

  /** A peer opened a stream to us. */
  accepted(id: number, from: Endpoint): void {
    if (this.#streams.size - this.#outbound.size >= INBOUND_MOST) {
      this.#env.stats.busy++
      this.#hooks.close(id)
      return
    }
    this.#env.stats.streamsIn++
    this.#add(id, from, '', STREAM_MS, undefined)
  }

  data(id: number, chunk: Uint8Array): void {
    const stream = this.#streams.get(id)
    if (!stream) return
    this.#env.stats.streamBytesIn += chunk.length
    stream.reader.push(chunk)
    this.#count(stream)
    if (this.#held > HELD_MOST) {
      this.#env.stats.busy++
      this.failed(id)
    } else if (!stream.reading) this.#read(stream)
  }

  #count(stream: Stream): void {
    this.#held += stream.reader.held - stream.held
    stream.held = stream.reader.held
  }

  /** Parses until more octets are needed. Decompressing is done in slices, as a job. */
  #read(stream: Stream): void {
    stream.reading = false
    const state = stream.reader.step()
    if (state === 'wait') return
    if (state === 'more') {
      stream.reading = true
      this.#hooks.work({
        step: () => {
          if (this.#streams.get(stream.id) !== stream) return true
          const next = stream.reader.step()
          if (next === 'more') return false
          this.#read(stream)
          return true
        },
      })
      return
    }
    if (state === 'bad') {
      this.#env.stats.malformed++
      this.failed(stream.id)
      return
    }
    this.#complete(stream, stream.reader.payload)
  }

  #complete(stream: Stream, message: Buffer): void {
    const { id, from, done } = stream
    if (!done) {
      this.#forget(stream)
      this.#hooks.onMessage(id, from, message)
      return
    }
    this.#forget(stream)
    this.#hooks.close(id)
    done(message)
  }

  #forget(stream: Stream): void {
    this.#streams.delete(stream.id)
    this.#outbound.delete(stream.key)
    this.#env.timers.cancel(stream.timer)
    this.#held -= stream.held
    stream.done = undefined
  }

  /** The peer ended its side. An incomplete message is now an error. */
  ended(id: number): void {
    const stream = this.#streams.get(id)
    if (stream && !stream.reading) this.failed(id)
  }

  /** The stream broke, was refused, or timed out. */
  failed(id: number): void {
    const stream = this.#streams.get(id)
    if (!stream) return
    const { done } = stream
    this.#env.stats.streamsFailed++
    this.#forget(stream)
    this.#hooks.close(id)
    done?.(undefined)
  }

  /** Closes all streams without callbacks. */
  close(): void {
    for (const stream of [...this.#streams.values()]) {
      this.#forget(stream)
      this.#hooks.close(stream.id)
    }
  }
}
