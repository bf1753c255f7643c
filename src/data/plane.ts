/**
 * The data plane: wires listeners, cache and resolver together and does what
 * the main thread says. This is the only file that knows both the hot path
 * and the patient one; each is handed the functions it calls.
 */
import { randomBytes } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import type {
  DataStatus,
  DataThreadStart,
  Down,
  Settings,
  Snapshot,
  Up,
} from '../boundary/messages.ts'
import { messageOf } from '../base/error.ts'
import { Allow } from './serve/allow.ts'
import { countersOver, SLOT } from '../boundary/counters.ts'
import { POSITIVE } from './cache/entry.ts'
import { setHashKey } from './cache/hash.ts'
import { PacketCache } from './cache/packet-cache.ts'
import { Front, type FrontMeans } from './serve/front.ts'
import { createPacketIO } from './io/io.ts'
import type { PacketIO } from './io/packet-io.ts'
import { Listeners } from './serve/listeners.ts'
import { Orders, type AtOnce } from './orders.ts'
import { silent } from '../base/log.ts'
import { RealTime, schedulingOf } from './priority.ts'
import { compatReply } from './answer/compat-wire.ts'
import { Exchanges } from './upstream/exchange.ts'
import { Paths, random16, type OverHttps } from './upstream/paths.ts'
import { probe } from './forward/probes.ts'
import type { Watch } from './forward/race.ts'
import { Resolver, type ResolverContext } from './forward/resolver.ts'
import { Router } from './answer/router.ts'
import { Sources } from './answer/sources.ts'
import { Validity } from './cache/validity.ts'
import { Timers, type Timed } from './timers.ts'
import { upstreamCounts } from './upstream/upstream-counts.ts'
import { Zones } from './zones/zones.ts'
import { typeName } from '../wire/codes.ts'

/** What the thread's rim hands in. */
export type DataPlaneMeans = {
  readonly post: (message: Up, transfer?: readonly ArrayBuffer[]) => void
  readonly overHttps: OverHttps
}

const HOUSEKEEPING_MS = 250
/** What is sent when all is answered gets this long to leave. */
const LAST_SENDS_MS = 5
const TOP_NAMES = 20

/** Before the first Snapshot nothing is listened to, so nobody meets this. */
const EMPTY: Snapshot = {
  number: 0,
  own: [],
  forward: [],
  special: [],
  rest: { zone: '', label: 0, kind: 'special' },
  labels: ['other'],
  allow: [],
}

export class DataPlane {
  readonly #start: Adjustable
  readonly #means: DataPlaneMeans
  readonly #io: PacketIO
  readonly #counters: Float64Array
  readonly #timers = new Timers()
  readonly #zones = new Zones()
  readonly #cache: PacketCache
  readonly #validity: Validity
  readonly #exchanges: Exchanges
  readonly #paths: Paths
  readonly #context: ResolverContext
  readonly #resolver: Resolver
  readonly #front: Front
  readonly #listeners: Listeners
  #realTime: RealTime | undefined
  #toldRealTime = false
  #draining = false
  readonly #orders: Orders

  static async create(start: DataThreadStart, means: DataPlaneMeans): Promise<DataPlane> {
    const log = {
      ...silent,
      warn: (msg: string, fields = {}) => means.post({ type: 'log', level: 'warn', msg, fields }),
    }
    const { io, reason, libc } = await createPacketIO({ io: start.io, spin: true, log })
    means.post({ type: 'log', level: 'info', msg: 'packet i/o', fields: { body: io.body, reason } })
    const plane = new DataPlane(start, means, io)
    if (libc) plane.#realTime = new RealTime(schedulingOf(libc))
    await plane.#exchanges.open(4)
    return plane
  }

  private constructor(given: DataThreadStart, means: DataPlaneMeans, io: PacketIO) {
    const start = (this.#start = adjustable(given))
    this.#means = means
    this.#io = io
    const counters = (this.#counters = countersOver(start.counters))
    const random = random16()
    const key = randomBytes(8)
    setHashKey(key.readInt32LE(), key.readInt32LE(4))
    this.#cache = new PacketCache(start.cache, kind => {
      counters[kind === POSITIVE ? SLOT.evictionsSuccess : SLOT.evictionsDenial]! += 1
    })
    const sources = new Sources(new Router(EMPTY), this.#zones)
    this.#validity = new Validity(entry => sources.ofEntry(entry))
    const exchanges = (this.#exchanges = new Exchanges(io, random, counters))
    const paths = (this.#paths = new Paths(
      io,
      random,
      means.overHttps,
      () => void exchanges.open(6),
    ))
    this.#context = {
      exchanges,
      timers: this.#timers,
      rules: start.race,
      overStream: (upstream, question, signal, fresh) =>
        paths.ask(upstream, question, signal, fresh),
      lingering: { count: 0 },
      peerOf: upstream => paths.peerOf(upstream),
      counts: upstreamCounts(counters, (level, msg, fields) =>
        means.post({ type: 'log', level, msg, fields }),
      ),
      now: () => io.now(),
      cache: this.#cache,
      validity: this.#validity,
      sources,
      counters,
      zones: this.#zones,
      clamps: start.cache,
      get maxInFlight() {
        return start.maxInFlight
      },
    }
    this.#resolver = new Resolver(this.#context)
    const own = ownAddresses(start)
    this.#front = new Front(new Allow([]), {
      cache: this.#cache,
      validity: this.#validity,
      counters,
      resolver: this.#resolver,
      node: start.node,
      get identity() {
        return start.identity
      },
      get tcpIdleMs() {
        return start.tcp.idle
      },
      isOurs: peer => exchanges.isOwnPort(peer.port) && own.has(peer.address),
      now: () => io.now(),
      clock: () => performance.now(),
      onBug: er => this.#bug(er),
      bypass: this.#compat(),
    })
    this.#listeners = new Listeners(start, { io, front: this.#front, counters, post: means.post })
    this.#orders = new Orders({
      cache: this.#cache,
      zones: this.#zones,
      validity: this.#validity,
      clamps: start.cache,
      now: () => io.now(),
      originOf: name => {
        const { spec } = this.#resolver.router.match(name)
        return spec.kind === 'forward' ? { source: spec.number, zone: spec.label } : undefined
      },
      labels: () => this.#resolver.router.snapshot.labels,
      post: means.post,
      atOnce: message => this.#atOnce(message),
    })
    io.start((now, seen) => this.#turn(now, seen))
    this.#every(HOUSEKEEPING_MS, now => this.#housekeeping(now))
  }

  /** Will do what the main thread says, in the turns that follow and in order. */
  handle(message: Down): void {
    this.#orders.add(message)
    this.#io.wake()
  }

  #atOnce(message: AtOnce): void {
    const { post } = this.#means
    switch (message.type) {
      case 'snapshot':
        this.#take(message.snapshot)
        break
      case 'settings':
        this.#adjust(message.settings)
        break
      case 'ask':
        this.#ask(message.id, Buffer.from(message.wire), message.trace)
        break
      case 'status':
        post({ type: 'status', id: message.id, status: this.#status() })
        break
      case 'echo':
        post({ type: 'echo', id: message.id })
        break
      case 'drain':
        void this.#drain(message.deadline)
        break
    }
    this.#io.wake()
  }

  #take(snapshot: Snapshot): void {
    this.#resolver.take(snapshot)
    this.#front.allow = new Allow(snapshot.allow)
    this.#front.otherZone = snapshot.labels.length - 1
    this.#listeners.begin()
  }

  /** Whoever reads a setting reads it from these objects each time it is used. */
  #adjust({ cache, tcp, race, ...rest }: Settings): void {
    Object.assign(this.#start.cache, cache)
    Object.assign(this.#start.tcp, tcp)
    Object.assign(this.#start.race, race)
    Object.assign(this.#start, rest)
  }

  #turn(now: number, seen: number): number {
    try {
      this.#orders.work()
      if (this.#orders.pending) this.#io.wake()
      return this.#timers.run(seen) + seen - now
    } catch (er) {
      this.#bug(er)
      return 0
    }
  }

  #bug(er: unknown): void {
    this.#counters[SLOT.internalErrors]! += 1
    const stack = er instanceof Error ? er.stack : undefined
    this.#means.post({
      type: 'log',
      level: 'error',
      msg: 'internal error',
      fields: { err: messageOf(er), stack },
    })
  }

  async #drain(deadline: number): Promise<void> {
    this.#draining = true
    const until = performance.now() + deadline
    await this.#listeners.drain(deadline)
    while (this.#resolver.inFlight > 0 && performance.now() < until) await pause(10)
    this.#resolver.close()
    this.#io.wake()
    await pause(LAST_SENDS_MS)
    // Descriptors that systemd holds too keep queueing for the next process.
    this.#listeners.close()
    this.#exchanges.close()
    this.#paths.close()
    this.#io.close()
    this.#means.post({ type: 'drained' })
  }

  /** Mesos-DNS's own behaviour for one zone, where the configuration wants it. */
  #compat(): FrontMeans['bypass'] {
    const { compat } = this.#start
    if (!compat) return undefined
    return (query, transport) => {
      const zone = this.#zones.get(compat.apex)
      return zone?.loaded ? compatReply(query, transport, zone, compat, Math.random) : 'outside'
    }
  }

  #housekeeping(now: number): void {
    if (this.#realTime?.look(now) && !this.#toldRealTime) {
      this.#toldRealTime = true
      const msg = 'the thread that answers runs in real time while it has little to do'
      this.#means.post({ type: 'log', level: 'info', msg, fields: {} })
    }
    this.#exchanges.sweep(now)
    probe(this.#resolver.router.forwards(), this.#context, now)
    const c = this.#counters
    const { stats } = this.#io
    c[SLOT.cacheEntries] = this.#cache.entries
    c[SLOT.cacheEntriesDenial] = this.#cache.denials
    c[SLOT.cacheBytes] = this.#cache.bytes
    c[SLOT.inFlight] = this.#resolver.inFlight
    c[SLOT.tcpConnections] = this.#listeners.tcpConnections
    c[SLOT.droppedReceive] = stats.receiveDropped
    c[SLOT.droppedSend] = stats.sendDropped
    c[SLOT.receiveCalls] = stats.receiveCalls
    c[SLOT.sendCalls] = stats.sendCalls
  }

  #every(ms: number, work: (now: number) => void): void {
    const timed: Timed = {
      due: 0,
      place: -1,
      fire: now => {
        if (this.#draining) return
        this.#timers.schedule(timed, now + ms)
        work(now)
      },
    }
    this.#timers.schedule(timed, this.#io.now() + ms)
  }

  // What operators ask.

  #ask(id: number, wire: Buffer, trace: boolean): void {
    const startedAt = performance.now()
    const steps: { atMs: number; step: string; detail: string }[] = []
    const watch: Watch | undefined = trace
      ? (step, detail) => void steps.push({ atMs: performance.now() - startedAt, step, detail })
      : undefined
    const respond = (response: Uint8Array): void =>
      this.#means.post({ type: 'answer', id, wire: Uint8Array.from(response), trace: steps })
    this.#front.single(wire, undefined, 0, respond, watch)
  }

  #status(): DataStatus {
    const now = this.#io.now()
    const { router, inFlight } = this.#resolver
    return {
      io: this.#io.body,
      snapshot: router.snapshot.number,
      listening: this.#listeners.status,
      cache: {
        entries: this.#cache.entries,
        bytes: this.#cache.bytes,
        maxBytes: this.#start.cache.maxBytes,
      },
      inFlight,
      tcpConnections: this.#listeners.tcpConnections,
      upstreams: router.upstreams().map(u => u.status(now, Date.now())),
      zones: [...this.#zones.all()].map(({ apex, names, number, loaded }) => ({
        apex,
        names,
        number,
        loaded,
      })),
      top: this.#front.top(TOP_NAMES).map(t => ({ ...t, type: typeName(t.type) })),
    }
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
/** The start, with copies of what a `settings` message changes. */
type Adjustable = Mutable<DataThreadStart>

const adjustable = (start: DataThreadStart): Adjustable => ({
  ...start,
  cache: { ...start.cache },
  tcp: { ...start.tcp },
  race: { ...start.race },
})

/** Addresses a query of our own could come back from. */
const ownAddresses = (start: DataThreadStart): ReadonlySet<string> =>
  new Set([
    ...start.listen.map(l => l.address),
    ...Object.values(networkInterfaces()).flatMap(all => (all ?? []).map(i => i.address)),
  ])

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
