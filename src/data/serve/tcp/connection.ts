/**
 * One client connection: reads frames, writes responses in any order, and decides when to close. It has no timer;
 * tcp.ts checks all connections periodically.
 */
import type { Socket } from 'node:net'
import { FrameReader, framed } from './framing.ts'

/** The client. */
export type From = {
  readonly family: 4 | 6
  readonly address: string
  readonly port: number
}

/**
 * Called with a query and a function to answer it. The bytes may be kept; only the first call of `respond` counts.
 */
export type OnQuery = (wire: Buffer, from: From, respond: (bytes: Uint8Array) => void) => void

/**
 * Events of connections; each `accepted` is followed by one `closed`. Closed at once: `rejected` because there are
 * too many connections, `clientRejected` because its client has too many, `refused` because its client may not ask.
 */
export type TcpEvent =
  'accepted' | 'rejected' | 'clientRejected' | 'refused' | 'idleClosed' | 'slowClosed' | 'closed'

export type Limits = {
  /** Milliseconds without a query before a connection is closed. */
  readonly idleMs: number
  /**
   * Milliseconds that a frame may take from its first to its last octet, regardless of progress. Also how long a
   * client may leave our responses unread.
   */
  readonly halfFrameMs: number
  /** Limit of bytes that wait in our memory because the client does not read. At half of it we stop reading. */
  readonly maxWriteBuffer: number
  /** Limit of queries under way per connection; at the limit we stop reading until one is answered. */
  readonly maxInFlightPerConnection: number
}

/**
 * How long we continue to read and discard after our last octet. Closing with unread data would send a reset, which
 * may destroy responses (see RFC 7766 section 6.2.4).
 */
const LINGER_MS = 500
/** How long a connection may stay for queries that are never answered. */
const UNANSWERED_MS = 10_000
/** Responses are collected up to this size before they are written. */
const GATHER_BYTES = 32_768

export type ConnectionParts = {
  readonly socket: Socket
  readonly from: From
  readonly limits: Limits
  readonly now: () => number
  readonly onQuery: OnQuery
  readonly onEvent: (kind: TcpEvent) => void
}

export class Connection {
  readonly #parts: ConnectionParts
  readonly #socket: Socket
  readonly #reader = new FrameReader()
  #out: Buffer[] = []
  #outBytes = 0
  #flushing = false
  #inFlight = 0
  #lastActive: number
  /** When the current frame began, Infinity between frames. */
  #frameSince = Infinity
  /** When the kernel last accepted all written data. */
  #lastWritten = 0
  /** When we decided to close, Infinity before. */
  #closingSince = Infinity
  /** Whether to close when nothing is under way: the client sent its last octet, or we drain. */
  #last = false

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    this.#socket = parts.socket
    this.#lastActive = parts.now()
    const socket = parts.socket
    socket.setNoDelay(true)
    socket.on('data', chunk => this.#read(chunk))
    socket.on('end', () => this.finish())
    // Ignored: 'close' follows and does the counting.
    socket.on('error', () => {})
    socket.on('close', () => parts.onEvent('closed'))
  }

  /** Accepts no further query, and closes after those under way were answered. */
  finish(): void {
    this.#last = true
    if (this.#inFlight === 0) this.#end()
  }

  /** Ends at once. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** Checks the time limits; called periodically. */
  check(now: number): void {
    const { limits, onEvent } = this.#parts
    if (now - this.#closingSince > LINGER_MS) return this.destroy()
    if (this.#closingSince !== Infinity) return
    if (this.#socket.writableLength > 0) {
      if (now - this.#lastWritten <= limits.halfFrameMs) return
      onEvent('slowClosed')
      return this.destroy()
    }
    const allowed = this.#inFlight > 0 ? Math.max(limits.idleMs, UNANSWERED_MS) : limits.idleMs
    const idle = now - this.#lastActive > allowed
    if (!idle && now - this.#frameSince <= limits.halfFrameMs) return
    onEvent('idleClosed')
    this.#end()
  }

  #read(chunk: Buffer): void {
    if (this.#last || this.#closingSince !== Infinity) return
    this.#lastActive = this.#parts.now()
    this.#reader.push(chunk)
    this.#serve()
    this.#flush()
  }

  /** Passes on complete messages, as many as may be under way. */
  #serve(): void {
    const { from, onQuery } = this.#parts
    while (this.#closingSince === Infinity && !this.#socket.destroyed) {
      if (this.#full) {
        // The time that the client waits for us does not count.
        this.#frameSince = Infinity
        this.#socket.pause()
        return
      }
      const wire = this.#reader.next()
      if (!wire) break
      this.#frameSince = Infinity
      this.#inFlight++
      onQuery(wire, from, this.#responder())
      if (this.#outBytes >= GATHER_BYTES) this.#flush()
    }
    if (this.#reader.broken) this.#end()
    if (!this.#reader.partial) this.#frameSince = Infinity
    else if (this.#frameSince === Infinity) this.#frameSince = this.#lastActive
    if (this.#socket.isPaused()) this.#socket.resume()
  }

  get #full(): boolean {
    const { maxInFlightPerConnection, maxWriteBuffer } = this.#parts.limits
    if (this.#inFlight >= maxInFlightPerConnection) return true
    return this.#outBytes + this.#socket.writableLength > maxWriteBuffer / 2
  }

  #responder(): (bytes: Uint8Array) => void {
    let open = true
    return bytes => {
      if (!open) return
      open = false
      this.#inFlight--
      if (this.#socket.destroyed || !this.#socket.writable) return
      this.#lastActive = this.#parts.now()
      this.#out.push(framed(bytes))
      this.#outBytes += bytes.length + 2
      if (this.#flushing) return
      // All answers of this callback are sent in one piece.
      this.#flushing = true
      process.nextTick(this.#afterResponses)
    }
  }

  #afterResponses = (): void => {
    this.#flushing = false
    this.#flush()
    this.#continue()
    if (this.#last && this.#inFlight === 0) this.#end()
  }

  #continue(): void {
    if (!this.#socket.isPaused() || this.#last || this.#closingSince !== Infinity) return
    this.#serve()
    this.#flush()
  }

  #flush(): void {
    const out = this.#out
    if (out.length === 0 || !this.#socket.writable) return
    this.#out = []
    this.#outBytes = 0
    if (this.#socket.writableLength === 0) this.#lastWritten = this.#parts.now()
    this.#socket.write(out.length === 1 ? out[0]! : Buffer.concat(out), this.#written)
    if (this.#socket.writableLength <= this.#parts.limits.maxWriteBuffer) return
    this.#parts.onEvent('slowClosed')
    this.destroy()
  }

  #written = (): void => {
    this.#lastWritten = this.#parts.now()
    this.#continue()
  }

  /** Sends what is left and our end; reads on until the client ends, or until check() closes. */
  #end(): void {
    if (this.#closingSince !== Infinity) return
    this.#flush()
    this.#closingSince = this.#parts.now()
    this.#socket.end()
    this.#socket.resume()
  }
}
