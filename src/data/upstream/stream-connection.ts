/** One TCP or TLS connection to an upstream and its questions under way. */
import { connect as connectTcp, type Socket } from 'node:net'
import { fail } from '../../base/error.ts'
import { put16, u16 } from '../../wire/octets.ts'
import type { After } from '../timers.ts'
import type { Random16 } from './exchange.ts'

/** Closed by us before most servers close it (BIND 30 s, unbound 30 s, CoreDNS 10 s). */
const IDLE_MS = 8_000
/** Limit of questions under way on one connection; more fail at once. */
const MAX_PENDING = 1_000
/** Longest wait for a connection. */
const CONNECT_MS = 1_500
/** If nothing is received for this long after a question, the connection may be dead. */
const SILENT_MS = 400

export type StreamTarget = {
  readonly address: string
  readonly port: number
  readonly tls: boolean
  readonly serverName?: string | undefined
}

/** What the connections of a thread share. */
export type StreamContext = {
  readonly random: Random16
  /** Milliseconds that only rise. */
  readonly clock: () => number
  readonly after: After
}

type Waiting = {
  readonly sentAt: number
  readonly resolve: (wire: Buffer) => void
  readonly reject: (er: Error) => void
}

export class StreamConnection {
  readonly #socket: Socket
  readonly #context: StreamContext
  readonly #waiting = new Map<number, Waiting>()
  /** When the first question was sent since anything was received; Infinity if none was. */
  #unheardSince = Infinity
  /** When it was connected, or last sent or received anything. */
  #activeAt = 0
  #cancelTimer: () => void
  #chunks: Buffer = Buffer.alloc(0)
  #retired = false
  /** No further question can be sent. */
  isOver = false
  /** It has received a reply. */
  hasAnswered = false

  constructor(target: StreamTarget, context: StreamContext) {
    this.#context = context
    const { address, port, tls, serverName } = target
    const options = { host: address, port, noDelay: true, keepAlive: false }
    // Loaded on demand, because it takes 10 ms.
    const socket = (this.#socket = tls
      ? process
          .getBuiltinModule('node:tls')
          .connect({ ...options, ...(serverName === undefined ? {} : { servername: serverName }) })
      : connectTcp(options))
    this.#cancelTimer = context.after(CONNECT_MS, () => this.#timeOut())
    socket.once(tls ? 'secureConnect' : 'connect', () => {
      this.#activeAt = context.clock()
      this.#endWhenIdle(IDLE_MS)
    })
    socket.on('data', chunk => this.#read(chunk))
    socket.on('error', () => {}) // 'close' follows and rejects the questions under way
    socket.once('end', () => (this.isOver = true))
    socket.once('close', () => this.#lost())
  }

  /** Questions were sent, and nothing has been received since. */
  get isSilent(): boolean {
    return this.#context.clock() - this.#unheardSince >= SILENT_MS
  }

  /** The reply to a question. Rejects if the connection ends first. */
  ask(question: Buffer, signal: AbortSignal): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(gaveUp())
      if (this.#waiting.size >= MAX_PENDING)
        return reject(fail('too many questions on one upstream connection', 'ESTATE'))
      let id = this.#context.random()
      while (this.#waiting.has(id)) id = (id + 1) & 0xffff
      const sentAt = this.#context.clock()
      this.#activeAt = sentAt
      this.#unheardSince = Math.min(this.#unheardSince, sentAt)
      const stop = (): void => {
        this.#forget(id)
        reject(gaveUp())
      }
      const done = (): void => signal.removeEventListener('abort', stop)
      this.#waiting.set(id, {
        sentAt,
        resolve: wire => {
          done()
          resolve(wire)
        },
        reject: er => {
          done()
          reject(er)
        },
      })
      signal.addEventListener('abort', stop, { once: true })
      const frame = Buffer.allocUnsafe(question.length + 2)
      put16(frame, 0, question.length)
      question.copy(frame, 2)
      put16(frame, 2, id)
      this.#socket.write(frame)
    })
  }

  /** Accepts no more questions, and closes when those under way have ended. */
  retire(): void {
    this.#retired = this.isOver = true
    if (this.#waiting.size === 0) this.close()
  }

  close(): void {
    this.isOver = true
    this.#socket.destroy()
  }

  #timeOut(): void {
    this.#socket.destroy(fail('upstream connection timed out', 'ESTATE'))
  }

  #endWhenIdle(ms: number): void {
    this.#cancelTimer()
    this.#cancelTimer = this.#context.after(ms, () => {
      const left = this.#activeAt + IDLE_MS - this.#context.clock()
      if (left > 0) this.#endWhenIdle(left)
      else this.#timeOut()
    })
  }

  #read(chunk: Buffer): void {
    this.#unheardSince = Infinity
    this.#activeAt = this.#context.clock()
    let data = this.#chunks.length === 0 ? chunk : Buffer.concat([this.#chunks, chunk])
    while (data.length >= 2) {
      const length = u16(data, 0)
      if (data.length < length + 2) break
      const wire = data.subarray(2, length + 2)
      data = data.subarray(length + 2)
      if (length < 12) continue
      const id = u16(wire, 0)
      const waiting = this.#waiting.get(id)
      if (!waiting) continue
      this.hasAnswered = true
      this.#forget(id)
      waiting.resolve(Buffer.from(wire))
    }
    this.#chunks = data
  }

  #forget(id: number): void {
    this.#waiting.delete(id)
    if (this.#retired && this.#waiting.size === 0) this.close()
  }

  #lost(): void {
    this.isOver = true
    this.#cancelTimer()
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject } of waiting) reject(fail('upstream connection lost', 'ESTATE'))
  }
}

const gaveUp = (): Error => fail('no longer wanted', 'ESTATE')
