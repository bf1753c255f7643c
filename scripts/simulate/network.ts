/**
 * A network in memory: datagrams that are lost, delayed and cut off, streams
 * that survive loss by taking longer, nodes that are down or stand still.
 * Counts what each node sends, with what IP, UDP and TCP add to it.
 */
import type { Clock } from './clock.ts'

export type Conditions = {
  /** Share of datagrams lost, 0 to 1. */
  loss: number
  /** One-way delay, ms, least and most; each datagram draws its own, so they overtake each other. */
  delay: readonly [number, number]
}

/** IPv4 and UDP headers; the segments that begin, acknowledge and end a TCP connection, about. */
const UDP_BYTES = 28
const TCP_BYTES = 400
/** Octets a stream moves in a millisecond: a tenth of a gigabit a second. */
const STREAM_RATE = 12_500
/** What a lost SYN costs at first, and a lost segment, in ms (Linux defaults). */
const SYN_MS = 1_000
const SEGMENT_MS = 200

/** What one node sent. */
export type Traffic = { packets: number; bytes: number; streams: number; streamBytes: number }

export class Network {
  readonly #clock: Clock
  readonly #random: () => number
  readonly conditions: Conditions
  /** Nodes of different groups do not hear each other. */
  readonly group: number[] = []
  readonly down: boolean[] = []
  /** Until when a node stands still: what comes for it waits, its timers too. */
  readonly stalledUntil: number[] = []
  readonly sent: Traffic[] = []

  constructor(clock: Clock, random: () => number, conditions: Conditions) {
    this.#clock = clock
    this.#random = random
    this.conditions = conditions
  }

  /** Room for one more node; its number. */
  add(): number {
    this.group.push(0)
    this.down.push(false)
    this.stalledUntil.push(0)
    return this.sent.push({ packets: 0, bytes: 0, streams: 0, streamBytes: 0 }) - 1
  }

  /** Whether nothing gets from one node to another. */
  cut(from: number, to: number): boolean {
    return this.group[from] !== this.group[to] || this.down[from] === true || this.down[to] === true
  }

  #delay(): number {
    const [least, most] = this.conditions.delay
    return least + this.#random() * (most - least)
  }

  /** Run `what` at a node after `ms`, or when it moves again; not if it is down then. */
  at(node: number, ms: number, what: () => void): void {
    this.#clock.after(ms, () => {
      const wait = (this.stalledUntil[node] as number) - this.#clock.now
      if (wait > 0) this.at(node, wait, what)
      else if (!this.down[node]) what()
    })
  }

  /** A datagram of `octets` from one node to another. */
  packet(from: number, to: number, octets: number, arrive: () => void): void {
    const traffic = this.sent[from] as Traffic
    traffic.packets++
    traffic.bytes += octets + UDP_BYTES
    const lost = this.#random() < this.conditions.loss
    const delay = this.#delay()
    if (!lost && !this.cut(from, to)) this.at(to, delay, () => this.cut(from, to) || arrive())
  }

  /** A connection is made, `octets` with it; `refused` if nobody is there. Into a partition it is never heard of again. */
  connect(from: number, to: number, octets: number, arrive: () => void, refused: () => void): void {
    const traffic = this.sent[from] as Traffic
    traffic.streams++
    traffic.streamBytes += octets + TCP_BYTES
    if (this.down[to] && this.group[from] === this.group[to])
      this.at(from, 2 * this.#delay(), refused)
    if (this.cut(from, to)) return
    const late = this.#retries(SYN_MS, 2) + this.#retries(SEGMENT_MS, 1)
    this.at(
      to,
      3 * this.#delay() + octets / STREAM_RATE + late,
      () => this.cut(from, to) || arrive(),
    )
  }

  /** Octets on a connection that stands. */
  segment(from: number, to: number, octets: number, arrive: () => void): void {
    ;(this.sent[from] as Traffic).streamBytes += octets
    if (this.cut(from, to)) return
    this.at(
      to,
      this.#delay() + octets / STREAM_RATE + this.#retries(SEGMENT_MS, 1),
      () => this.cut(from, to) || arrive(),
    )
  }

  /** What losing some of `count` segments in a row costs, each retry waiting twice as long. */
  #retries(ms: number, count: number): number {
    let wait = 0
    let pause = ms
    for (let i = 0; i < count; i++)
      while (this.#random() < this.conditions.loss && pause < 60_000) {
        wait += pause
        pause *= 2
      }
    return wait
  }
}
