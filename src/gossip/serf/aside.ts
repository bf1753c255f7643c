/**
 * A node that has stepped aside, because the ring keeps another node with its name. It takes no part in the ring; it
 * only pings the other node, directly and through members, because the path between the two alone may be broken. It
 * may come back when nobody has reached the other node for a minute.
 */
import type { Endpoint } from '../wire/address.ts'
import { readAck, type Source, writeIndirectPing, writePing } from '../wire/messages.ts'
import { TYPE } from '../wire/types.ts'

/** Interval of the rounds of pings. */
const ROUND_MS = 5_000
/** Rounds in a row without an answer, after which the other node counts as gone. */
const SILENT_ROUNDS = 12
/** Members that are asked to ping it, too. */
const THROUGH = 3

export type AsideOptions = {
  readonly name: string
  /** The node that the ring keeps. */
  readonly other: Endpoint
  readonly source: Source
  readonly now: number
  readonly random: () => number
  /** Up to so many living members, chosen at random. */
  readonly members: (most: number) => readonly Endpoint[]
  readonly send: (to: Endpoint, message: Uint8Array) => void
}

export class Aside {
  readonly #options: AsideOptions
  readonly #firstSeq: number
  #seq: number
  #silent = 0
  /** When `tick` must be called. */
  nextMs: number

  constructor(options: AsideOptions) {
    this.#options = options
    this.#firstSeq = this.#seq = Math.floor(options.random() * 0x8000_0000)
    this.nextMs = options.now + ROUND_MS
  }

  /** Sends the pings that are due; true when the other node counts as gone. */
  tick(now: number): boolean {
    if (now < this.nextMs) return false
    if (this.#silent === SILENT_ROUNDS) return true
    this.#silent++
    this.nextMs = now + ROUND_MS
    const { name, other, source, members, send } = this.#options
    const seq = ++this.#seq
    send(other, writePing(seq, name, source))
    const ask = { seq, target: other.address, port: other.port, node: name, nack: false, source }
    for (const member of members(THROUGH)) send(member, writeIndirectPing(ask))
    return false
  }

  /** Messages arrived; only acks of our pings matter. */
  heard(messages: readonly Uint8Array[]): void {
    for (const message of messages) {
      const seq = message[0] === TYPE.ack ? readAck(message.subarray(1))?.seq : undefined
      if (seq !== undefined && seq > this.#firstSeq && seq <= this.#seq) this.#silent = 0
    }
  }
}
