/** A UDP query that missed the cache. An object instead of a closure, of which each miss would keep three. */
import type { Client } from '../../base/ip.ts'
import type { Head } from './admit.ts'
import { SLOT } from '../../boundary/counters.ts'
import type { Peer, UdpSocket } from '../io/packet-io.ts'
import type { Query } from '../forward/query.ts'

export class Datagram implements Query {
  readonly wire: Buffer
  readonly head: Head
  readonly limit: number
  readonly receivedAt: number
  readonly server: number
  readonly client: Client
  readonly hash: number
  readonly proto = 0
  readonly watch = undefined
  onTrial = false
  readonly #socket: UdpSocket
  readonly #peer: Peer
  readonly #counters: Float64Array

  constructor(
    wire: Buffer,
    head: Head,
    limit: number,
    receivedAt: number,
    server: number,
    client: Client,
    hash: number,
    socket: UdpSocket,
    peer: Peer,
    counters: Float64Array,
  ) {
    this.wire = wire
    this.head = head
    this.limit = limit
    this.receivedAt = receivedAt
    this.server = server
    this.client = client
    this.hash = hash
    this.#socket = socket
    this.#peer = peer
    this.#counters = counters
  }

  get from(): Peer {
    return this.#peer
  }
  get family(): 0 | 1 {
    return this.#peer.family === 4 ? 0 : 1
  }

  respond(bytes: Uint8Array, length: number): void {
    if (!this.#socket.send(bytes, 0, length, this.#peer)) this.#counters[SLOT.droppedSend]! += 1
  }
}
