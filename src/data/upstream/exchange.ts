/**
 * Questions on their way to upstreams over UDP, and the replies that belong
 * to them (RFC 5452): each goes from a socket drawn at random out of a pool
 * whose ports keep changing, with an ID from the system's random source, and
 * a reply counts only if address, port, ID and question are those we asked.
 * Anything else is counted and the wait goes on.
 */
import { codeOf } from '../../base/error.ts'
import { RX_SLOT, type Batch, type PacketIO, type Peer, type UdpSocket } from '../io/packet-io.ts'
import { SLOT } from '../../boundary/counters.ts'
import { HEADER, isResponse, opcode, qdcount, rcode } from '../../wire/header.ts'
import { OPCODE, RCODE } from '../../wire/codes.ts'
import { sameName, skipPlainName } from '../../wire/name.ts'
import { copy, put16, u16 } from '../../wire/octets.ts'
import { Records, scan } from '../../wire/scan.ts'
import { Pending } from './pending.ts'

/**
 * Sockets open at once per address family. All questions of one turn go from
 * the same: their replies then come by one call, and whoever forges one still
 * has to guess the port and the ID of one question (a twentieth less
 * processor time for a miss).
 */
const POOL = 64
/** Questions a socket sends before a new one, on another port, takes its place. */
const USES = 64
/** How long a retired socket is kept for replies under way; past the longest wait for a loser (two deadlines). */
const RETIRE_MS = 4_000

/** One question under way to one or several upstreams. */
export interface Exchange {
  readonly peers: readonly Peer[]
  /** A checked reply from peers[lane], b[0, r.end); `b` and `r` are valid during the call only. */
  onReply(lane: number, b: Buffer, r: Records, now: number, ticket: Ticket): void
  /** A reply from peers[lane] to this question that is not whole: cut by its sender, on its way, or by our buffer. */
  onCut(lane: number, now: number): void
  /** The network refused peers[lane] (an errno name). */
  onRefused(lane: number, code: string, now: number): void
}

/**
 * One sending of a question: its own socket and ID, so that a reply tells
 * which sending it answers. Replies come in until it is ended.
 */
export type Ticket = {
  /** Undefined while a socket is being opened. */
  socket: PoolSocket | undefined
  id: number
  readonly exchange: Exchange
  readonly question: Buffer
  readonly family: 4 | 6
  readonly sentAt: number
  /** The lanes it was sent to, a bit each: nobody else may answer it. */
  lanes: number
  /** What is sent when there is a socket. */
  queued: { readonly lane: number; readonly question: Buffer }[] | undefined
  /** The next ticket of the same exchange; the exchange's own. */
  sibling: Ticket | undefined
  /** Pending's own. */
  next: Ticket | undefined
}

/** Random 16-bit numbers, drawn in bulk. */
export type Random16 = () => number

type PoolSocket = {
  udp: UdpSocket
  uses: number
  readonly pending: Pending<Ticket>
  retireAt: number
}

const records = new Records()
/** A reply while it is looked at: a view of the batch for each would be a third of a miss's garbage. */
const reply = Buffer.allocUnsafeSlow(RX_SLOT)

export class Exchanges {
  readonly #io: PacketIO
  readonly #random: Random16
  readonly #counters: Float64Array
  readonly #pools: Record<4 | 6, PoolSocket[]> = { 4: [], 6: [] }
  readonly #retired: PoolSocket[] = []
  readonly #opening: Record<4 | 6, number> = { 4: 0, 6: 0 }
  /** Tickets that wait for a socket, the oldest first. */
  readonly #waiting: Record<4 | 6, Ticket[]> = { 4: [], 6: [] }
  readonly #ports = new Set<number>()
  readonly #drawnAt: Record<4 | 6, number> = { 4: -1, 6: -1 }
  readonly #drawnIndex: Record<4 | 6, number> = { 4: 0, 6: 0 }
  #closed = false

  constructor(io: PacketIO, random: Random16, counters: Float64Array) {
    this.#io = io
    this.#random = random
    this.#counters = counters
  }

  /** Opens the first sockets, so that the first questions need not wait for them. */
  async open(family: 4 | 6): Promise<void> {
    await Promise.all(Array.from({ length: 8 }, () => this.#grow(family)))
  }

  /** Makes ready to ask peers of `exchange` that are of one family. Nothing is sent yet. */
  ask(question: Buffer, exchange: Exchange, family: 4 | 6, now: number): Ticket {
    const ticket: Ticket = {
      socket: undefined,
      id: 0,
      exchange,
      question,
      family,
      sentAt: now,
      lanes: 0,
      queued: undefined,
      sibling: undefined,
      next: undefined,
    }
    if (!this.#seat(ticket, now)) {
      ticket.queued = []
      this.#waiting[family].push(ticket)
      if (this.#opening[family] === 0) void this.#grow(family)
    }
    return ticket
  }

  /** Sends to one peer, `question` being the ticket's or a variant without OPT; its ID is written here. */
  send(ticket: Ticket, lane: number, question: Buffer): void {
    ticket.lanes |= 1 << lane
    if (!ticket.socket) return void ticket.queued?.push({ lane, question })
    put16(question, 0, ticket.id)
    ticket.socket.udp.send(question, 0, question.length, ticket.exchange.peers[lane]!)
  }

  /** Replies to it are strangers from now on. */
  end(ticket: Ticket): void {
    ticket.socket?.pending.delete(ticket)
    ticket.queued = undefined
  }

  /** Gives a ticket a socket and an ID. False if there is no socket. */
  #seat(ticket: Ticket, now: number): boolean {
    const { family } = ticket
    const pool = this.#pools[family]
    if (pool.length + this.#opening[family] < POOL) void this.#grow(family)
    if (pool.length === 0) return false
    const index = this.#drawn(family, now)
    const socket = pool[index]!
    let id = this.#random()
    while (socket.pending.get(id)) id = (id + 1) & 0xffff
    ticket.socket = socket
    ticket.id = id
    socket.pending.add(ticket)
    if (++socket.uses >= USES) {
      pool[index] = pool[pool.length - 1]!
      pool.pop()
      this.#drawnAt[family] = -1
      socket.retireAt = now + RETIRE_MS
      this.#retired.push(socket)
      void this.#grow(family)
    }
    return true
  }

  /** The socket of this turn: drawn at random, and again when its time is over. */
  #drawn(family: 4 | 6, now: number): number {
    if (now !== this.#drawnAt[family]) {
      this.#drawnAt[family] = now
      this.#drawnIndex[family] = this.#random() % this.#pools[family].length
    }
    return this.#drawnIndex[family]
  }

  /** Sends what has waited for a socket. */
  #sendWaiting(family: 4 | 6): void {
    const waiting = this.#waiting[family]
    while (waiting.length > 0 && this.#pools[family].length > 0) {
      const ticket = waiting.shift()!
      const { queued } = ticket
      // Ended while it waited.
      if (!queued) continue
      this.#seat(ticket, this.#io.now())
      ticket.queued = undefined
      for (const { lane, question } of queued) this.send(ticket, lane, question)
    }
    if (waiting.length > 0 && this.#opening[family] === 0) void this.#grow(family)
  }

  /** No socket of this family can be had: its peers cannot be reached. */
  #refuseWaiting(family: 4 | 6, code: string): void {
    const now = this.#io.now()
    for (const { queued, exchange } of this.#waiting[family].splice(0))
      for (const { lane } of queued ?? []) exchange.onRefused(lane, code, now)
  }

  /** Whether a local port is one we ask from: a query from it is our own, come back. */
  isOwnPort(port: number): boolean {
    return this.#ports.has(port)
  }

  /** Closes sockets whose time is over. Call now and then. */
  sweep(now: number): void {
    while (this.#retired.length > 0 && this.#retired[0]!.retireAt <= now) {
      const { udp } = this.#retired.shift()!
      this.#ports.delete(udp.port)
      udp.close()
    }
  }

  close(): void {
    this.#closed = true
    for (const socket of [...this.#pools[4], ...this.#pools[6], ...this.#retired])
      socket.udp.close()
  }

  async #grow(family: 4 | 6): Promise<void> {
    if (this.#closed) return
    this.#opening[family]++
    const socket: PoolSocket = { udp: NONE, uses: 0, pending: new Pending(), retireAt: 0 }
    let failure = ''
    try {
      socket.udp = await this.#io.open({
        address: family === 4 ? '0.0.0.0' : '::',
        port: 0,
        receiveBuffer: 256 * 1024,
        join: true,
        onBatch: batch => this.#receive(socket, batch),
        onError: (code, peer) => this.#refused(socket, code, peer),
      })
    } catch (er) {
      // Out of descriptors, or no such family here: the sockets that are open keep serving.
      failure = codeOf(er) || 'ENETUNREACH'
    }
    this.#opening[family]--
    if (this.#closed) return socket.udp.close()
    if (failure === '') {
      this.#pools[family].push(socket)
      this.#ports.add(socket.udp.port)
      this.#sendWaiting(family)
    } else if (this.#pools[family].length === 0 && this.#opening[family] === 0)
      this.#refuseWaiting(family, failure)
  }

  /** Replies of a batch from the i-th on; one that makes its receiver throw does not cost the others. */
  #receive(socket: PoolSocket, batch: Batch, i = 0): void {
    try {
      for (; i < batch.count; i++) this.#receiveOne(socket, batch, i)
    } finally {
      if (i < batch.count) this.#receive(socket, batch, i + 1)
    }
  }

  #receiveOne(socket: PoolSocket, batch: Batch, i: number): void {
    const c = this.#counters
    const now = this.#io.now()
    const at = batch.rxAt[i]!
    const length = Math.min(batch.rxLen[i]!, RX_SLOT)
    const ticket = length < HEADER ? undefined : socket.pending.get(u16(batch.rx, at))
    if (ticket === undefined) {
      c[length < HEADER ? SLOT.repliesMalformed : SLOT.repliesWrongId]! += 1
      return
    }
    const { peers } = ticket.exchange
    let lane = 0
    while (lane < peers.length && !(ticket.lanes & (1 << lane) && batch.isFrom(i, peers[lane]!)))
      lane++
    if (lane === peers.length) {
      c[SLOT.repliesWrongSource]! += 1
      return
    }
    const b = reply
    copy(batch.rx, at, at + length, b, 0)
    const whole = batch.rxCut[i] === 0 && scan(b, length, records)
    if (!isResponse(b)) c[SLOT.repliesMalformed]! += 1
    else if (whole && answers(ticket.question, b, records))
      ticket.exchange.onReply(lane, b, records, now, ticket)
    else if (whole) c[SLOT.repliesWrongQuestion]! += 1
    else {
      c[SLOT.repliesMalformed]! += 1
      if (asksTheSame(ticket.question, b, length)) ticket.exchange.onCut(lane, now)
    }
  }

  #refused(socket: PoolSocket, code: string, peer: Peer | undefined): void {
    if (!peer) return
    const now = this.#io.now()
    for (const ticket of socket.pending.all()) {
      const lane = ticket.exchange.peers.findIndex(
        p => p.port === peer.port && p.address === peer.address,
      )
      if (lane >= 0 && ticket.lanes & (1 << lane)) ticket.exchange.onRefused(lane, code, now)
    }
  }
}

/**
 * Whether a message is a response to this question, over whatever it came. A
 * server that could not read our OPT may answer with a header alone; that
 * counts, as what it says.
 */
export const answers = (question: Buffer, b: Uint8Array, r: Records): boolean => {
  if (!isResponse(b) || opcode(b) !== OPCODE.QUERY) return false
  if (qdcount(b) === 0) {
    const code = rcode(b)
    return (
      (code === RCODE.FORMERR ||
        code === RCODE.NOTIMP ||
        code === RCODE.SERVFAIL ||
        code === RCODE.REFUSED) &&
      r.count === (r.opt >= 0 ? 1 : 0)
    )
  }
  const nameEnd = r.qnameEnd
  return (
    sameName(question, HEADER, b, HEADER) &&
    u16(question, nameEnd) === r.qtype &&
    u16(question, nameEnd + 2) === r.qclass
  )
}

/** Whether a message whose records may be cut off still carries our question whole. */
const asksTheSame = (question: Buffer, b: Buffer, length: number): boolean => {
  if (length < HEADER || qdcount(b) !== 1) return false
  const nameEnd = skipPlainName(b, HEADER, length)
  return (
    nameEnd > 0 &&
    nameEnd + 4 <= length &&
    sameName(question, HEADER, b, HEADER) &&
    u16(question, nameEnd) === u16(b, nameEnd) &&
    u16(question, nameEnd + 2) === u16(b, nameEnd + 2)
  )
}

const NONE: UdpSocket = { address: '', port: 0, send: () => false, close: () => {} }
