/**
 * Encodes an answered query as dnstap (https://dnstap.info): a message in Protocol Buffers. Pure.
 *
 *     Dnstap    1 identity, 2 version, 14 message, 15 type (1: MESSAGE)
 *     Message   1 type, 2 socket family, 3 socket protocol, 4 client's address, 5 our address, 6 client's port,
 *               7 our port, 8 and 9 time of the query (s, ns), 10 the query, 12 and 13 time of the response, 14 the
 *               response
 *
 * A CLIENT_QUERY holds the query, a CLIENT_RESPONSE the response and both times, because readers expect one DNS message
 * in each.
 */
import type { Endpoint } from '../../boundary/messages.ts'
import type { SeenQuery } from '../../boundary/query-ring.ts'
import { ipToOctets } from '../../base/ip.ts'
import { isWildcard } from '../../config/address.ts'

/** Which of the two messages about an answered query. */
export type DnstapKind = 'query' | 'response'

const MESSAGE = 1
const TYPE = { query: 5, response: 6 } as const
const FAMILY = { 4: 1, 16: 2 } as const
const PROTOCOL = { udp: 1, tcp: 2 } as const

/** Wire types of Protocol Buffers. */
const VARINT = 0
const OCTETS = 2
const FIXED32 = 5

/** Room for everything in a Message but the DNS message. */
const SMALL_FIELDS = 256
const LONGEST_DNS = 65_535
/** Addresses of clients whose octets are remembered. */
const MOST_CLIENTS = 1024

/** Appends fields in the encoding of Protocol Buffers. Field numbers are below 16, so a key is one octet. */
class Fields {
  readonly bytes: Buffer
  at = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size)
  }

  number(field: number, value: number): void {
    this.bytes[this.at++] = (field << 3) | VARINT
    this.#varint(value)
  }

  fixed32(field: number, value: number): void {
    this.bytes[this.at++] = (field << 3) | FIXED32
    this.at = this.bytes.writeUInt32LE(value, this.at)
  }

  octets(field: number, value: Uint8Array): void {
    this.bytes[this.at++] = (field << 3) | OCTETS
    this.#varint(value.length)
    this.bytes.set(value, this.at)
    this.at += value.length
  }

  /** Seven bits per octet, the lowest first. Seconds may have more than the 32 bits of bitwise operators. */
  #varint(value: number): void {
    let rest = value
    for (; rest > 127; rest = Math.floor(rest / 128)) this.bytes[this.at++] = (rest % 128) | 128
    this.bytes[this.at++] = rest
  }

  /** A time in Unix milliseconds as seconds and nanoseconds. */
  time(secondsField: number, nanosecondsField: number, ms: number): void {
    const seconds = Math.floor(ms / 1000)
    this.number(secondsField, seconds)
    this.fixed32(nanosecondsField, Math.floor((ms - seconds * 1000) * 1e6))
  }
}

/** Who says it: the name of this server and its version, as text; '' leaves a field out. */
export type DnstapOrigin = { readonly identity: string; readonly version: string }

export class DnstapEncoder {
  /** What all have in common. */
  readonly #head: Buffer
  readonly #servers: readonly { readonly address: Buffer; readonly port: number }[]
  readonly #message = new Fields(SMALL_FIELDS + LONGEST_DNS)
  readonly #clients = new Map<string, Buffer>()

  /** @param servers the listeners, in the order of SeenQuery's `server` */
  constructor({ identity, version }: DnstapOrigin, servers: readonly Endpoint[]) {
    const head = new Fields(16 + 4 * (identity.length + version.length))
    if (identity !== '') head.octets(1, Buffer.from(identity))
    if (version !== '') head.octets(2, Buffer.from(version))
    head.number(15, MESSAGE)
    this.#head = head.bytes.subarray(0, head.at)
    // A wildcard is no address that was asked.
    this.#servers = servers.map(({ address, port }) => ({
      address: isWildcard(address) ? Buffer.alloc(0) : ipToOctets(address),
      port,
    }))
  }

  /** The octets of a Dnstap. The query or answer in `seen` must be a whole message of at most 65,535 octets. */
  encode(kind: DnstapKind, seen: SeenQuery): Buffer {
    const message = this.#message
    message.at = 0
    message.number(1, TYPE[kind])
    this.#sockets(seen)
    message.time(8, 9, seen.at - seen.tookMs)
    if (kind === 'query') message.octets(10, seen.query)
    else {
      message.time(12, 13, seen.at)
      message.octets(14, seen.answer)
    }
    const whole = new Fields(this.#head.length + 8 + message.at)
    whole.bytes.set(this.#head)
    whole.at = this.#head.length
    whole.octets(14, message.bytes.subarray(0, message.at))
    return whole.bytes.subarray(0, whole.at)
  }

  #sockets({ client, port, server, transport }: SeenQuery): void {
    const message = this.#message
    const asker = this.#octetsOf(client)
    const asked = this.#servers[server]
    const family = FAMILY[asker.length as 4 | 16]
    // What is not known is left out: all of these fields are optional.
    if (family) message.number(2, family)
    message.number(3, PROTOCOL[transport])
    if (family) message.octets(4, asker)
    if (asked && asked.address.length === asker.length) message.octets(5, asked.address)
    if (port > 0) message.number(6, port)
    if (asked) message.number(7, asked.port)
  }

  #octetsOf(client: string): Buffer {
    const known = this.#clients.get(client)
    if (known) return known
    const octets = ipToOctets(client)
    if (this.#clients.size >= MOST_CLIENTS) this.#clients.clear()
    this.#clients.set(client, octets)
    return octets
  }
}
