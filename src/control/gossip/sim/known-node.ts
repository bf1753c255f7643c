/**
 * A node whose membership is given: everybody knows everybody and nobody ever
 * fails. It pings one random peer a second, which is all the records need.
 * For runs too large for a member table per node, and to look at the records
 * alone.
 */
import type { Peers } from '../records/peers.ts'
import { createRecords, type Records, type RecordsOptions } from '../records/records.ts'
import type { Clock } from './clock.ts'
import type { Network } from './network.ts'

/** Octets of a memberlist ping or ack in its encrypted compound packet, about, without the digest. */
const PING_BYTES = 96
/** Octets that encryption, compound framing and the user type add to a records packet. */
const FRAME_BYTES = 34
const PING_MS = 1_000

export type SimNode = {
  readonly name: string
  readonly index: number
  readonly records: Records
  /** Call the state machine now: after something was published, say. */
  poll(): void
  start(): void
}

type World = { clock: Clock; network: Network; nodes: SimNode[]; random: () => number; indexOf: (name: string) => number | undefined }

export class KnownNode implements SimNode {
  readonly name: string
  readonly index: number
  readonly records: Records
  readonly #world: World
  #wakeAt = Infinity

  constructor(world: World, name: string, index: number, peers: Peers, options: Pick<RecordsOptions, 'limits' | 'seeds'> = {}) {
    this.#world = world
    this.name = name
    this.index = index
    this.records = createRecords({ self: name, now: () => world.clock.now, random: world.random, epoch: 1_000 + Math.floor(world.clock.now / 1_000), peers, ...options })
  }

  start(): void {
    const { network, random } = this.#world
    const ping = (): void => {
      this.#ping()
      network.at(this.index, PING_MS, ping)
    }
    network.at(this.index, random() * PING_MS, ping)
    this.poll()
  }

  #ping(): void {
    const { network, nodes, random, clock } = this.#world
    const target = nodes[Math.floor(random() * nodes.length)]
    if (!target || target === this) return
    const digest = this.records.digest()
    network.packet(this.index, target.index, PING_BYTES + digest.length, () => {
      const theirs = target.records.digest()
      target.records.onDigest(this.name, digest, clock.now)
      target.poll()
      network.packet(target.index, this.index, PING_BYTES + theirs.length, () => {
        this.records.onDigest(target.name, theirs, clock.now)
        this.poll()
      })
    })
  }

  poll(): void {
    const { clock, network } = this.#world
    const { sends, nextMs } = this.records.poll(clock.now)
    for (const send of sends) this.#send(send)
    const at = clock.now + Math.max(1, nextMs)
    if (at >= this.#wakeAt) return
    this.#wakeAt = at
    network.at(this.index, at - clock.now, () => {
      if (this.#wakeAt !== at && clock.now < this.#wakeAt) return
      this.#wakeAt = Infinity
      this.poll()
    })
  }

  #send(send: ReturnType<Records['poll']>['sends'][number]): void {
    const { clock, network, nodes, indexOf } = this.#world
    const to = indexOf(send.to)
    const target = to === undefined ? undefined : nodes[to]
    if (!target) return
    if (send.via === 'packet') {
      network.packet(this.index, target.index, send.body.length + FRAME_BYTES, () => {
        target.records.onPacket(this.name, send.body, clock.now)
        target.poll()
      })
      return
    }
    network.stream(
      this.index,
      target.index,
      send.body.length,
      () => {
        const response = target.records.onStreamRequest(this.name, send.body, clock.now)
        target.poll()
        return response
      },
      response => {
        this.records.onStreamResponse(target.name, send.token, response, clock.now)
        this.poll()
      },
    )
  }
}
