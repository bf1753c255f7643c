/**
 * Sends messages: packs them into one packet with as much queued news as fits, adds the records' digest to pings and
 * acks, and encrypts. Also frames messages for streams.
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

/**
 * The largest share of a packet for membership news while Serf messages wait, so that those are not starved
 * (memberlist #299).
 */
const NEWS_SHARE = 0.75

export type PostOptions = {
  readonly label: string
  readonly keyring: Keyring | undefined
  readonly send: (to: Endpoint, bytes: Uint8Array) => void
  /** The digest message for a capable member; undefined for none. */
  readonly digest: () => Uint8Array | undefined
}

export class Post {
  readonly #env: Env
  readonly #swim: Swim
  readonly #serf: Serf
  readonly #news: Queue
  readonly #options: PostOptions
  readonly #packets: Packets
  /** Octets of messages that fit into one packet, without the compound header. */
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

  /** Octets that label and encryption add to a packet. */
  get overhead(): number {
    return PACKET_MOST - this.#room
  }

  /** Messages queued for gossip. */
  get queued(): number {
    return this.#news.length + this.#serf.queued
  }

  /** The address to which peers should send direct answers. */
  source(): Source {
    const { node } = this.#swim.self
    return { address: node.address, port: node.port, name: node.name }
  }

  /** The messages in a datagram, or why there are none. */
  unpack(datagram: Uint8Array): Uint8Array[] | 'refused' | 'malformed' {
    return this.#packets.unpack(datagram)
  }

  /**
   * Sends messages in one packet. For a known member the rest of the packet is filled with queued news, and a
   * capable one gets our digest with a ping or an ack.
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

  /** Queued news that fits the room: first membership, then intents, queries, events. */
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

  /** Sends a packet full of news; false if there is no news. */
  gossip(to: Endpoint): boolean {
    const messages = this.news(this.#room - COMPOUND_HEAD)
    if (messages.length > 0) this.#packet(to, messages)
    return messages.length > 0
  }

  /** Sends one user message unchanged. */
  user(to: Endpoint, body: Uint8Array): void {
    this.#packet(to, [Buffer.concat([Buffer.of(TYPE.user), body])])
  }

  #packet(to: Endpoint, messages: readonly Uint8Array[]): void {
    const bytes = this.#packets.pack(messages)
    this.#env.stats.packetsOut++
    this.#env.stats.bytesOut += bytes.length
    this.#options.send(to, bytes)
  }

  /** A message framed for a stream. */
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

  /** A parser for an incoming stream. */
  streamReader(): StreamReader {
    return new StreamReader({ label: this.#options.label, keys: this.#options.keyring?.keys })
  }
}
