/**
 * A network in memory: datagrams are lost, delayed and cut off; streams survive loss but take longer; nodes can be
 * down or suspended. Counts what each node sends, including headers of IP, UDP and TCP.
 */
import type { Clock } from './clock.ts'

export type Conditions = {
  /** Share of datagrams lost, 0 to 1. */
  loss: number
  /** One-way delay in ms, minimum and maximum. Each datagram gets its own, so they overtake each other. */
  delay: readonly [number, number]
}

/** Octets of IPv4 and UDP headers; and roughly of the segments that open, acknowledge and close a TCP connection. */
const UDP_BYTES = 28
const TCP_BYTES = 400
/** Octets per millisecond of a stream: a tenth of a gigabit per second. */
const STREAM_RATE = 12_500
/** Delay by a lost SYN, and by a lost segment, in ms (Linux defaults). */
const SYN_MS = 1_000
const SEGMENT_MS = 200

/** Traffic sent by one node. */
export type Traffic = { packets: number; bytes: number; streams: number; streamBytes: number }

export class Network {
  readonly #clock: Clock
  readonly #random: () => number
  readonly conditions: Conditions
  /** Nodes of different groups cannot reach each other. */
  readonly group: number[] = []
  readonly down: boolean[] = []
  /** Until when a node is suspended; its packets and timers wait. */
  readonly stalledUntil: number[] = []
  readonly sent: Traffic[] = []

  constructor(clock: Clock, random: () => number, conditions: Conditions) {
    this.#clock = clock
    this.#random = random
    this.conditions = conditions
  }

  /** Adds a node; returns its number. */
  add(): number {
    this.group.push(0)
    this.down.push(false)
    this.stalledUntil.push(0)
    return this.sent.push({ packets: 0, bytes: 0, streams: 0, streamBytes: 0 }) - 1
  }

  /** Whether one node cannot reach another. */
  cut(from: number, to: number): boolean {
    return this.group[from] !== this.group[to] || this.down[from] === true || this.down[to] === true
  }

  #delay(): number {
    const [least, most] = this.conditions.delay
    return least + this.#random() * (most - least)
  }

  /** Runs `what` on a node after `ms`, or when it resumes; not if it is down then. */
  at(node: number, ms: number, what: () => void): void {
    this.#clock.after(ms, () => {
      const wait = (this.stalledUntil[node] as number) - this.#clock.now
      if (wait > 0) this.at(node, wait, what)
      else if (!this.down[node]) what()
    })
  }

  /** Sends a datagram of `octets`. */
  packet(from: number, to: number, octets: number, arrive: () => void): void {
    const traffic = this.sent[from] as Traffic
    traffic.packets++
    traffic.bytes += octets + UDP_BYTES
    const lost = this.#random() < this.conditions.loss
    const delay = this.#delay()
    if (!lost && !this.cut(from, to)) this.at(to, delay, () => this.cut(from, to) || arrive())
  }

  /**
   * Opens a connection and sends `octets`; calls `refused` if the other node is down. Across a partition neither
   * callback is called.
   */
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

  /** Sends octets on an open connection. */
  segment(from: number, to: number, octets: number, arrive: () => void): void {
    ;(this.sent[from] as Traffic).streamBytes += octets
    if (this.cut(from, to)) return
    this.at(
      to,
      this.#delay() + octets / STREAM_RATE + this.#retries(SEGMENT_MS, 1),
      () => this.cut(from, to) || arrive(),
    )
  }

  /** The delay by losses among `count` successive segments; each retry waits twice as long. */
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
