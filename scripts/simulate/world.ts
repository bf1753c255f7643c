/**
 * Simulated nodes: the real membership core and records on a virtual clock and network. It does with events what a
 * daemon's ring.ts does with sockets and timers.
 */
import { silent } from '../../src/base/log.ts'
import { type Effect, RingCore } from '../../src/gossip/core.ts'
import { type PeerRoster, peerRosterOf } from '../../src/gossip/records/peers.ts'
import { createRecords, type Records } from '../../src/gossip/records/records.ts'
import type { Limits } from '../../src/gossip/records/types.ts'
import type { Member, Rider } from '../../src/gossip/rider.ts'
import { writeTags } from '../../src/gossip/serf/tags.ts'
import { CAPABILITY, entryOf, Nodes, type Roster, rosterOf } from '../../src/gossip/swim/members.ts'
import type { Endpoint } from '../../src/gossip/wire/address.ts'
import { ALIVE } from '../../src/gossip/wire/types.ts'
import { Clock } from './clock.ts'
import { type Conditions, Network } from './network.ts'
import { seeded } from './random.ts'

/** Wall time at the start of a run in seconds since 1970; the first epochs and incarnations. */
const EPOCH = 1_700_000_000
const VERSIONS = Uint8Array.of(1, 5, 2, 2, 5, 5)
const TAGS = { role: 'agent', [CAPABILITY.tag]: CAPABILITY.value }
const PORT = 7946

const addressOf = (index: number): string =>
  `10.${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`

export type WorldOptions = Partial<Conditions> & {
  readonly seed?: number
  readonly limits?: Partial<Limits>
  /** Calls that take longer than this are counted, ms of real time. */
  readonly slowMs?: number
}

/** One end of a simulated stream: its node and its id there. */
type End = { readonly node: SimNode; readonly id: number }

export class SimNode {
  readonly name: string
  readonly index: number
  readonly at: Endpoint
  readonly #world: World
  records: Records
  core: RingCore
  /** Open streams by our id. */
  readonly ends = new Map<number, End>()
  #inbound = -1
  #wakeAt = Infinity
  /** Members that this node declared dead, and how often a suspect recovered. */
  deaths = 0
  refuted = 0
  /** Called for each death with the member's name. */
  onDeath: (name: string) => void = () => {}

  constructor(world: World, index: number, seeds: readonly Endpoint[]) {
    this.#world = world
    this.index = index
    this.name = `agent-${index}`
    this.at = { address: addressOf(index), port: PORT }
    this.records = this.#newRecords(seeds.length > 0)
    this.core = this.#newCore(seeds)
  }

  #newRecords(seeds: boolean): Records {
    const { clock, random, limits, peerRoster } = this.#world
    return createRecords({
      self: this.name,
      now: () => clock.now,
      random,
      epoch: this.#wallSeconds(),
      limits,
      seeds,
      ...(peerRoster ? { roster: peerRoster } : {}),
    })
  }

  #newCore(seeds: readonly Endpoint[]): RingCore {
    const { clock, random, nodes, roster } = this.#world
    return new RingCore({
      name: this.name,
      address: this.at.address,
      port: this.at.port,
      tags: TAGS,
      keyring: undefined,
      rider: this.#timed(this.records),
      random,
      incarnation: this.#wallSeconds(),
      now: clock.now,
      log: silent,
      seeds,
      nodes,
      ...(roster ? { roster } : {}),
      onEvent: event => {
        if (event.type === 'dead') {
          this.deaths++
          this.onDeath(event.member.name)
        } else if (event.type === 'alive') this.refuted++
      },
    })
  }

  /** The rider with a counter of slow calls. */
  #timed(rider: Records): Rider {
    const world = this.#world
    if (world.slowMs === Infinity) return rider
    const timed =
      <A extends unknown[], R>(call: (...args: A) => R) =>
      (...args: A): R => {
        const start = performance.now()
        const result = call.apply(rider, args)
        const took = performance.now() - start
        if (took > world.slowMs) world.slow++
        world.slowest = Math.max(world.slowest, took)
        return result
      }
    return {
      digest: rider.digest.bind(rider),
      onDigest: timed(rider.onDigest),
      onPacket: timed(rider.onPacket),
      onStreamRequest: timed(rider.onStreamRequest),
      onStreamResponse: timed(rider.onStreamResponse),
      onMember: timed(rider.onMember),
      poll: timed(rider.poll),
    }
  }

  #wallSeconds(): number {
    return EPOCH + Math.floor(this.#world.clock.now / 1_000)
  }

  start(): void {
    this.input(core => core.start(this.#world.clock.now))
  }

  /** The process dies without a goodbye. */
  kill(): void {
    this.#world.network.down[this.index] = true
    this.ends.clear()
  }

  /** The process starts again, with the content of its disk if there is one. */
  restart(seeds: readonly Endpoint[], disk?: Uint8Array): void {
    this.#world.network.down[this.index] = false
    this.#wakeAt = Infinity
    this.core.close()
    this.ends.clear()
    this.records = this.#newRecords(seeds.length > 0)
    if (disk) this.records.fromBytes(disk, this.#wallSeconds() * 1_000)
    this.core = this.#newCore(seeds)
    this.start()
  }

  /** Says goodbye and ends. */
  leave(): void {
    this.input(core => core.leave(this.#world.clock.now, () => this.kill()))
  }

  /** Publish and let it be sent. */
  publish(kind: 'vip' | 'zone' | 'node', name: string, value: Uint8Array): void {
    this.records.publish({ kind, name }, value)
    this.tick()
  }

  withdraw(kind: 'vip' | 'zone' | 'node', name: string): void {
    this.records.withdraw({ kind, name })
    this.tick()
  }

  tick(): void {
    this.input(core => core.tick(this.#world.clock.now))
  }

  /** Passes an input to the core, does what it asks for, and sets its timer. */
  input(act: (core: RingCore) => void): void {
    const { clock, network } = this.#world
    const { core } = this
    act(core)
    for (let effects = core.take(); effects.length > 0; effects = core.take())
      for (const effect of effects) this.#perform(effect)
    const at = Math.max(core.nextMs(), clock.now + 0.5)
    if (at >= this.#wakeAt || at === Infinity) return
    this.#wakeAt = at
    network.at(this.index, at - clock.now, () => {
      if (this.#wakeAt !== at || this.core !== core) return
      this.#wakeAt = Infinity
      this.tick()
    })
  }

  #perform(effect: Effect): void {
    const { network, clock } = this.#world
    switch (effect.do) {
      case 'packet': {
        const to = this.#world.nodeAt(effect.to)
        if (to)
          network.packet(this.index, to.index, effect.bytes.length, () =>
            to.input(core => core.packet(effect.bytes, this.at, clock.now)),
          )
        return
      }
      case 'open': {
        const to = this.#world.nodeAt(effect.to)
        if (!to) return
        const refused = (): void => this.input(core => core.streamFailed(effect.id, clock.now))
        network.connect(
          this.index,
          to.index,
          effect.bytes.length,
          () => to.#accept(this, effect.id, effect.bytes),
          refused,
        )
        return
      }
      case 'end': {
        const end = this.ends.get(effect.id)
        this.ends.delete(effect.id)
        if (!end) return
        network.segment(this.index, end.node.index, effect.bytes.length, () => {
          if (end.node.ends.get(end.id)?.node !== this) return
          end.node.input(core => core.streamData(end.id, effect.bytes, clock.now))
          end.node.input(core => core.streamEnded(end.id, clock.now))
        })
        return
      }
      case 'close': {
        const end = this.ends.get(effect.id)
        this.ends.delete(effect.id)
        if (!end) return
        network.segment(this.index, end.node.index, 0, () => {
          if (end.node.ends.delete(end.id))
            end.node.input(core => core.streamEnded(end.id, clock.now))
        })
      }
    }
  }

  #accept(from: SimNode, theirs: number, bytes: Uint8Array): void {
    const { now } = this.#world.clock
    const id = this.#inbound--
    this.ends.set(id, { node: from, id: theirs })
    from.ends.set(theirs, { node: this, id })
    this.input(core => core.streamAccepted(id, from.at, now))
    this.input(core => core.streamData(id, bytes, now))
  }

  members(): Member[] {
    return [...this.core.members()]
  }
}

export class World {
  readonly clock = new Clock()
  readonly random: () => number
  readonly network: Network
  readonly limits: Partial<Limits>
  readonly list: SimNode[] = []
  readonly nodes = new Nodes(1 << 20)
  readonly slowMs: number
  /** Number of calls of the records slower than `slowMs`, and the slowest, ms of real time. */
  slow = 0
  slowest = 0
  roster: Roster | undefined
  peerRoster: PeerRoster | undefined
  readonly #byAddress = new Map<string, SimNode>()

  constructor({
    seed = 1,
    loss = 0,
    delay = [0.2, 2],
    limits = {},
    slowMs = Infinity,
  }: WorldOptions = {}) {
    this.random = seeded(seed)
    this.network = new Network(this.clock, this.random, { loss, delay })
    this.limits = limits
    this.slowMs = slowMs
  }

  nodeAt({ address }: Endpoint): SimNode | undefined {
    return this.#byAddress.get(address)
  }

  /** Adds a node that knows only its seeds. */
  add(seeds: readonly Endpoint[]): SimNode {
    const node = new SimNode(this, this.network.add(), seeds)
    this.list.push(node)
    this.#byAddress.set(node.at.address, node)
    return node
  }

  /** Adds `count` nodes that all know each other, started within a second. */
  populate(count: number): void {
    const meta = writeTags(TAGS) as Uint8Array
    const first = this.list.length
    const entries = Array.from({ length: count }, (_, i) => {
      const index = first + i
      const node = this.nodes.of({
        node: `agent-${index}`,
        address: addressOf(index),
        port: PORT,
        meta,
        versions: VERSIONS,
      })
      return entryOf(node, EPOCH, ALIVE, this.clock.now)
    })
    this.roster = rosterOf(entries)
    this.peerRoster = peerRosterOf(entries.map(entry => entry.node.name))
    const nodes = entries.map((_, i) =>
      this.add([{ address: addressOf(i === 0 ? 1 : 0), port: PORT }]),
    )
    this.roster = undefined
    this.peerRoster = undefined
    for (const node of nodes) this.network.at(node.index, this.random() * 1_000, () => node.start())
  }

  /** Advances time by `ms`, or until `enough` returns true after an event. */
  run(ms: number, enough?: () => boolean): void {
    this.clock.runUntil(this.clock.now + ms, enough)
  }
}
