/**
 * Sends dnstap frames to the reader that listens at a Unix socket, and connects again when it is gone. It never waits:
 * queries for which there is no reader, or no room because the reader is slow, are dropped and counted.
 */
import type { Socket } from 'node:net'
import { Backoff } from '../../base/backoff.ts'
import { codeOf, messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import { frameHead, FrameStream, type StreamEvent } from './frame-streams.ts'

/** What became of the queries: sent; dropped without a reader, or because it was slow, or because we were. */
export type DnstapCounts = { sent: number; noReader: number; slowReader: number; behind: number }

export type DnstapSenderOptions = {
  readonly path: string
  /** Counts go on when one sender takes the place of another. */
  readonly counts: DnstapCounts
  readonly log: Log
  readonly random: () => number
  /** Begins to connect to a Unix socket; never throws. */
  readonly connect: (path: string) => Socket
  /** Limits of the time for ACCEPT and FINISH. */
  readonly acceptMs?: Milliseconds
  readonly finishMs?: Milliseconds
  /** First pause before it connects again. */
  readonly retryMs?: Milliseconds
}

const ACCEPT_MS = 5_000
const FINISH_MS = 500
const RETRY_FIRST_MS = 500
const RETRY_MOST_MS = 15_000
/** A reader that stays for so long is no longer waited for with growing pauses when it goes. */
const STEADY_MS = 10_000
/** Octets that wait for the reader, beside one batch; beyond it queries are dropped. */
const MOST_WAITING = 1 << 20
/** Octets that are written in one call. */
const BATCH = 1 << 16

export class DnstapSender {
  readonly #options: DnstapSenderOptions
  readonly #backoff: Backoff
  #socket: Socket | undefined
  #stream = new FrameStream()
  #open = false
  #closing = false
  #trouble = ''
  /** The last trouble that was logged. */
  #logged = ''
  #retry: NodeJS.Timeout | undefined
  #deadline: NodeJS.Timeout | undefined
  /** Frames for the next write: their octets, their length and the number of queries they are about. */
  #batch: Buffer[] = []
  #batched = 0
  #queries = 0
  #ended: () => void = () => {}

  constructor(options: DnstapSenderOptions) {
    this.#options = options
    this.#backoff = new Backoff({
      minMs: options.retryMs ?? RETRY_FIRST_MS,
      maxMs: RETRY_MOST_MS,
      random: options.random,
    })
    this.#connect()
  }

  /** Whether a reader takes frames. */
  get up(): boolean {
    return this.#open
  }

  /** Why there is no reader, or that it is too slow; '' if all is well. */
  get trouble(): string {
    if (this.#trouble !== '') return this.#trouble
    return this.#full ? `the reader at ${this.#options.path} is too slow: queries are dropped` : ''
  }

  /** Whether the next query can be sent; otherwise it is counted as dropped. */
  takes(): boolean {
    const { counts } = this.#options
    if (!this.#open) {
      counts.noReader++
      return false
    }
    if (!this.#full) return true
    counts.slowReader++
    return false
  }

  /** Adds the messages about one query, for `flush` to send. To be called only when `takes` returned true. */
  add(...messages: readonly Buffer[]): void {
    for (const message of messages) {
      this.#batch.push(frameHead(message.length), message)
      this.#batched += 4 + message.length
    }
    this.#queries++
    if (this.#batched >= BATCH) this.flush()
  }

  flush(): void {
    const queries = this.#queries
    if (queries === 0) return
    const { counts } = this.#options
    const octets = Buffer.concat(this.#batch, this.#batched)
    this.#forget()
    // The stream may have ended since they were added. What a reader that goes has not taken is lost, too.
    if (!this.#open) counts.noReader += queries
    else
      this.#socket!.write(octets, er => {
        if (er) counts.noReader += queries
        else counts.sent += queries
      })
  }

  /** Ends the stream. Resolves when the reader has all of it, after half a second at the latest. */
  close(): Promise<void> {
    this.flush()
    this.#closing = true
    clearTimeout(this.#retry)
    if (!this.#socket) return Promise.resolve()
    return new Promise(resolve => {
      this.#ended = resolve
      this.#limit(this.#options.finishMs ?? FINISH_MS, '')
      this.#step(this.#socket!, { type: 'stop' })
    })
  }

  /** Whether as much waits for the reader as may. */
  get #full(): boolean {
    return (this.#socket?.writableLength ?? 0) > MOST_WAITING
  }

  #forget(): void {
    this.#batch = []
    this.#batched = this.#queries = 0
  }

  #connect(): void {
    const socket = (this.#socket = this.#options.connect(this.#options.path))
    this.#stream = new FrameStream()
    this.#limit(this.#options.acceptMs ?? ACCEPT_MS, 'the reader does not begin the handshake')
    socket.on('connect', () => this.#step(socket, { type: 'connected' }))
    socket.on('data', octets => this.#step(socket, { type: 'received', octets }))
    // Then 'close' follows.
    socket.on('error', er => (this.#trouble = this.#inWords(er)))
    socket.on('close', () => this.#gone(socket))
  }

  #step(socket: Socket, event: StreamEvent): void {
    for (const effect of this.#stream.step(event)) {
      if (effect.type === 'send') socket.write(effect.octets)
      else if (effect.type === 'open') this.#begin()
      else {
        this.#trouble = effect.why
        socket.destroy()
      }
    }
  }

  #begin(): void {
    this.#open = true
    this.#trouble = this.#logged = ''
    this.#options.log.info('dnstap has a reader', { socket: this.#options.path })
    clearTimeout(this.#deadline)
    this.#deadline = setTimeout(() => this.#backoff.reset(), STEADY_MS).unref()
  }

  /** Closes the connection unless something has happened within `ms`. */
  #limit(ms: Milliseconds, why: string): void {
    clearTimeout(this.#deadline)
    const socket = this.#socket
    this.#deadline = setTimeout(() => {
      this.#trouble = why
      socket?.destroy()
    }, ms).unref()
  }

  #gone(socket: Socket): void {
    if (socket !== this.#socket) return
    const { log, path } = this.#options
    clearTimeout(this.#deadline)
    this.#socket = undefined
    this.#open = false
    if (this.#closing) return this.#ended()
    if (this.#trouble === '') this.#trouble = `the reader at ${path} has closed the connection`
    if (this.#trouble !== this.#logged)
      log.warn('dnstap has no reader, queries are not shown to it; it is tried again', {
        socket: path,
        err: this.#trouble,
      })
    this.#logged = this.#trouble
    this.#retry = setTimeout(() => this.#connect(), this.#backoff.next()).unref()
  }

  #inWords(er: unknown): string {
    const { path } = this.#options
    switch (codeOf(er)) {
      case 'ENOENT':
        return `there is no socket ${path}`
      case 'ECONNREFUSED':
        return `nobody listens at ${path}`
      case 'EACCES':
        return `our user may not write to ${path}`
      case 'EPIPE':
      case 'ECONNRESET':
        return `the reader at ${path} has closed the connection`
      default:
        return messageOf(er)
    }
  }
}
