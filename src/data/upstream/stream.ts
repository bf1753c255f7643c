/**
 * Upstreams over TCP and TLS (RFC 7766, 7858): one connection per upstream,
 * many questions on it at once, replies in any order. A connection that turns
 * out to be dead when it is reused is replaced once, without anybody noticing.
 */
import { connect as connectTcp, type Socket } from 'node:net'
import { fail } from '../../base/error.ts'
import { put16, u16 } from '../../wire/octets.ts'
import type { Random16 } from './exchange.ts'

/** Closed by us before most servers close it themselves (BIND 30 s, unbound 30 s, CoreDNS 10 s). */
const IDLE_MS = 8_000
/** Questions under way on one connection; more wait for nothing and fail. */
const MAX_PENDING = 1_000
/** Longest wait for a connection. */
const CONNECT_MS = 1_500

export type StreamTarget = {
  readonly address: string
  readonly port: number
  readonly tls: boolean
  readonly serverName?: string | undefined
}

type Waiting = {
  readonly question: Buffer
  readonly resolve: (wire: Buffer) => void
  readonly reject: (er: Error) => void
  readonly retry: boolean
}

export class StreamUpstream {
  readonly #target: StreamTarget
  readonly #random: Random16
  #socket: Socket | undefined
  #used = false
  readonly #waiting = new Map<number, Waiting>()
  #chunks: Buffer = Buffer.alloc(0)

  constructor(target: StreamTarget, random: Random16) {
    this.#target = target
    this.#random = random
  }

  /** The reply to a question, its ID not ours to rely on. Rejects when the stream fails or `signal` says so. */
  ask(question: Buffer, signal: AbortSignal): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(gaveUp())
      const id = this.#send({
        question,
        resolve,
        reject,
        retry: this.#socket !== undefined && this.#used,
      })
      signal.addEventListener(
        'abort',
        () => {
          const waiting = this.#waiting.get(id)
          if (waiting?.resolve === resolve) this.#waiting.delete(id)
          reject(gaveUp())
        },
        { once: true },
      )
    })
  }

  close(): void {
    this.#socket?.destroy()
  }

  #send(waiting: Waiting): number {
    if (this.#waiting.size >= MAX_PENDING) {
      waiting.reject(fail('too many questions on one upstream connection', 'ESTATE'))
      return -1
    }
    const socket = (this.#socket ??= this.#open())
    let id = this.#random()
    while (this.#waiting.has(id)) id = (id + 1) & 0xffff
    this.#waiting.set(id, waiting)
    const frame = Buffer.allocUnsafe(waiting.question.length + 2)
    put16(frame, 0, waiting.question.length)
    waiting.question.copy(frame, 2)
    put16(frame, 2, id)
    socket.write(frame)
    return id
  }

  #open(): Socket {
    const { address, port, tls, serverName } = this.#target
    const options = { host: address, port, noDelay: true, keepAlive: false }
    // Loaded with the first connection that needs it: 10 ms of every start otherwise.
    const socket = tls
      ? process
          .getBuiltinModule('node:tls')
          .connect({ ...options, ...(serverName === undefined ? {} : { servername: serverName }) })
      : connectTcp(options)
    this.#used = false
    this.#chunks = Buffer.alloc(0)
    socket.setTimeout(CONNECT_MS, () =>
      socket.destroy(fail('upstream connection timed out', 'ESTATE')),
    )
    socket.once(tls ? 'secureConnect' : 'connect', () => socket.setTimeout(IDLE_MS))
    socket.on('data', chunk => this.#read(socket, chunk))
    socket.on('error', () => {}) // 'close' follows and tells the waiting
    socket.once('close', () => this.#lost(socket))
    return socket
  }

  #read(socket: Socket, chunk: Buffer): void {
    if (socket !== this.#socket) return
    let data = this.#chunks.length === 0 ? chunk : Buffer.concat([this.#chunks, chunk])
    while (data.length >= 2) {
      const length = u16(data, 0)
      if (data.length < length + 2) break
      const wire = data.subarray(2, length + 2)
      data = data.subarray(length + 2)
      if (length < 12) continue
      const waiting = this.#waiting.get(u16(wire, 0))
      if (!waiting) continue
      this.#waiting.delete(u16(wire, 0))
      this.#used = true
      waiting.resolve(Buffer.from(wire))
    }
    this.#chunks = data
  }

  #lost(socket: Socket): void {
    if (socket !== this.#socket) return
    this.#socket = undefined
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const one of waiting) {
      if (one.retry) this.#send({ ...one, retry: false })
      else one.reject(fail('upstream connection lost', 'ESTATE'))
    }
  }
}

const gaveUp = (): Error => fail('no longer wanted', 'ESTATE')
