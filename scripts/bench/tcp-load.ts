/**
 * Load over TCP: open connections with several queries under way on each. Answers may arrive in any order and are
 * checked as over UDP.
 */
import { once } from 'node:events'
import { Socket, connect } from 'node:net'
import { FrameReader } from '../../src/data/serve/tcp/framing.ts'
import { fault, noCounts } from './counts.ts'
import type { Counts, Load } from './counts.ts'
import { Histogram } from './histogram.ts'
import type { Questions } from './questions.ts'

/** Room for a framed query. */
const SLOT_BYTES = 64
const FRAME = 2
/** A query without an answer after this time counts as lost. */
const LOST_MS = 2_000
const SWEEP_MS = 100
/** Wait after a connection was refused. */
const RECONNECT_MS = 100

/** A load over TCP. */
export type TcpPlan = {
  readonly address: string
  readonly port: number
  readonly answers: number
  readonly questions: Questions
  readonly connections: number
  /** Queries under way per connection. */
  readonly pipeline: number
}

class Client {
  socket: Socket
  reader = new FrameReader()
  readonly queries: Buffer
  readonly lengths: Int32Array
  readonly sentAt: Float64Array
  /** Whether a slot's query is under way. The slot is the query's ID. */
  readonly busy: Uint8Array

  constructor(socket: Socket, slots: number) {
    this.socket = socket
    this.queries = Buffer.alloc(slots * SLOT_BYTES)
    this.lengths = new Int32Array(slots)
    this.sentAt = new Float64Array(slots)
    this.busy = new Uint8Array(slots)
  }

  get open(): number {
    return this.busy.reduce((sum, one) => sum + one, 0)
  }
}

export class TcpLoad implements Load {
  readonly note = ''
  readonly latency = new Histogram()
  counts: Counts = noCounts()
  readonly #plan: TcpPlan
  readonly #clients: Client[] = []
  #warm = Infinity
  #stopped = false
  #closed = false
  #nextSweep = 0

  private constructor(plan: TcpPlan) {
    this.#plan = plan
  }

  /** Opens the connections. Rejects if one is refused. */
  static async open(plan: TcpPlan): Promise<TcpLoad> {
    const load = new TcpLoad(plan)
    for (let i = 0; i < plan.connections; i++) {
      const client = new Client(new Socket(), plan.pipeline)
      load.#clients.push(client)
      await load.#connect(client)
    }
    return load
  }

  async #connect(client: Client): Promise<void> {
    const { address: host, port } = this.#plan
    const socket = connect({ host, port, noDelay: true })
    client.socket = socket
    client.reader = new FrameReader()
    socket.on('data', chunk => this.#receive(client, chunk))
    // A server may close a connection at any time (dnsmasq does after 100 queries); unanswered queries are sent
    // again.
    let connected = false
    socket.on('close', () => {
      if (this.#closed) return
      this.counts.sent -= client.open
      client.busy.fill(0)
      const again = (): void => void this.#connect(client).catch(() => {})
      if (connected) again()
      else setTimeout(again, RECONNECT_MS)
    })
    await once(socket, 'connect')
    connected = true
    socket.on('error', () => {})
  }

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
  }

  stop(): void {
    this.#stopped = true
  }

  close(): void {
    this.#closed = true
    for (const { socket } of this.#clients) socket.destroy()
  }

  turn(now: number): number {
    if (now >= this.#nextSweep) {
      this.#nextSweep = now + SWEEP_MS
      for (const client of this.#clients) this.#sweep(client, now)
    }
    for (const client of this.#clients) {
      if (client.socket.connecting || !client.socket.writable) continue
      const out: Buffer[] = []
      for (let slot = 0; slot < client.busy.length; slot++) {
        if (!client.busy[slot] && this.#mayAsk()) out.push(this.#take(client, slot))
      }
      if (out.length > 0) client.socket.write(Buffer.concat(out))
    }
    return SWEEP_MS
  }

  #mayAsk(): boolean {
    return !this.#stopped && (this.#warm === Infinity || this.#warm < this.#plan.questions.names)
  }

  #take(client: Client, slot: number): Buffer {
    const { questions } = this.#plan
    const at = slot * SLOT_BYTES + FRAME
    const length =
      this.#warm === Infinity
        ? questions.write(client.queries, at)
        : questions.writeName(this.#warm++, client.queries, at)
    client.queries.writeUInt16BE(length, at - FRAME)
    client.queries.writeUInt16BE(slot, at)
    client.lengths[slot] = length
    client.busy[slot] = 1
    client.sentAt[slot] = performance.now()
    this.counts.sent++
    return client.queries.subarray(at - FRAME, at + length)
  }

  #receive(client: Client, chunk: Buffer): void {
    const now = performance.now()
    const out: Buffer[] = []
    client.reader.push(chunk)
    for (let wire = client.reader.next(); wire; wire = client.reader.next()) {
      const slot = wire.readUInt16BE()
      if (!client.busy[slot]) {
        this.#wrong('nothing like it is under way', wire)
        continue
      }
      client.busy[slot] = 0
      const at = slot * SLOT_BYTES + FRAME
      const asked = client.lengths[slot]!
      const why = fault(wire, 0, wire.length, client.queries, at, asked, this.#plan.answers)
      if (why) this.#wrong(why, wire)
      else {
        this.counts.answered++
        this.latency.add(now - client.sentAt[slot]!)
      }
      if (this.#mayAsk()) out.push(this.#take(client, slot))
    }
    if (out.length > 0 && client.socket.writable) client.socket.write(Buffer.concat(out))
  }

  #sweep(client: Client, now: number): void {
    for (let slot = 0; slot < client.busy.length; slot++) {
      if (!client.busy[slot] || now - client.sentAt[slot]! < LOST_MS) continue
      this.counts.lost++
      client.busy[slot] = 0
    }
  }

  #wrong(why: string, wire: Buffer): void {
    this.counts.wrong++
    this.counts.example ||= `${why}: ${wire.toString('hex', 0, Math.min(wire.length, 80))}`
  }
}
