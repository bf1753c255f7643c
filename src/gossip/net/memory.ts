/**
 * A network inside the process, for tests: endpoints reach each other one turn of the event loop later, and links
 * can be cut. The simulator has its own network with a virtual clock.
 */
import { fail } from '../../base/error.ts'
import { endpointKey } from '../wire/address.ts'
import type { Body, BodyEvents, BodyStats, Endpoint } from './body.ts'

/** One end of a stream. */
type End = { readonly body: MemoryBody; readonly id: number; peer: End | undefined }

/** Connects bodies with each other. */
export class MemoryNetwork {
  #bodies = new Map<string, MemoryBody>()
  #port = 40_000
  /** Whether data from `from` reaches `to`. By default always. */
  passes: (from: Endpoint, to: Endpoint) => boolean = () => true

  /** Creates a body that is not bound yet. */
  body(): MemoryBody {
    return new MemoryBody(this)
  }

  /** Used by bodies. */
  bind(at: Endpoint, body: MemoryBody): Endpoint {
    const bound = { address: at.address, port: at.port === 0 ? this.#port++ : at.port }
    if (this.#bodies.has(endpointKey(bound)))
      throw fail(`${bound.address}:${bound.port} is taken`, 'EBIND')
    this.#bodies.set(endpointKey(bound), body)
    return bound
  }

  /** Used by bodies. */
  unbind(at: Endpoint): void {
    this.#bodies.delete(endpointKey(at))
  }

  /** Used by bodies: the body at an endpoint, if the link to it is up. */
  reach(from: Endpoint, to: Endpoint): MemoryBody | undefined {
    return this.passes(from, to) ? this.#bodies.get(endpointKey(to)) : undefined
  }
}

export class MemoryBody implements Body {
  readonly stats: BodyStats = { sendFailed: 0, turnedAway: 0 }
  readonly #network: MemoryNetwork
  #events: BodyEvents | undefined
  #at: Endpoint = { address: '', port: 0 }
  #ends = new Map<number, End>()
  #nextInbound = -1

  constructor(network: MemoryNetwork) {
    this.#network = network
  }

  async open(at: Endpoint, events: BodyEvents): Promise<Endpoint> {
    this.#at = this.#network.bind(at, this)
    this.#events = events
    return this.#at
  }

  send(to: Endpoint, bytes: Uint8Array): void {
    const copy = Uint8Array.from(bytes)
    setImmediate(() => {
      const there = this.#network.reach(this.#at, to)
      if (there) there.#events?.packet(copy, this.#at)
    })
  }

  connect(id: number, to: Endpoint, bytes: Uint8Array): void {
    const end: End = { body: this, id, peer: undefined }
    this.#ends.set(id, end)
    const copy = Uint8Array.from(bytes)
    setImmediate(() => {
      if (this.#ends.get(id) !== end) return
      const other = this.#network.reach(this.#at, to)
      if (!other || !other.#events) return this.#fail(end)
      const there: End = { body: other, id: other.#nextInbound--, peer: end }
      end.peer = there
      other.#ends.set(there.id, there)
      other.#events.accepted(there.id, this.#at)
      other.#hear(there, copy, false)
    })
  }

  /** Delivers bytes to one end of a stream, if it is still open and the link is up. */
  #hear(end: End, bytes: Uint8Array, last: boolean): void {
    if (this.#ends.get(end.id) !== end) return
    if (end.peer && !this.#network.reach(end.peer.body.#at, this.#at)) return this.#fail(end)
    this.#events?.data(end.id, bytes)
    if (last && this.#ends.get(end.id) === end) this.#events?.ended(end.id)
  }

  #fail(end: End): void {
    if (this.#ends.get(end.id) !== end) return
    this.#ends.delete(end.id)
    this.#events?.failed(end.id)
  }

  end(id: number, bytes: Uint8Array): void {
    const end = this.#ends.get(id)
    this.#ends.delete(id)
    const copy = Uint8Array.from(bytes)
    const peer = end?.peer
    if (peer) setImmediate(() => peer.body.#hear(peer, copy, true))
  }

  drop(id: number): void {
    const end = this.#ends.get(id)
    this.#ends.delete(id)
    const peer = end?.peer
    if (peer) setImmediate(() => peer.body.#fail(peer))
  }

  async close(): Promise<void> {
    for (const id of [...this.#ends.keys()]) this.drop(id)
    this.#events = undefined
    this.#network.unbind(this.#at)
  }
}
