/**
 * What goes on beside a load that is measured: a client that asks far too
 * much, or one that walks through names that were made to collide.
 */
import type { PacketIO, Peer, UdpSocket } from '../../src/data/io/packet-io.ts'
import type { Load } from './counts.ts'
import type { Questions } from './questions.ts'

export interface Beside {
  /** Sends what is due; returns milliseconds until more is. */
  turn(now: number): number
  readonly note: string
  close(): void
}

/** The load, beside which the other goes on while it is `disturbed`. */
export const withBeside = (load: Load, other: Beside): Load => {
  const both: Load = {
    disturbed: false,
    get counts() {
      return load.counts
    },
    latency: load.latency,
    warm: () => load.warm(),
    get warmed() {
      return load.warmed
    },
    clear: () => load.clear(),
    stop: () => load.stop(),
    get open() {
      return load.open
    },
    get note() {
      return other.note
    },
    turn: now => Math.min(load.turn(now), both.disturbed ? other.turn(now) : Infinity),
    close: () => {
      load.close()
      other.close()
    },
  }
  return both
}

export type FloodPlan = {
  readonly address: string
  readonly port: number
  /** The one address that it comes from. */
  readonly from: string
  readonly questions: Questions
  /** Queries a second, for one name after the other; undefined: three times what the server answers, for new names. */
  readonly rate?: number
}

/** Sockets of the flooder: their receive buffers hold what comes back while we send. */
const SOCKETS = 16
const FIRST_RATE = 20_000
const TIMES = 3
const LOOK_MS = 200
/** Longest stretch that is made up for after a turn that took long. */
const MOST_MS = 20
const SLOT = 512

/** NOERROR or NXDOMAIN. */
const isAnswer = (rcode: number): boolean => rcode === 0 || rcode === 3

/** Asks and does not wait for answers. */
export class Flood implements Beside {
  readonly #plan: FloodPlan
  readonly #to: Peer
  readonly #sockets: UdpSocket[] = []
  readonly #query = Buffer.alloc(SLOT)
  #rate: number
  #sent = 0
  #good = 0
  #bad = 0
  #lastTurn = NaN
  #owed = 0
  #lookedAt = 0
  #goodThen = 0
  #startedAt = NaN
  /** Answers a second, smoothed. */
  #capacity = 0

  private constructor(plan: FloodPlan, to: Peer) {
    this.#plan = plan
    this.#to = to
    this.#rate = plan.rate ?? FIRST_RATE
  }

  static async open(io: PacketIO, plan: FloodPlan): Promise<Flood> {
    const flood = new Flood(plan, io.peer(plan.address, plan.port))
    for (let i = 0; i < SOCKETS; i++)
      flood.#sockets.push(
        await io.open({
          address: plan.from,
          port: 0,
          receiveBuffer: 4 << 20,
          onBatch: ({ rx, rxAt, count }) => {
            for (let n = 0; n < count; n++)
              if (isAnswer(rx[rxAt[n]! + 3]! & 15)) flood.#good++
              else flood.#bad++
          },
        }),
      )
    return flood
  }

  turn(now: number): number {
    if (Number.isNaN(this.#lastTurn)) this.#startedAt = this.#lastTurn = this.#lookedAt = now
    this.#owed += (Math.min(now - this.#lastTurn, MOST_MS) * this.#rate) / 1000
    this.#lastTurn = now
    for (; this.#owed >= 1; this.#owed--) {
      const { questions, rate } = this.#plan
      const length = rate
        ? questions.writeName(this.#sent % questions.names, this.#query, 0)
        : questions.write(this.#query, 0)
      this.#query.writeUInt16BE(this.#sent & 0xffff)
      this.#sockets[this.#sent++ % SOCKETS]!.send(this.#query, 0, length, this.#to)
    }
    if (now - this.#lookedAt >= LOOK_MS) this.#look(now)
    return 1
  }

  get note(): string {
    const seconds = (this.#lastTurn - this.#startedAt) / 1000
    const each = (n: number): string => Math.round(n / seconds).toLocaleString('en')
    return `beside it one client sent ${each(this.#sent)} queries a second: ${each(this.#good)} got an answer, ${each(this.#bad)} an error`
  }

  close(): void {
    for (const socket of this.#sockets) socket.close()
  }

  #look(now: number): void {
    const answered = ((this.#good - this.#goodThen) * 1000) / (now - this.#lookedAt)
    this.#goodThen = this.#good
    this.#lookedAt = now
    this.#capacity = this.#capacity * 0.8 + answered * 0.2
    this.#rate = this.#plan.rate ?? Math.max(FIRST_RATE, TIMES * this.#capacity)
  }
}
