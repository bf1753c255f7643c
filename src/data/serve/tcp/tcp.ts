/**
 * DNS over TCP for clients (RFC 7766, RFC 9210): many queries on each connection, answered in any order. This file
 * limits the number of connections and their time; connection.ts handles one connection.
 */
import { clientOf, hostPort, type Client } from '../../../base/ip.ts'
import { createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'
import { codeOf, fail } from '../../../base/error.ts'
import { nodeTimer, type After } from '../../timers.ts'
import { Connection } from './connection.ts'
import type { Limits, OnQuery, TcpEvent } from './connection.ts'
import { Places } from './places.ts'

export type { From, OnQuery, TcpEvent } from './connection.ts'

export type TcpOptions = Limits & {
  readonly address: string
  readonly port: number
  /** A listening descriptor from systemd, which belongs to us from then on. */
  readonly fd?: number
  /** Limit of connections over all listeners with the same `places`; further ones are closed at once. */
  readonly maxConnections: number
  /** Counts connections together with other listeners. Default: counts its own alone. */
  readonly places?: Places
  /** Whether this client may ask; otherwise its connection is closed at once. Default: always. */
  readonly mayConnect?: (address: string) => boolean
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Default: timers of Node. */
  readonly after?: After
  readonly onQuery: OnQuery
  readonly onEvent: (kind: TcpEvent) => void
}

export interface TcpListener {
  readonly address: string
  readonly port: number
  /** Open connections. */
  readonly connections: number
  /** Closes everything at once. */
  close(): Promise<void>
  /** Accepts no new connections, lets queries under way be answered, and closes the rest after `deadlineMs`. */
  drain(deadlineMs: number): Promise<void>
}

/** Interval of checks: a quarter of the shorter time limit, within these bounds. */
const CHECK_MIN_MS = 20
const CHECK_MAX_MS = 1_000
/** Interval of checks while draining, to end soon after the last client. */
const CHECK_DRAINING_MS = 25

/** Listens. Rejects with EBIND and the errno name in `errno`. */
export const listenTcp = async (options: TcpOptions): Promise<TcpListener> => {
  // Half-open: a client may end its side after its last query and still wait for the answer.
  const server = createServer({ allowHalfOpen: true })
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.once('listening', resolve)
      const { address: host, port, fd } = options
      if (fd === undefined) server.listen({ host, port, ipv6Only: host.includes(':') })
      else server.listen({ fd })
    })
  } catch (er) {
    throw bindError(options, er)
  }
  server.removeAllListeners('error')
  return new Listener(server, options)
}

const bindError = ({ address, port }: TcpOptions, cause: unknown) => {
  const where = hostPort(address, port)
  const errno = codeOf(cause)
  return fail(`cannot bind ${where} over TCP: ${errno}`, 'EBIND', { errno, address, port, cause })
}

class Listener implements TcpListener {
  readonly address: string
  readonly port: number
  readonly #server: Server
  readonly #options: TcpOptions
  readonly #open = new Set<Connection>()
  readonly #places: Places
  readonly #after: After
  #checkMs: number
  readonly #closed: Promise<void>
  #cancelCheck: (() => void) | undefined
  #emptied: (() => void) | undefined

  constructor(server: Server, options: TcpOptions) {
    const { address, port } = server.address() as AddressInfo
    this.address = address
    this.port = port
    this.#server = server
    this.#options = options
    this.#places = options.places ?? new Places()
    this.#after = options.after ?? nodeTimer
    const shorter = Math.min(options.idleMs, options.halfFrameMs) / 4
    this.#checkMs = Math.min(Math.max(shorter, CHECK_MIN_MS), CHECK_MAX_MS)
    this.#closed = new Promise(resolve => server.once('close', resolve))
    server.on('connection', socket => this.#accept(socket))
    // A failed accept (no descriptors left) counts as a rejected connection.
    server.on('error', () => options.onEvent('rejected'))
  }

  get connections(): number {
    return this.#open.size
  }

  close(): Promise<void> {
    return this.drain(0)
  }

  async drain(deadlineMs: number): Promise<void> {
    if (this.#server.listening) this.#server.close()
    let cancelLate: (() => void) | undefined
    if (deadlineMs > 0) {
      for (const connection of this.#open) connection.finish()
      cancelLate = this.#after(deadlineMs, () => this.#destroyAll())
      this.#checkMs = CHECK_DRAINING_MS
      this.#watch()
    } else this.#destroyAll()
    // The server reports its end slightly before its last connection does.
    await this.#closed
    if (this.#open.size > 0) await new Promise<void>(resolve => (this.#emptied = resolve))
    cancelLate?.()
    this.#cancelCheck?.()
  }

  /** One timer for all connections; none while there are no connections. */
  #watch(): void {
    this.#cancelCheck?.()
    this.#cancelCheck = this.#after(this.#checkMs, () => {
      this.#watch()
      this.#check()
    })
  }

  #destroyAll(): void {
    for (const connection of this.#open) connection.destroy()
  }

  #accept(socket: Socket): void {
    const { remoteAddress, remotePort, remoteFamily } = socket
    const { maxConnections, mayConnect, onEvent, onQuery, now } = this.#options
    const reject = (why: TcpEvent): void => {
      socket.on('error', () => {})
      socket.destroy()
      onEvent(why)
    }
    // The client has already disconnected if it has no address.
    if (!remoteAddress || !remotePort) return reject('rejected')
    if (mayConnect?.(remoteAddress) === false) return reject('refused')
    const family = remoteFamily === 'IPv6' ? 6 : 4
    const client = clientOf(remoteAddress)
    const why = this.#places.take(client, maxConnections)
    if (why !== undefined) return reject(why)
    const connection = new Connection({
      socket,
      from: { family, address: remoteAddress, port: remotePort },
      limits: this.#options,
      now,
      onQuery,
      onEvent: kind => {
        if (kind === 'closed') this.#forget(connection, client)
        onEvent(kind)
      },
    })
    this.#open.add(connection)
    if (!this.#cancelCheck) this.#watch()
    onEvent('accepted')
  }

  #forget(connection: Connection, client: Client): void {
    this.#open.delete(connection)
    this.#places.giveBack(client)
    if (this.#open.size > 0) return
    this.#cancelCheck?.()
    this.#cancelCheck = undefined
    this.#emptied?.()
  }

  #check(): void {
    const now = this.#options.now()
    for (const connection of this.#open) connection.check(now)
  }
}
