/**
 * How messages leave: packed into one packet with as much queued news as
 * fits, the records' digest beside a ping or an ack, all sealed. Also the
 * frames of streams.
 */
import type { Keyring } from '../keyring.ts'
import type { Serf } from '../serf/serf.ts'
import type { Endpoint } from '../wire/address.ts'
import { COMPOUND_EACH, COMPOUND_HEAD } from '../wire/compound.ts'
import { ENVELOPE } from '../wire/envelope.ts'
import type { Source } from '../wire/messages.ts'
import { Packets } from '../wire/packet.ts'
import { framed, StreamReader } from '../wire/stream.ts'
import { PACKET_MOST, TYPE } from '../wire/types.ts'
import type { Env } from './env.ts'
import type { Node } from './members.ts'
import type { Queue } from './queue.ts'
import type { Swim } from './swim.ts'

/** Of a packet's room the membership takes at most this share while Serf's messages wait too (memberlist #299: they starve). */
const NEWS_SHARE = 0.75

export type PostOptions = {
  readonly label: string
  readonly keyring: Keyring | undefined
  readonly send: (to: Endpoint, bytes: Uint8Array) => void
  /** The digest for a capable member, as a message; undefined for none. */
  readonly digest: () => Uint8Array | undefined
}

export class Post {
  readonly #env: Env
  readonly #swim: Swim
  readonly #serf: Serf
  readonly #news: Queue
  readonly #options: PostOptions
  readonly #packets: Packets
  /** Octets of messages that fit one packet, before the compound's own. */
  readonly #room: number

  constructor(env: Env, swim: Swim, serf: Serf, news: Queue, options: PostOptions) {
    this.#env = env
    this.#swim = swim
    this.#serf = serf
    this.#news = news
    this.#options = options
    this.#packets = new Packets(options.label, options.keyring)
    const label = options.label === '' ? 0 : 2 + Buffer.byteLength(options.label)
    this.#room = PACKET_MOST - label - (options.keyring ? ENVELOPE : 0)
  }

  /** Octets that label and envelope add to a packet. */
  get overhead(): number {
    return PACKET_MOST - this.#room
  }

  /** Messages that wait to be told to everybody. */
  get queued(): number {
    return this.#news.length + this.#serf.queued
  }

  /** Where a direct answer to us should go. */
  source(): Source {
    const { node } = this.#swim.self
    return { address: node.address, port: node.port, name: node.name }
  }

  /** The messages in a datagram, or why there are none. */
  unpack(datagram: Uint8Array): Uint8Array[] | 'refused' | 'malformed' {
    return this.#packets.unpack(datagram)
  }

  /**
   * Sends messages in one packet. A member we know gets queued news in the
   * room that is left, and a capable one our digest with a ping or an ack.
   */
  send(to: Endpoint, node: Node | undefined, messages: readonly Uint8Array[]): void {
    const out = [...messages]
    const type = out[0]?.[0]
    if (node?.capable && (type === TYPE.ping || type === TYPE.ack)) {
      const digest = this.#options.digest()
      if (digest) out.push(digest)
    }
    if (node && this.queued > 0) {
      let room = this.#room - COMPOUND_HEAD
      for (const message of out) room -= message.length + COMPOUND_EACH
      out.push(...this.news(room))
    }
    this.#packet(to, out)
  }

  /** Queued news that fits the room: the membership's first, then intents, queries, events. */
  news(room: number): Uint8Array[] {
    const n = this.#swim.table.living
    const others = this.#serf.queued > 0
    const out = this.#news.take(others ? Math.floor(room * NEWS_SHARE) : room, COMPOUND_EACH, n)
    if (!others) return out
    let left = room
    for (const message of out) left -= message.length + COMPOUND_EACH
    const { intents, queries, events } = this.#serf.queues
    for (const queue of [intents, queries, events]) {
      for (const message of queue.take(left, COMPOUND_EACH, n)) {
        out.push(message)
        left -= message.length + COMPOUND_EACH
      }
    }
    return out
  }

  /** Sends a packet full of news; false if there is none. */
  gossip(to: Endpoint): boolean {
    const messages = this.news(this.#room - COMPOUND_HEAD)
    if (messages.length > 0) this.#packet(to, messages)
    return messages.length > 0
  }

  /** Sends one message of the user family, as it is. */
  user(to: Endpoint, body: Uint8Array): void {
    this.#packet(to, [Buffer.concat([Buffer.of(TYPE.user), body])])
  }

  #packet(to: Endpoint, messages: readonly Uint8Array[]): void {
    const bytes = this.#packets.pack(messages)
    this.#env.stats.packetsOut++
    this.#env.stats.bytesOut += bytes.length
    this.#options.send(to, bytes)
  }

  /** A message as it is written to a stream. */
  frame(parts: readonly Uint8Array[]): Uint8Array {
    const { label, keyring } = this.#options
    const bytes = framed(
      parts,
      label,
      keyring?.primary,
      () => keyring?.nonce() ?? new Uint8Array(12),
    )
    this.#env.stats.streamBytesOut += bytes.length
    return bytes
  }

  /** Takes apart what comes on a stream. */
  streamReader(): StreamReader {
    return new StreamReader({ label: this.#options.label, keys: this.#options.keyring?.keys })
  }
}
