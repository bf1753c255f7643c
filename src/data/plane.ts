/**
 * The data plane: connects listeners, cache and resolver, and processes the main thread's messages. Only this file
 * knows both the code for hits and the code for misses; each gets functions of the other.
 */
import { randomBytes } from 'node:crypto'
// The global of this name is a getter, and the clock is read for every batch.
import { performance } from 'node:perf_hooks'
import type { DataThreadStart, Down, Snapshot, Up } from '../boundary/messages.ts'
import { silent } from '../base/log.ts'
import { countersOver, SLOT } from '../boundary/counters.ts'
import { compatBypass } from './answer/compat-wire.ts'
import { NO_ROUTES, Router } from './answer/router.ts'
import { Sources } from './answer/sources.ts'
import { Bugs } from './bugs.ts'
import { POSITIVE } from './cache/entry.ts'
import { setHashKey } from './cache/hash.ts'
import { PacketCache } from './cache/packet-cache.ts'
import { Restoring } from './cache/restoring.ts'
import { Validity } from './cache/validity.ts'
import { drain } from './drain.ts'
import { Lingering } from './forward/lingering.ts'
import { Resolver, type ResolverContext } from './forward/resolver.ts'
import { staleTtlOf } from './forward/ttl-policy.ts'
import { Housekeeping } from './housekeeping.ts'
import { createPacketIO } from './io/io.ts'
import type { Libc } from './io/libc.ts'
import type { PacketIO } from './io/packet-io.ts'
import { ask, statusOf, type DataParts } from './operator.ts'
import { Orders, type AtOnce } from './orders.ts'
import { RealTime, schedulingOf } from './priority.ts'
import { adjust, adjustable, type Adjustable } from './settings.ts'
import { Allow } from './serve/allow.ts'
import { Front } from './serve/front.ts'
import { Listeners } from './serve/listeners.ts'
import { Timers, type After } from './timers.ts'
import { Drill } from './upstream/drill.ts'
import { Exchanges } from './upstream/exchange.ts'
import { ownAddresses } from './upstream/own-addresses.ts'
import { Paths, random16, type OverHttps } from './upstream/paths.ts'
import { upstreamCounts } from './upstream/upstream-counts.ts'
import { Zones } from './zones/zones.ts'

/** What the thread hands in. */
export type DataPlaneContext = {
  readonly post: (message: Up, transfer?: readonly ArrayBuffer[]) => void
  readonly overHttps: OverHttps
  /** Whether there are timers in this thread that are not the data plane's. */
  readonly othersHaveTimers: () => boolean
  /** The system calls for batches. */
  readonly libc: () => Promise<Libc>
}

export class DataPlane {
  readonly #start: Adjustable
  readonly #post: DataPlaneContext['post']
  readonly #parts: DataParts
  readonly #exchanges: Exchanges
  readonly #paths: Paths
  readonly #drill: Drill
  readonly #after: After
  readonly #housekeeping: Housekeeping
  readonly #orders: Orders
  readonly bugs: Bugs

  static async create(start: DataThreadStart, context: DataPlaneContext): Promise<DataPlane> {
    const { libc: calls, othersHaveTimers, post } = context
    const log = {
      ...silent,
      warn: (msg: string, fields = {}) => post({ type: 'log', level: 'warn', msg, fields }),
    }
    const options = { io: start.io, spin: true, othersHaveTimers, log, libc: calls } as const
    const { io, reason, libc } = await createPacketIO(options)
    post({ type: 'log', level: 'info', msg: 'packet i/o', fields: { body: io.body, reason } })
    const plane = new DataPlane(start, context, io, libc)
    await plane.#exchanges.open(4)
    return plane
  }

  private constructor(
    asStarted: DataThreadStart,
    { post, overHttps }: DataPlaneContext,
    io: PacketIO,
    libc: Libc | undefined,
  ) {
    const start = (this.#start = adjustable(asStarted))
    this.#post = post
    const counters = countersOver(start.counters)
    this.bugs = new Bugs(counters, post)
    const random = random16()
    const key = randomBytes(8)
    setHashKey(key.readInt32LE(), key.readInt32LE(4))
    const cache = new PacketCache(start.cache, kind => {
      counters[kind === POSITIVE ? SLOT.evictionsSuccess : SLOT.evictionsDenial]! += 1
    })
    const now = (): number => io.now()
    const zones = new Zones(now)
    const sources = new Sources(new Router(NO_ROUTES), zones)
    const validity = new Validity(entry => sources.ofEntry(entry))
    const exchanges = (this.#exchanges = new Exchanges(io, random, counters))
    const timers = new Timers()
    const after = (this.#after = timers.after(() => performance.now()))
    const onIpv6 = (): void => void exchanges.open(6)
    const paths = (this.#paths = new Paths({ io, random, after, overHttps, onIpv6 }))
    const restoring = start.restores ? new Restoring(timers, now()) : undefined
    const resolving: ResolverContext = {
      exchanges,
      timers,
      restoring,
      rules: start.race,
      overStream: (upstream, question, signal, fresh) =>
        paths.ask(upstream, question, signal, fresh),
      lingering: new Lingering(),
      peerOf: upstream => paths.peerOf(upstream),
      counts: upstreamCounts(
        counters,
        (level, msg, fields) => post({ type: 'log', level, msg, fields }),
        now,
      ),
      now,
      cache,
      validity,
      sources,
      counters,
      zones,
      clamps: start.cache,
      limits: start,
    }
    const resolver = new Resolver(resolving)
    const forwards = () => resolver.router.forwards()
    this.#drill = new Drill({ exchanges, paths, after, forwards })
    const own = ownAddresses(start.listen.map(l => l.address))
    const front = new Front(new Allow([]), {
      cache,
      validity,
      counters,
      resolver,
      node: start.node,
      settings: start,
      isOurs: peer => exchanges.isOwnPort(peer.port) && own.has(peer.address),
      now,
      clock: () => performance.now(),
      onBug: er => this.bugs.take(er),
      // Mesos-DNS's own behaviour for one zone, where the configuration wants it.
      bypass: start.compat && compatBypass(start.compat, zones),
    })
    const listeners = new Listeners(start, { io, front, counters, post, after })
    this.#orders = new Orders({
      cache,
      zones,
      validity,
      clamps: start.cache,
      now,
      originOf: name => {
        const { spec } = resolver.router.match(name)
        if (spec.kind !== 'forward') return undefined
        return { source: spec.number, zone: spec.label, staleTtl: staleTtlOf(spec.ttl) }
      },
      labels: () => resolver.router.snapshot.labels,
      post,
      atOnce: message => this.#atOnce(message),
      restoring,
    })
    const realTime = libc && new RealTime(schedulingOf(libc))
    const parts = (this.#parts = { io, front, listeners, resolver, resolving })
    this.#housekeeping = new Housekeeping({ ...parts, realTime, post })
    io.start((startedAt, seen) => this.#turn(startedAt, seen))
  }

  /** Queues a message of the main thread; messages are processed in order in the following turns. */
  handle(message: Down): void {
    this.#orders.add(message)
    this.#parts.io.wake()
  }

  #atOnce(message: AtOnce): void {
    switch (message.type) {
      case 'snapshot':
        this.#route(message.snapshot)
        break
      case 'settings':
        adjust(this.#start, message.settings)
        break
      case 'ask':
        ask(this.#parts.front, message, this.#post)
        break
      case 'status':
        this.#housekeeping.gauge()
        this.#post({
          type: 'status',
          id: message.id,
          status: statusOf(this.#parts, this.#start.cache.maxBytes),
        })
        break
      case 'watch':
        this.#parts.front.watchers.add(message)
        break
      case 'unwatch':
        this.#parts.front.watchers.remove(message.id)
        break
      case 'drill':
        this.#drill.set(message.target, message.ms)
        break
      case 'echo':
        this.#post({ type: 'echo', id: message.id })
        break
      case 'drain':
        void this.#drain(message.deadline)
        break
    }
    this.#parts.io.wake()
  }

  #route(snapshot: Snapshot): void {
    const { front, listeners, resolver } = this.#parts
    resolver.take(snapshot)
    this.#drill.update()
    front.allow = new Allow(snapshot.allow)
    front.otherZone = snapshot.labels.length - 1
    listeners.begin()
  }

  #turn(now: number, seen: number): number {
    try {
      this.#orders.work()
      if (this.#orders.pending) this.#parts.io.wake()
      if (this.#parts.front.endTurn()) this.#parts.io.wake()
      this.#housekeeping.look(now)
      return this.#parts.resolving.timers.run(seen) + seen - now
    } catch (er) {
      this.bugs.take(er)
      return 0
    }
  }

  async #drain(deadline: number): Promise<void> {
    this.#housekeeping.close()
    this.#drill.close()
    await drain(this.#parts, this.#after, deadline)
    this.#exchanges.close()
    this.#paths.close()
    this.#parts.io.close()
    this.#post({ type: 'drained' })
  }
}
