/**
 * Connections to an upstream: its peer for datagrams, its stream for TCP and TLS, its URL for HTTPS. Created on
 * first use.
 */
import { randomFillSync } from 'node:crypto'
import type { Seconds } from '../../boundary/messages.ts'
import type { PacketIO, Peer } from '../io/packet-io.ts'
import { put32 } from '../../wire/octets.ts'
import { Records, scan, ttlOf } from '../../wire/scan.ts'
import type { After } from '../timers.ts'
import type { Random16 } from './exchange.ts'
import type { Https } from './https.ts'
import { StreamUpstream } from './stream.ts'
import type { Upstream } from './upstream.ts'

export type OverHttps = Https['ask']

export type PathsContext = {
  readonly io: PacketIO
  readonly random: Random16
  readonly after: After
  readonly overHttps: OverHttps
  /** Called for the first IPv6 upstream, whose sockets must be opened. */
  readonly onIpv6: () => void
}

export class Paths {
  readonly #context: PathsContext
  readonly #streams = new Map<string, StreamUpstream>()
  readonly #peers = new Map<string, Peer>()
  /** Names of upstreams that count as lost in a drill. */
  #lost: ReadonlySet<string> = new Set()

  constructor(context: PathsContext) {
    this.#context = context
  }

  peerOf(upstream: Upstream): Peer {
    const known = this.#peers.get(upstream.name)
    if (known) return known
    const { spec } = upstream
    if (spec.protocol === 'https') throw new Error('an HTTPS upstream has no peer')
    const peer = this.#context.io.peer(spec.address, spec.port)
    if (peer.family === 6) this.#context.onIpv6()
    this.#peers.set(upstream.name, peer)
    return peer
  }

  /** From now on exactly these upstreams count as lost. Returns their peers. */
  lose(upstreams: ReadonlySet<Upstream>): ReadonlySet<Peer> {
    this.#lost = new Set([...upstreams].map(({ name }) => name))
    const withPeer = [...upstreams].filter(({ spec }) => spec.protocol === 'udp')
    return new Set(withPeer.map(upstream => this.peerOf(upstream)))
  }

  /**
   * The response to a question over the upstream's stream protocol (TCP, TLS or HTTPS). Rejects if there is none, or
   * if `signal` is aborted; the caller sets the deadline. `fresh`: not over a connection that is silent.
   */
  async ask(
    upstream: Upstream,
    question: Buffer,
    signal: AbortSignal,
    fresh: boolean,
  ): Promise<Buffer> {
    const { spec } = upstream
    if (this.#lost.has(upstream.name)) return silence(signal)
    if (spec.protocol === 'https') {
      const { body, age } = await this.#context.overHttps(spec.url, question, signal)
      return age > 0 ? aged(body, age) : body
    }
    let stream = this.#streams.get(upstream.name)
    if (!stream) {
      const { address, port, protocol } = spec
      const { after, io, random } = this.#context
      const serverName = protocol === 'tls' ? spec.serverName : undefined
      stream = new StreamUpstream(
        { address, port, tls: protocol === 'tls', serverName },
        { random, clock: () => io.now(), after },
      )
      this.#streams.set(upstream.name, stream)
    }
    return stream.ask(question, signal, fresh)
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.close()
  }
}

/** Never answers; rejects when the caller gives up. */
const silence = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const stop = (): void => reject(signal.reason as Error)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })

const records = new Records()

/** The message with each TTL reduced by `seconds`, not below 0 (RFC 8484 §5.1); unchanged if it is malformed. */
export const aged = (wire: Buffer, seconds: Seconds): Buffer => {
  if (!scan(wire, wire.length, records)) return wire
  for (let i = 0; i < records.count; i++)
    if (i !== records.opt)
      put32(wire, records.ttlAt[i]!, Math.max(0, ttlOf(wire, records, i) - seconds))
  return wire
}

/** IDs from the system's random source, read 2,048 at a time, because one call takes 2 µs. */
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
