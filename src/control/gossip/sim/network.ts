/**
 * A network in memory: datagrams that are lost, delayed and cut off, streams
 * that survive loss by taking longer, nodes that are down or stall. Counts
 * what each node sends, with what IP and UDP or TCP add to it.
 */
import type { Clock } from './clock.ts'

export type Conditions = {
  /** Share of datagrams lost. */
  loss: number
  /** One-way delay, ms: least and most; each datagram draws its own, so they overtake each other. */
  delay: readonly [number, number]
}

/** IPv4 and UDP headers; a TCP connection's handshake and end, about. */
const UDP_BYTES = 28
const TCP_BYTES = 400
/** Octets a stream moves in a millisecond: a tenth of a gigabit. */
const STREAM_RATE = 12_500
/** What a lost SYN costs, and a lost segment, in ms. */
const SYN_MS = 1_000
const SEGMENT_MS = 200

export type Traffic = { packets: number; bytes: number; streams: number; streamBytes: number }

export class Network {
  readonly #clock: Clock
  readonly #random: () => number
  conditions: Conditions
  /** Nodes of different groups do not hear each other. */
  readonly group: number[] = []
  readonly down: boolean[] = []
  /** Until when a node stands still: what comes for it waits. */
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

  #cut(from: number, to: number): boolean {
    return this.group[from] !== this.group[to] || this.down[from] === true || this.down[to] === true
  }

  #delay(): number {
    const [least, most] = this.conditions.delay
    return least + this.#random() * (most - least)
  }

  /** Run `what` at a node, after a time, when it does not stand still. */
  at(node: number, ms: number, what: () => void): void {
    this.#clock.after(ms, () => {
      const wait = (this.stalledUntil[node] as number) - this.#clock.now
      if (wait > 0) this.at(node, wait, what)
      else if (!this.down[node]) what()
    })
  }

  /** A datagram of `bytes` octets from one node to another. */
  packet(from: number, to: number, bytes: number, arrive: () => void): void {
    const traffic = this.sent[from] as Traffic
    traffic.packets++
    traffic.bytes += bytes + UDP_BYTES
    const lost = this.#random() < this.conditions.loss
    const delay = this.#delay()
    if (!lost && !this.#cut(from, to)) this.at(to, delay, () => this.#cut(from, to) || arrive())
  }

  /** A request on a stream of its own; `answer` gets the response, or undefined. */
  stream(from: number, to: number, bytes: number, serve: () => Uint8Array | undefined, answer: (response: Uint8Array | undefined) => void): void {
    const traffic = this.sent[from] as Traffic
    traffic.streams++
    traffic.streamBytes += bytes + TCP_BYTES
    if (this.#cut(from, to)) {
      this.at(from, this.down[to] && this.group[from] === this.group[to] ? 2 * this.#delay() : 5_000, () => answer(undefined))
      return
    }
    const late = this.#retries(SYN_MS, 2) + this.#retries(SEGMENT_MS, 2)
    this.at(to, 3 * this.#delay() + bytes / STREAM_RATE + late, () => {
      const response = this.#cut(from, to) ? undefined : serve()
      const back = this.sent[to] as Traffic
      back.streamBytes += response?.length ?? 0
      const wait = this.#cut(from, to) ? 5_000 : this.#delay() + (response?.length ?? 0) / STREAM_RATE + this.#retries(SEGMENT_MS, 1)
      this.at(from, wait, () => answer(this.#cut(from, to) ? undefined : response))
    })
  }

  /** What losing some of `count` datagrams in a row costs, each retry waiting longer. */
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
