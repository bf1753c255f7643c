/**
 * Load over UDP with our own batched I/O: a closed loop with a window, or an open loop with a fixed rate. Every
 * answer is checked: ID, source, question, RCODE and number of answer records.
 */
import type { Batch, PacketIO, Peer, UdpSocket } from '../../src/data/io/packet-io.ts'
import { fault, noCounts } from './counts.ts'
import type { Counts, Load } from './counts.ts'
import { Histogram } from './histogram.ts'
import type { Questions } from './questions.ts'

/** Slots per socket, which limit the queries under way; the low bits of an ID are the slot. */
const SLOT_BITS = 12
const SLOTS = 1 << SLOT_BITS
const SLOT_BYTES = 64
/** A query without an answer after this time counts as lost. */
const LOST_MS = 2_000
/** Interval of checks for lost queries. */
const SWEEP_MS = 100
/** Queries under way during the warm-up, few because C servers have small default buffers. */
const WARM_WINDOW = 128

/** A load over UDP. */
export type UdpPlan = {
  readonly address: string
  readonly port: number
  /** Answer records of a right answer; 0 for the floor. */
  readonly answers: number
  /** Client addresses, one socket each. */
  readonly from: readonly string[]
  readonly questions: Questions
  /** Queries under way over all sockets; 0 for an open loop. */
  readonly window: number
  /** Queries per second of an open loop; 0 for a closed one. */
  readonly rate: number
  /** Whether an open loop spaces its queries evenly, for which it never sleeps. Default: those of a millisecond together. */
  readonly even?: boolean
}

/** One socket and its queries under way. */
class Client {
  socket!: UdpSocket
  /** The ID under way in each slot, -1 if it is free. */
  readonly ids = new Int32Array(SLOTS).fill(-1)
  readonly sentAt = new Float64Array(SLOTS)
  readonly lengths = new Int32Array(SLOTS)
  readonly queries = Buffer.alloc(SLOTS * SLOT_BYTES)
  /** A stack of free slots. */
  readonly free: Int32Array
  freeCount: number
  turn = 0

  constructor(slots: number) {
    this.free = Int32Array.from({ length: slots }, (_, i) => slots - 1 - i)
    this.freeCount = slots
  }

  get open(): number {
    return this.free.length - this.freeCount
  }

  release(slot: number): void {
    this.ids[slot] = -1
    this.free[this.freeCount++] = slot
  }
}

export class UdpLoad implements Load {
  readonly latency = new Histogram()
  counts: Counts = noCounts()
  readonly #io: PacketIO
  readonly #plan: UdpPlan
  readonly #to: Peer
  readonly #clients: Client[]
  /** The next name of the warm-up; Infinity when the mix runs. */
  #warm = Infinity
  #stopped = false
  #startedAt = 0
  #due = 0
  #nextSweep = 0

  private constructor(io: PacketIO, plan: UdpPlan) {
    this.#io = io
    this.#plan = plan
    this.#to = io.peer(plan.address, plan.port)
    const slots = plan.rate > 0 ? SLOTS : Math.min(SLOTS, Math.ceil(plan.window / plan.from.length))
    this.#clients = plan.from.map(() => new Client(slots))
  }

  /** Opens the sockets; `turn` sends the first query. */
  static async open(io: PacketIO, plan: UdpPlan): Promise<UdpLoad> {
    const load = new UdpLoad(io, plan)
    for (const [i, address] of plan.from.entries()) {
      const client = load.#clients[i]!
      client.socket = await io.open({
        address,
        port: 0,
        receiveBuffer: 4 << 20,
        // Otherwise the load, which takes as long per query as a server, would limit the result.
        join: true,
        onBatch: batch => load.#receive(client, batch),
      })
    }
    return load
  }

  readonly note = ''

  get open(): number {
    return this.#clients.reduce((n, client) => n + client.open, 0)
  }

  warm(): void {
    this.#warm = 0
  }

  get warmed(): boolean {
    return this.#warm >= this.#plan.questions.names && this.open === 0
  }

  clear(): void {
    this.#warm = Infinity
    this.counts = noCounts()
    this.latency.clear()
    this.#startedAt = performance.now()
    this.#due = 0
  }

  stop(): void {
    this.#stopped = true
  }

  close(): void {
    for (const { socket } of this.#clients) socket.close()
  }

  turn(now: number): number {
    if (now >= this.#nextSweep) {
      this.#nextSweep = now + SWEEP_MS
      for (const client of this.#clients) this.#sweep(client, now)
    }
    if (this.#stopped) return SWEEP_MS
    if (this.#warm === Infinity && this.#plan.rate > 0) return this.#openLoop(now)
    for (const client of this.#clients) while (this.#mayAsk(client) && this.#send(client, now));
    return SWEEP_MS
  }

  /** Sends without waiting for answers; once per millisecond, the finest wait of epoll_wait, unless evenly. */
  #openLoop(now: number): number {
    const due = Math.floor(((now - this.#startedAt) * this.#plan.rate) / 1000)
    for (; this.#due < due; this.#due++) {
      const client = this.#clients[this.#due % this.#clients.length]!
      if (client.freeCount === 0) this.counts.unsent++
      else this.#send(client, now)
    }
    return this.#plan.even ? 0 : 1
  }

  #mayAsk(client: Client): boolean {
    if (this.#stopped || client.freeCount === 0) return false
    if (this.#warm === Infinity) return this.#plan.window > 0
    if (this.#warm >= this.#plan.questions.names) return false
    return client.open < WARM_WINDOW / this.#clients.length
  }

  #send(client: Client, now: number): boolean {
    const slot = this.#take(client, now)
    const at = slot * SLOT_BYTES
    if (client.socket.send(client.queries, at, client.lengths[slot]!, this.#to)) return true
    client.release(slot)
    this.counts.sent--
    return false
  }

  /** Writes the next query into a free slot. */
  #take(client: Client, now: number): number {
    const slot = client.free[--client.freeCount]!
    const at = slot * SLOT_BYTES
    const { questions } = this.#plan
    client.lengths[slot] =
      this.#warm === Infinity
        ? questions.write(client.queries, at)
        : questions.writeName(this.#warm++, client.queries, at)
    client.turn = (client.turn + 1) & (0xffff >> SLOT_BITS)
    const id = (client.turn << SLOT_BITS) | slot
    client.queries[at] = id >> 8
    client.queries[at + 1] = id & 255
    client.ids[slot] = id
    client.sentAt[slot] = now
    this.counts.sent++
    return slot
  }

  #sweep(client: Client, now: number): void {
    for (let slot = 0; slot < client.free.length; slot++) {
      if (client.ids[slot]! < 0 || now - client.sentAt[slot]! < LOST_MS) continue
      this.counts.lost++
      client.release(slot)
    }
  }

  #receive(client: Client, batch: Batch): void {
    const now = this.#io.now()
    const { rx, rxAt, rxLen, tx, txAt, txLen, count } = batch
    const { queries, lengths } = client
    for (let i = 0; i < count; i++) {
      const at = rxAt[i]!
      const id = (rx[at]! << 8) | rx[at + 1]!
      const slot = id & (SLOTS - 1)
      if (client.ids[slot] !== id || !batch.isFrom(i, this.#to)) {
        this.#wrong('nothing like it is under way', rx, at, rxLen[i]!)
        continue
      }
      const length = lengths[slot]!
      const why = fault(rx, at, rxLen[i]!, queries, slot * SLOT_BYTES, length, this.#plan.answers)
      client.release(slot)
      if (why) {
        this.#wrong(why, rx, at, rxLen[i]!)
        continue
      }
      this.counts.answered++
      this.latency.add(now - client.sentAt[slot]!)
      if (!this.#mayAsk(client)) continue
      // The next query is sent as the reply to this answer, in one call with all others.
      const next = this.#take(client, now)
      const bytes = lengths[next]!
      for (let j = 0, q = next * SLOT_BYTES, t = txAt[i]!; j < bytes; j++)
        tx[t + j] = queries[q + j]!
      txLen[i] = bytes
    }
  }

  #wrong(why: string, rx: Buffer, at: number, length: number): void {
    this.counts.wrong++
    this.counts.example ||= `${why}: ${rx.toString('hex', at, at + Math.min(length, 80))}`
  }
}
