/**
 * PacketIO for Linux: recvmmsg and sendmmsg on preallocated memory, driven by our own event loop (loop.ts). A batch
 * only changes lengths and allocates nothing per packet. Figures are in scripts/bench/README.md.
 *
 * This file is long, because its sockets and its loop use the same memory of a batch, and calls between them cost time
 * per packet.
 */
import { fail } from '../../base/error.ts'
import { CONTROL_LENGTH, HEADER_WORDS, NAME_LENGTH } from './arena.ts'
import { BatchView } from './batch-view.ts'
import { ErrorQueue } from './error-queue.ts'
import { InetPeer, NAME_BYTES, NAME_WORDS, asInet, inetPeer } from './inet.ts'
import { EAGAIN, EINTR, MSG_DONTWAIT, errnoName } from './libc.ts'
import type { Libc } from './libc.ts'
import { Loop, type LoopOptions } from './loop.ts'
import { BATCH, CONTROL_BYTES, Outbox, Sender, cannotJoin, isFull } from './outbox.ts'
import { TX_SLOT } from './packet-io.ts'
import type { IoStats, OnTurn, PacketIO, Peer, SocketSpec, UdpSocket } from './packet-io.ts'
import { Program } from './resident.ts'
import { SendList } from './send-list.ts'
import { dropCounter, openUdp } from './socket.ts'
import type { Opened } from './socket.ts'

/**
 * Limit of datagrams per socket and turn, so that a flooded socket does not starve the others. Far more than are
 * worked on in a turn (serve/backlog.ts), so that the kernel has none to drop.
 */
const DATAGRAMS_PER_TURN = 1_024
/** How often the kernel is asked for the number of dropped datagrams. */
const DROPS_EVERY_MS = 1_000
/**
 * Longest pause between the calls that return free memory of malloc to the system: compiling the hot path and reading
 * the configuration leave 7 MB. The call takes 0.6 ms; each pause is twice as long as the one before.
 */
const TRIM_MOST_MS = 5 * 60_000
/** The first pause, because the start leaves the most. */
const TRIM_FIRST_MS = 2_000
/** How often pages of the program that were needed once are returned. */
const RELEASE_EVERY_MS = 10 * 60_000
/** When to retry datagrams that the kernel had no room for. */
const RETRY_MS = 1
/** Limit of errors reported per turn; further ones are only counted. */
const ERRORS_PER_TURN = 256

class BatchSocket extends Sender implements UdpSocket {
  readonly address: string
  readonly port: number
  readonly family: 4 | 6
  readonly wildcard: boolean
  readonly spec: SocketSpec
  readonly atOnce: number
  /** Kernel drops counted so far. */
  drops = 0
  readonly #io: BatchIO

  constructor(io: BatchIO, spec: SocketSpec, { fd, bound, wildcard }: Opened, join: boolean) {
    super(fd, spec.onError !== undefined, join && spec.join === true)
    this.#io = io
    this.spec = spec
    this.atOnce = Math.min(spec.atOnce ?? BATCH, BATCH)
    this.address = bound.address
    this.port = bound.port
    this.family = bound.family
    this.wildcard = wildcard
  }

  send(bytes: Uint8Array, at: number, length: number, to: Peer): boolean {
    return this.#io.outbox.put(this, bytes, at, length, asInet(to))
  }

  pause(): void {
    this.#io.pause(this)
  }

  close(): void {
    this.#io.forget(this)
  }
}

export type BatchOptions = LoopOptions & {
  /** False: every datagram gets its own message. Default true. */
  readonly join?: boolean
}

export class BatchIO implements PacketIO {
  readonly body = 'batch'
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
  readonly outbox: Outbox
  readonly #libc: Libc
  readonly #loop: Loop
  readonly #join: boolean
  readonly #batch: BatchView
  readonly #errorQueue: ErrorQueue
  readonly #drops: (fd: number) => number
  readonly #sockets = new Map<number, BatchSocket>()
  readonly #errors: { socket: BatchSocket; code: string; peer: InetPeer }[] = []
  readonly #replies: SendList
  #receiveFamily: 4 | 6 = 4
  /** Whether every datagram that was read since a socket became ready was answered in place (see OnBatch). */
  #inPlace = true
  #nextDrops = 0
  /** Whether the memory that only the start needed was given back. Until then an idle thread is woken once, for that. */
  #trimmed = false
  #nextTrim: number
  #trimPause = TRIM_FIRST_MS
  #nextRelease: number
  readonly #program: Program
  #onTurn: OnTurn | undefined
  #closed = false

  private constructor(libc: Libc, loop: Loop, join: boolean) {
    this.#libc = libc
    this.#program = new Program(libc)
    this.#loop = loop
    this.#join = join
    this.#nextTrim = this.#nextRelease = loop.now + this.#trimPause
    this.#batch = new BatchView(libc)
    this.#replies = new SendList(libc, this.#batch.replies)
    this.#errorQueue = new ErrorQueue(libc)
    this.#drops = dropCounter(libc)
    this.outbox = new Outbox(libc, this.stats, (sender, errno, names, at) =>
      this.#noteError(sender as BatchSocket, errno, names, at),
    )
  }

  /** Rejects if this thread's event loop cannot be combined with ours. */
  static async create(libc: Libc, options: BatchOptions = {}): Promise<BatchIO> {
    return new BatchIO(libc, await Loop.create(libc, options), options.join ?? true)
  }

  now(): number {
    return this.#loop.now
  }

  async open(spec: SocketSpec): Promise<UdpSocket> {
    if (this.#closed) throw fail('the packet I/O is closed', 'ESTATE')
    const socket = new BatchSocket(this, spec, openUdp(this.#libc, spec), this.#join)
    // A socket from systemd may have dropped datagrams before.
    socket.drops = Math.max(0, this.#drops(socket.fd))
    this.#sockets.set(socket.fd, socket)
    this.#loop.watch(socket.fd)
    this.#loop.wake()
    return socket
  }

  peer(address: string, port: number): Peer {
    return inetPeer(address, port)
  }

  start(turn: OnTurn): void {
    if (this.#onTurn) throw fail('the packet I/O runs already', 'ESTATE')
    this.#onTurn = turn
    this.#loop.start({
      ready: (fd, error) => this.#ready(fd, error),
      turn: (now, seen) => this.#turn(now, seen),
    })
  }

  wake(): void {
    this.#loop.wake()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.outbox.flush(this.#loop.tick())
    for (const socket of this.#sockets.values()) this.forget(socket)
    this.#loop.close()
  }

  /** Receives nothing more from one socket; it can still send. */
  pause(socket: BatchSocket): void {
    if (socket.fd >= 0) this.#loop.unwatch(socket.fd)
  }

  /** Closes one socket, after sending what it has queued. */
  forget(socket: BatchSocket): void {
    if (socket.fd < 0) return
    this.outbox.flush(this.#loop.now)
    this.outbox.forget(socket)
    this.#countDrops(socket)
    this.#sockets.delete(socket.fd)
    this.#loop.unwatch(socket.fd)
    this.#libc.close(socket.fd)
    socket.fd = -1
  }

  #turn(now: number, seen: number): number {
    const next = this.#onTurn!(now, seen)
    if (this.#closed) return Infinity
    this.outbox.flush(now)
    if (this.#errors.length > 0) this.#tellErrors()
    if (now >= this.#nextDrops) {
      this.#nextDrops = now + DROPS_EVERY_MS
      for (const socket of this.#sockets.values()) this.#countDrops(socket)
    }
    if (now >= this.#nextTrim) {
      this.#trimPause = Math.min(TRIM_MOST_MS, this.#trimPause * 2)
      this.#nextTrim = now + this.#trimPause
      this.#trimmed = true
      this.#libc.trim()
    }
    if (now >= this.#nextRelease) {
      this.#nextRelease = now + RELEASE_EVERY_MS
      this.#program.release()
    }
    if (this.outbox.blocked) return Math.min(next, RETRY_MS)
    return this.#trimmed ? next : Math.min(next, this.#nextTrim - now)
  }

  /** True if this began nothing that needs libuv's loop. */
  #ready(fd: number, error: boolean): boolean {
    const socket = this.#sockets.get(fd)
    if (!socket) return true
    if (error) this.#drainErrors(socket)
    this.#inPlace = !error
    for (let n = 0; n < DATAGRAMS_PER_TURN && socket.fd >= 0; n += socket.atOnce) {
      if (this.#receive(socket) < socket.atOnce) break
      this.#loop.tick()
    }
    return this.#inPlace
  }

  /** Receives one batch, calls the handler and sends its replies; returns the size of the batch. */
  #receive(socket: BatchSocket): number {
    const { received } = this.#batch
    if (socket.family !== this.#receiveFamily) this.#receiveFrom(socket.family)
    if (socket.wildcard) {
      for (let i = 0; i < BATCH; i++)
        received.words[i * HEADER_WORDS + CONTROL_LENGTH] = CONTROL_BYTES
    }
    let count = this.#libc.recvmmsg(socket.fd, received.base, socket.atOnce, MSG_DONTWAIT, 0)
    this.stats.receiveCalls++
    if (count < 0) {
      const errno = this.#libc.errno()
      if (errno === EAGAIN || errno === EINTR) return 0
      // A pending ICMP error makes one call fail; the error queue shows which peer it concerns.
      this.#drainErrors(socket)
      count = this.#libc.recvmmsg(socket.fd, received.base, socket.atOnce, MSG_DONTWAIT, 0)
      this.stats.receiveCalls++
      if (count < 0) return 0
    }
    this.stats.received += count
    this.#batch.fill(socket, count)
    try {
      if (socket.spec.onBatch(this.#batch) !== true) this.#inPlace = false
    } finally {
      if (socket.fd >= 0) this.#reply(socket, count)
    }
    return count
  }

  /** Resets the length of the sockaddrs, which the kernel overwrote. */
  #receiveFrom(family: 4 | 6): void {
    this.#receiveFamily = family
    const { words } = this.#batch.received
    for (let i = 0; i < BATCH; i++) words[i * HEADER_WORDS + NAME_LENGTH] = NAME_BYTES - 4
  }

  #reply(socket: BatchSocket, count: number): void {
    const { txLen } = this.#batch
    const list = this.#replies
    list.clear()
    for (let i = 0; i < count; i++) {
      const length = txLen[i]!
      if (length <= 0) continue
      if (length > TX_SLOT) this.stats.sendDropped++
      else list.add(i, length, socket.wildcard ? this.#batch.replyControl(i) : 0, socket.joins)
    }
    if (list.count === 0) return
    list.seal()
    let done = 0
    let again = socket.reportsErrors
    while (done < list.count) {
      const sent = this.#libc.sendmmsg(
        socket.fd,
        list.addressOf(done),
        list.count - done,
        MSG_DONTWAIT,
      )
      this.stats.sendCalls++
      if (sent > 0) {
        for (const end = done + sent; done < end; done++) this.stats.sent += list.packetsOf(done)
        continue
      }
      const errno = this.#libc.errno()
      if (errno === EINTR) continue
      if (list.isJoined(done) && cannotJoin(errno)) socket.joins = false
      else if (isFull(errno)) this.stats.sendRetried++
      else if (again) {
        again = false
        continue
      } else {
        again = socket.reportsErrors
        this.stats.sendDropped += list.packetsOf(done, i => {
          this.#noteError(socket, errno, this.#batch.received.names, i * NAME_WORDS)
        })
        done++
        continue
      }
      for (; done < list.count; done++) list.packetsOf(done, i => this.#postpone(socket, i))
    }
  }

  #postpone(socket: BatchSocket, i: number): void {
    const { tx, txAt, txLen } = this.#batch
    this.outbox.put(socket, tx, txAt[i]!, txLen[i]!, asInet(this.#batch.peer(i)))
  }

  #drainErrors(socket: BatchSocket): void {
    this.#errorQueue.drain(socket.fd, (errno, names, at) =>
      this.#noteError(socket, errno, names, at),
    )
  }

  /** Stored until the end of the turn, because a handler must not be called from within its own send. */
  #noteError(socket: BatchSocket, errno: number, names: Int32Array, at: number): void {
    this.stats.errors++
    if (!socket.spec.onError || this.#errors.length >= ERRORS_PER_TURN) return
    this.#errors.push({ socket, code: errnoName(errno), peer: new InetPeer(names, at) })
  }

  #tellErrors(): void {
    for (const { socket, code, peer } of this.#errors.splice(0)) {
      if (socket.fd >= 0) socket.spec.onError?.(code, peer)
    }
    this.#loop.wake()
  }

  #countDrops(socket: BatchSocket): void {
    const drops = this.#drops(socket.fd)
    if (drops < 0) return
    this.stats.receiveDropped += (drops - socket.drops) >>> 0
    socket.drops = drops
  }
}
