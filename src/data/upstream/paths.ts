/**
 * The ways to an upstream: its peer for datagrams, its stream for TCP and
 * TLS, its URL for HTTPS. Made when first used and kept while it is asked.
 */
import { randomFillSync } from 'node:crypto'
import type { Milliseconds } from '../../boundary/messages.ts'
import type { PacketIO, Peer } from '../io/packet-io.ts'
import type { Random16 } from './exchange.ts'
import { StreamUpstream } from './stream.ts'
import type { Upstream } from './upstream.ts'

/** DNS over HTTPS: one POST of a message, its response. */
export type OverHttps = (url: string, question: Buffer, signal: AbortSignal) => Promise<Buffer>

export class Paths {
  readonly #io: PacketIO
  readonly #random: Random16
  readonly #deadline: () => Milliseconds
  readonly #overHttps: OverHttps
  readonly #streams = new Map<string, StreamUpstream>()
  readonly #peers = new Map<string, Peer>()
  /** Told when the first upstream of IPv6 is met: its sockets have to be opened. */
  readonly #onIpv6: () => void

  constructor(
    io: PacketIO,
    random: Random16,
    deadline: () => Milliseconds,
    overHttps: OverHttps,
    onIpv6: () => void,
  ) {
    this.#io = io
    this.#random = random
    this.#deadline = deadline
    this.#overHttps = overHttps
    this.#onIpv6 = onIpv6
  }

  peerOf(upstream: Upstream): Peer {
    const known = this.#peers.get(upstream.name)
    if (known) return known
    const { spec } = upstream
    if (spec.protocol === 'https') throw new Error('an HTTPS upstream has no peer')
    const peer = this.#io.peer(spec.address, spec.port)
    if (peer.family === 6) this.#onIpv6()
    this.#peers.set(upstream.name, peer)
    return peer
  }

  /** The response to a question by TCP, TLS or HTTPS, whichever the upstream speaks. Rejects when there is none in time. */
  ask(upstream: Upstream, question: Buffer, signal: AbortSignal): Promise<Buffer> {
    const { spec } = upstream
    const limited = AbortSignal.any([signal, AbortSignal.timeout(this.#deadline())])
    if (spec.protocol === 'https') return this.#overHttps(spec.url, question, limited)
    let stream = this.#streams.get(upstream.name)
    if (!stream) {
      const { address, port, protocol } = spec
      const serverName = protocol === 'tls' ? spec.serverName : undefined
      stream = new StreamUpstream(
        { address, port, tls: protocol === 'tls', serverName },
        this.#random,
      )
      this.#streams.set(upstream.name, stream)
    }
    return stream.ask(question, limited)
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.close()
  }
}

/** IDs from the system's random source, drawn 2,048 at a time: one call costs 2 µs. */
export const random16 = (): Random16 => {
  const pool = new Uint16Array(2048)
  let at = pool.length
  return () => {
    if (at === pool.length) {
      randomFillSync(pool)
      at = 0
    }
    return pool[at++]!
  }
}
