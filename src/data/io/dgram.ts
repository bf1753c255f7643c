/**
 * PacketIO for any platform: node:dgram with one datagram per batch. It does not poll: `turn` runs after packets,
 * after wake(), and at the time that it asked for. Unconnected sockets do not report ICMP errors here.
 */
import { createSocket } from 'node:dgram'
import type { RemoteInfo, Socket } from 'node:dgram'
import { clientOf, type Client } from '../../base/ip.ts'
import { codeOf, fail } from '../../base/error.ts'
import { asInet, inetPeer, number4 } from './inet.ts'
import { RX_SLOT, TX_SLOT } from './packet-io.ts'
import type { Batch, IoStats, OnTurn, PacketIO, Peer, SocketSpec, UdpSocket } from './packet-io.ts'
import { RECEIVE_BUFFER, bindError, specPeer } from './socket.ts'

/** Limit of datagrams that Node queues for a socket without room in the kernel. */
const QUEUED = 1024
/** Longest delay of a Node timer. */
const MAX_DELAY_MS = 2 ** 31 - 1

/** One datagram at a time, in memory that is reused. */
class OneBatch implements Batch {
  readonly socket: UdpSocket
  readonly count = 1
  readonly rx = Buffer.alloc(RX_SLOT)
  readonly rxAt = new Int32Array(1)
  readonly rxLen = new Int32Array(1)
  readonly rxCut = new Uint8Array(1)
  readonly tx = Buffer.alloc(TX_SLOT)
  readonly txAt = new Int32Array(1)
  readonly txLen = new Int32Array(1)
  from: RemoteInfo = { address: '', family: 'IPv4', port: 0, size: 0 }

  constructor(socket: UdpSocket) {
    this.socket = socket
  }

  fill(bytes: Buffer, from: RemoteInfo): void {
    this.rxCut[0] = bytes.length > RX_SLOT ? 1 : 0
    this.rxLen[0] = bytes.copy(this.rx)
    this.txLen[0] = 0
    this.from = from
  }

  source4(): number {
    return this.from.family === 'IPv4' ? number4(this.from.address) : -1
  }

  client(): Client {
    return clientOf(this.from.address)
  }

  sourcePort(): number {
    return this.from.port
  }

  isFrom(_i: number, peer: Peer): boolean {
    // Node formats addresses as we do, except for an unknown scope.
    const { address, port } = this.from
    if (port !== peer.port) return false
    const wanted = asInet(peer).address
    return address === wanted || (address.split('%')[0] === wanted && address.includes('%'))
  }

  peer(): Peer {
    return inetPeer(this.from.address, this.from.port)
  }
}

class DgramSocket implements UdpSocket {
  readonly address: string
  readonly port: number
  readonly #io: DgramIO
  readonly #socket: Socket
  readonly #spec: SocketSpec
  readonly #batch: OneBatch
  #closed = false

  constructor(io: DgramIO, socket: Socket, spec: SocketSpec) {
    const { address, port } = socket.address()
    this.address = address
    this.port = port
    this.#io = io
    this.#socket = socket
    this.#spec = spec
    this.#batch = new OneBatch(this)
    socket.on('message', (bytes, from) => this.#receive(bytes, from))
    socket.on('error', er => this.#failed(er, undefined))
  }

  send(bytes: Uint8Array, at: number, length: number, to: Peer): boolean {
    const { stats } = this.#io
    if (this.#closed || length > TX_SLOT || this.#socket.getSendQueueCount() >= QUEUED) {
      stats.sendDropped++
      return false
    }
    const copy = Buffer.from(bytes.subarray(at, at + length))
    stats.sendCalls++
    this.#socket.send(copy, to.port, to.address, er => {
      if (!er) stats.sent++
      else if (!this.#closed) {
        stats.sendDropped++
        this.#failed(er, to)
      }
    })
    return true
  }

  pause(): void {
    // Node cannot stop reading a datagram socket.
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#io.forget(this)
    this.#socket.close()
  }

  #receive(bytes: Buffer, from: RemoteInfo): void {
    if (this.#closed) return
    const batch = this.#batch
    this.#io.stats.receiveCalls++
    this.#io.stats.received++
    this.#io.tick()
    batch.fill(bytes, from)
    this.#spec.onBatch(batch)
    const length = batch.txLen[0]!
    if (length > 0) this.send(batch.tx, 0, length, batch.peer())
    this.#io.wake()
  }

  #failed(er: Error, to: Peer | undefined): void {
    this.#io.stats.errors++
    if (!this.#closed) this.#spec.onError?.(codeOf(er), to)
    this.#io.wake()
  }
}

export class DgramIO implements PacketIO {
  readonly body = 'dgram'
  readonly stats: IoStats = {
    receiveCalls: 0,
    received: 0,
    sendCalls: 0,
    sent: 0,
    sendDropped: 0,
    sendRetried: 0,
    receiveDropped: 0,
    errors: 0,
  }
  readonly #sockets = new Set<DgramSocket>()
  #onTurn: OnTurn | undefined
  #immediate: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined
  #now = performance.now()
  #seen = this.#now
  #closed = false

  now(): number {
    return this.#now
  }

  /** Reads the clock. */
  tick(): void {
    this.#now = performance.now()
  }

  async open(spec: SocketSpec): Promise<UdpSocket> {
    if (this.#closed) throw fail('the packet I/O is closed', 'ESTATE')
    const want = specPeer(spec)
    const socket = createSocket({
      type: want.family === 4 ? 'udp4' : 'udp6',
      ipv6Only: want.family === 6,
      // Addresses are literals, so no resolver is needed.
      lookup: (host, _options, found) => found(null, host, want.family),
    })
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject)
        socket.once('listening', resolve)
        if (spec.fd === undefined) socket.bind({ address: spec.address, port: spec.port })
        else socket.bind({ fd: spec.fd })
      })
    } catch (er) {
      socket.close()
      // ERR_INVALID_FD_TYPE: the descriptor from systemd is not a UDP socket.
      const code = codeOf(er)
      throw bindError(spec, code.startsWith('ERR_') ? 'EPROTOTYPE' : code, er)
    }
    socket.removeAllListeners('error')
    try {
      const bytes = spec.receiveBuffer ?? RECEIVE_BUFFER
      if (spec.fd === undefined || socket.getRecvBufferSize() < bytes)
        socket.setRecvBufferSize(bytes)
    } catch {
      // Ignored: the system's default size is used.
    }
    const opened = new DgramSocket(this, socket, spec)
    this.#sockets.add(opened)
    return opened
  }

  peer(address: string, port: number): Peer {
    return inetPeer(address, port)
  }

  start(turn: OnTurn): void {
    if (this.#onTurn) throw fail('the packet I/O runs already', 'ESTATE')
    this.#onTurn = turn
    this.wake()
  }

  wake(): void {
    if (this.#closed || !this.#onTurn || this.#immediate) return
    this.#immediate = setImmediate(this.#turn)
  }

  close(): void {
    this.#closed = true
    clearImmediate(this.#immediate)
    clearTimeout(this.#timer)
    for (const socket of this.#sockets) socket.close()
  }

  forget(socket: DgramSocket): void {
    this.#sockets.delete(socket)
  }

  #turn = (): void => {
    this.#immediate = undefined
    clearTimeout(this.#timer)
    if (this.#closed) return
    this.tick()
    const next = this.#onTurn!(this.#now, this.#seen)
    if (this.#closed || next === Infinity) return
    const delay = Math.min(Math.max(Math.ceil(next), 1), MAX_DELAY_MS)
    this.#timer = setTimeout(this.#look, delay)
  }

  /** libuv runs timers before it reads sockets, so a due turn waits until the sockets were read. */
  #look = (): void => {
    this.#seen = performance.now()
    this.wake()
  }
}
