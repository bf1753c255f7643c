/**
 * Questions to upstreams over UDP and the matching of replies (RFC 5452). Each question is sent from a random socket
 * of a pool whose ports keep changing, with a random ID. A reply is accepted only if address, port, ID and question
 * match; other messages are counted and ignored.
 *
 * This file is long, because sending and matching are the two sides of one table of questions.
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
 * Limit of open sockets per address family. All questions of one turn are sent from the same socket, so that their
 * replies arrive by one call; a forger must still guess the port and the ID of a question.
 */
const POOL = 64
/** Questions sent by a socket until it is replaced by one on another port. */
const USES = 64
/** How long a replaced socket is kept for late replies: longer than any race waits for a loser. */
const RETIRE_MS = 4_000

/** One question under way to one or more upstreams. */
export interface Exchange {
  readonly peers: readonly Peer[]
  /** An accepted reply from peers[lane], b[0, r.end); `b` and `r` are only valid during the call. */
  onReply(lane: number, b: Buffer, r: Records, now: number, ticket: Ticket): void
  /** A reply from peers[lane] that is incomplete: truncated by its sender, on its way, or by our buffer. */
  onCut(lane: number, now: number): void
  /** The network refused to deliver to peers[lane] (an errno name). */
  onRefused(lane: number, code: string, now: number): void
}

/**
 * One sending of a question, with its own socket and ID, so that a reply shows which sending it answers. Replies are
 * accepted until it is ended.
 */
export type Ticket = {
  /** Undefined while a socket is being opened. */
  socket: PoolSocket | undefined
  id: number
  readonly exchange: Exchange
  readonly question: Buffer
  readonly family: 4 | 6
  readonly sentAt: number
  /** The lanes it was sent to, one bit each; replies from others are refused. */
  lanes: number
  /** What to send when there is a socket. */
  queued: { readonly lane: number; readonly question: Buffer }[] | undefined
  /** The next ticket of the same exchange. */
  sibling: Ticket | undefined
  /** Used by Pending. */
  next: Ticket | undefined
}

/** Random 16-bit numbers, generated in bulk. */
export type Random16 = () => number

type PoolSocket = {
  udp: UdpSocket
  uses: number
  readonly pending: Pending<Ticket>
  retireAt: number
}

const records = new Records()
/** Memory for the current reply, because a view of the batch for each would be a third of a miss's garbage. */
const reply = Buffer.allocUnsafeSlow(RX_SLOT)

export class Exchanges {
  readonly #io: PacketIO
  readonly #random: Random16
  readonly #counters: Float64Array
  /** Peers of a drill: nothing is sent to them, and what they send is ignored. */
  lost: ReadonlySet<Peer> = new Set()
  readonly #pools: Record<4 | 6, PoolSocket[]> = { 4: [], 6: [] }
  readonly #retired: PoolSocket[] = []
  readonly #opening: Record<4 | 6, number> = { 4: 0, 6: 0 }
  /** Tickets that wait for a socket, oldest first. */
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

  /** Opens the first sockets in advance. */
  async open(family: 4 | 6): Promise<void> {
    await Promise.all(Array.from({ length: 8 }, () => this.#grow(family)))
  }

  /** Prepares a question to peers of `exchange` of one family. Nothing is sent yet. */
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

  /** Sends to one peer. `question` is the ticket's, or its variant without OPT; the ID is written here. */
  send(ticket: Ticket, lane: number, question: Buffer): void {
    ticket.lanes |= 1 << lane
    const peer = ticket.exchange.peers[lane]!
    if (this.lost.size > 0 && this.lost.has(peer)) return
    if (!ticket.socket) return void ticket.queued?.push({ lane, question })
    put16(question, 0, ticket.id)
    ticket.socket.udp.send(question, 0, question.length, peer)
  }

  /** From now on replies to it are refused. */
  end(ticket: Ticket): void {
    ticket.socket?.pending.delete(ticket)
    ticket.queued = undefined
  }

  /** Assigns a socket and an ID to a ticket. False if there is no socket. */
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

  /** The socket for this turn, chosen at random; replaced if it is used up. */
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
      // It was ended while it waited.
      if (!queued) continue
      this.#seat(ticket, this.#io.now())
      ticket.queued = undefined
      for (const { lane, question } of queued) this.send(ticket, lane, question)
    }
    if (waiting.length > 0 && this.#opening[family] === 0) void this.#grow(family)
  }

  /** No socket of this family can be opened: its peers are unreachable. */
  #refuseWaiting(family: 4 | 6, code: string): void {
    const now = this.#io.now()
    for (const { queued, exchange } of this.#waiting[family].splice(0))
      for (const { lane } of queued ?? []) exchange.onRefused(lane, code, now)
  }

  /** Whether a local port belongs to this pool: a query from it is our own query that came back. */
  isOwnPort(port: number): boolean {
    return this.#ports.has(port)
  }

  /** Whether sockets wait to be closed. */
  get retiring(): boolean {
    return this.#retired.length > 0
  }

  /** Closes sockets whose time is over. Call it periodically. */
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
      // No descriptors left, or no such family: open sockets are still used.
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
    if (this.lost.size > 0 && this.lost.has(peers[lane]!)) return
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

/** Whether a message with possibly truncated records contains our whole question. */
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

const NONE: UdpSocket = {
  address: '',
  port: 0,
  send: () => false,
  pause: () => {},
  close: () => {},
}
