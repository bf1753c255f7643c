/**
 * The network with real sockets: node:dgram and node:net on one port. The number of streams is limited, and every
 * stream has a deadline from its start, so that a half-open stream holds a descriptor only for seconds.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, connect, type Server, type Socket } from 'node:net'
import { fail, messageOf } from '../../base/error.ts'
import { socketAddress } from '../wire/address.ts'
import type { Body, BodyEvents, BodyStats, Endpoint } from './body.ts'

/** A stream that is still open after this is dropped. Slightly longer than the core's own limit of 10 s. */
const STREAM_MS = 12_000
/** Limits of inbound streams: in total, and from one address. */
const INBOUND_MOST = 96
const INBOUND_PER_ADDRESS = 48
/** Size of the UDP receive buffer: a burst of news from 10,000 members while our event loop is busy. */
const RECEIVE_BUFFER = 1024 * 1024
/** Ports tried when any port will do: a port that is free for UDP may be in use for TCP. */
const PORT_TRIES = 20

export type UdpTcpOptions = {
  /** Milliseconds after which a stream is dropped. */
  readonly streamMs?: number
}

export class UdpTcpBody implements Body {
  readonly stats: BodyStats = { sendFailed: 0, turnedAway: 0 }
  readonly #streamMs: number
  #udp: UdpSocket | undefined
  #tcp: Server | undefined
  #events: BodyEvents | undefined
  #streams = new Map<number, Socket>()
  #inbound = new Map<string, number>()
  #inboundCount = 0
  #nextInbound = -1
  #six = false
  /** Local address of the streams that we open, so that peers see the address that they know. */
  #local: string | undefined

  constructor(options: UdpTcpOptions = {}) {
    this.#streamMs = options.streamMs ?? STREAM_MS
  }

  async open(at: Endpoint, events: BodyEvents): Promise<Endpoint> {
    this.#events = events
    this.#six = at.address.includes(':')
    this.#local = at.address === '0.0.0.0' || at.address === '::' ? undefined : at.address
    for (let tries = at.port === 0 ? PORT_TRIES : 1; ; tries--) {
      try {
        const tcp = await this.#listen(at)
        this.#tcp = tcp
        const bound = tcp.address()
        const port = typeof bound === 'object' && bound ? bound.port : at.port
        this.#udp = await this.#bind({ address: at.address, port })
        return { address: at.address, port }
      } catch (er) {
        await this.#closeServer()
        if (tries > 1) continue
        throw fail(
          `cannot bind the gossip port ${at.address}:${at.port}: ${messageOf(er)}`,
          'EBIND',
          { cause: er },
        )
      }
    }
  }

  #listen(at: Endpoint): Promise<Server> {
    return new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, socket =>
        this.#accept(socket),
      )
      server.once('error', reject)
      server.listen({ host: at.address, port: at.port, exclusive: true }, () => {
        server.off('error', reject)
        // the server goes on listening after an error of accept() such as EMFILE
        server.on('error', () => this.stats.turnedAway++)
        resolve(server)
      })
    })
  }

  #bind(at: Endpoint): Promise<UdpSocket> {
    return new Promise((resolve, reject) => {
      const type = this.#six ? 'udp6' : 'udp4'
      const family = this.#six ? 6 : 4
      // addresses are literals; dgram would call the resolver for each, which takes a turn of the event loop
      const lookup = (
        host: string,
        _: unknown,
        found: (er: null, address: string, family: number) => void,
      ): void => found(null, host, family)
      const socket = createSocket({ type, lookup: lookup as never, recvBufferSize: RECEIVE_BUFFER })
      socket.once('error', er => {
        socket.close()
        reject(er)
      })
      socket.bind({ address: at.address, port: at.port, exclusive: true }, () => {
        socket.removeAllListeners('error')
        socket.on('error', () => this.stats.sendFailed++)
        socket.on('message', (bytes, from) => {
          this.#events?.packet(bytes, { address: socketAddress(from.address), port: from.port })
        })
        resolve(socket)
      })
    })
  }

  /** The address as a socket of our family accepts it; '' if it cannot. */
  #reachable(address: string): string {
    const six = address.includes(':')
    if (six === this.#six) return address
    return six ? '' : `::ffff:${address}`
  }

  send(to: Endpoint, bytes: Uint8Array): void {
    const address = this.#reachable(to.address)
    if (address === '' || !this.#udp) {
      this.stats.sendFailed++
      return
    }
    try {
      this.#udp.send(bytes, to.port, address, er => {
        if (er) this.stats.sendFailed++
      })
    } catch {
      // the address comes from the wire, and can be one that no socket accepts
      this.stats.sendFailed++
    }
  }

  #accept(socket: Socket): void {
    const address = socketAddress(socket.remoteAddress ?? '')
    const had = this.#inbound.get(address) ?? 0
    if (address === '' || this.#inboundCount >= INBOUND_MOST || had >= INBOUND_PER_ADDRESS) {
      this.stats.turnedAway++
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    const id = this.#nextInbound--
    this.#inbound.set(address, had + 1)
    this.#inboundCount++
    socket.once('close', () => {
      this.#inboundCount--
      const left = (this.#inbound.get(address) ?? 1) - 1
      if (left > 0) this.#inbound.set(address, left)
      else this.#inbound.delete(address)
    })
    this.#watch(id, socket)
    this.#events?.accepted(id, { address, port: socket.remotePort ?? 0 })
  }

  connect(id: number, to: Endpoint, bytes: Uint8Array): void {
    const host = this.#reachable(to.address)
    if (host === '') {
      setImmediate(() => this.#events?.failed(id))
      return
    }
    let socket: Socket
    try {
      socket = connect({
        host,
        port: to.port,
        allowHalfOpen: true,
        noDelay: true,
        ...(this.#local ? { localAddress: this.#local } : {}),
      })
    } catch {
      setImmediate(() => this.#events?.failed(id))
      return
    }
    this.#watch(id, socket)
    socket.write(bytes)
  }

  #watch(id: number, socket: Socket): void {
    this.#streams.set(id, socket)
    const deadline = setTimeout(() => this.#broke(id, socket), this.#streamMs)
    deadline.unref()
    socket.on('data', bytes => {
      if (this.#streams.get(id) === socket) this.#events?.data(id, bytes)
    })
    socket.on('end', () => {
      if (this.#streams.get(id) === socket) this.#events?.ended(id)
    })
    socket.on('error', () => this.#broke(id, socket))
    socket.once('close', () => {
      clearTimeout(deadline)
      this.#broke(id, socket)
    })
  }

  #broke(id: number, socket: Socket): void {
    socket.destroy()
    if (this.#streams.get(id) !== socket) return
    this.#streams.delete(id)
    this.#events?.failed(id)
  }

  end(id: number, bytes: Uint8Array): void {
    const socket = this.#streams.get(id)
    if (!socket) return
    // the deadline stays; further data from the peer is discarded
    this.#streams.delete(id)
    socket.resume()
    socket.once('end', () => socket.destroySoon())
    socket.end(bytes)
  }

  drop(id: number): void {
    const socket = this.#streams.get(id)
    this.#streams.delete(id)
    socket?.destroy()
  }

  #closeServer(): Promise<void> {
    const server = this.#tcp
    this.#tcp = undefined
    return new Promise(resolve => (server ? server.close(() => resolve()) : resolve()))
  }

  async close(): Promise<void> {
    this.#events = undefined
    for (const socket of this.#streams.values()) socket.destroy()
    this.#streams.clear()
    const udp = this.#udp
    this.#udp = undefined
    await Promise.all([
      this.#closeServer(),
      new Promise<void>(resolve => (udp ? udp.close(resolve) : resolve())),
    ])
  }
}
