/**
 * The data plane: wires listeners, cache and resolver together and does what
 * the main thread says. This is the only file that knows both the hot path
 * and the patient one; each is handed the functions it calls.
 */
import { randomBytes, randomFillSync } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import type { DataStatus, DataThreadStart, Down, Up, UpstreamSpec } from './boundary.ts'
import { codeOf, messageOf } from './error.ts'
import { dumpCache, restoreCache } from './cache-file.ts'
import { Allow } from './fast/allow.ts'
import { countersOver, SLOT } from './fast/counters.ts'
import { FAILURE, POSITIVE, type Entry } from './fast/entry.ts'
import { PacketCache, seedHash } from './fast/packet-cache.ts'
import { Front, type FrontMeans } from './front.ts'
import { createPacketIO } from './io/io.ts'
import type { PacketIO, Peer, UdpSocket } from './io/packet-io.ts'
import { listenTcp, type TcpListener } from './listen/tcp.ts'
import { silent } from './log.ts'
import { Exchanges, type Random16 } from './resolve/exchange.ts'
import { Resolver } from './resolve/resolver.ts'
import { Router } from './resolve/router.ts'
import { plainQuery } from './resolve/question.ts'
import { Race, type Watch } from './resolve/race.ts'
import { StreamUpstream } from './resolve/stream.ts'
import { compatReply } from './mesos-dns/compat-wire.ts'
import { Timers, type Timed } from './resolve/timers.ts'
import { upstreamCounts } from './resolve/upstream-counts.ts'
import type { Upstream } from './resolve/upstream.ts'
import { Zones } from './resolve/zones.ts'
import { typeName } from './wire/codes.ts'
import { HEADER } from './wire/header.ts'
import { foldedText, nameText, nameWire } from './wire/name.ts'

/** What the thread's rim hands in. */
export type DataPlaneMeans = {
  readonly post: (message: Up) => void
  /** DNS over HTTPS: one POST of a message, its response. */
  readonly overHttps: (url: string, question: Buffer, signal: AbortSignal) => Promise<Buffer>
}

/** How often a missing address is tried again. */
const REBIND_MS = 1_000
const HOUSEKEEPING_MS = 250
/** A half frame may take this long (RFC 7766 §6.1: a message in pieces is legal, holding a slot is not). */
const HALF_FRAME_MS = 4_000
const MAX_WRITE_BUFFER = 256 * 1024
const MAX_PER_CONNECTION = 256

type Listening = {
  readonly address: string
  /** As configured; 0 until a free one was found. */
  port: number
  readonly server: number
  udp: UdpSocket | undefined
  tcp: TcpListener | undefined
  error: string
}

export class DataPlane {
  readonly #start: DataThreadStart
  readonly #means: DataPlaneMeans
  readonly #io: PacketIO
  readonly #counters: Float64Array
  readonly #timers = new Timers()
  readonly #zones = new Zones()
  readonly #cache: PacketCache
  readonly #exchanges: Exchanges
  readonly #resolver: Resolver
  readonly #front: Front
  readonly #listening: Listening[]
  readonly #streams = new Map<string, StreamUpstream>()
  readonly #peers = new Map<string, Peer>()
  readonly #random: Random16 = random16()
  readonly #raceMeans: ConstructorParameters<typeof Resolver>[1]
  #binding = false
  #draining = false

  static async create(start: DataThreadStart, means: DataPlaneMeans): Promise<DataPlane> {
    const log = {
      ...silent,
      warn: (msg: string, fields = {}) => means.post({ type: 'log', level: 'warn', msg, fields }),
    }
    const { io, reason } = await createPacketIO({ io: start.io, log })
    means.post({ type: 'log', level: 'info', msg: 'packet i/o', fields: { body: io.body, reason } })
    const plane = new DataPlane(start, means, io)
    await plane.#exchanges.open(4)
    return plane
  }

  private constructor(start: DataThreadStart, means: DataPlaneMeans, io: PacketIO) {
    this.#start = start
    this.#means = means
    this.#io = io
    const counters = (this.#counters = countersOver(start.counters))
    seedHash(randomBytes(4).readInt32LE())
    this.#cache = new PacketCache(start.cache, kind => {
      counters[kind === POSITIVE ? SLOT.evictionsSuccess : SLOT.evictionsDenial]! += 1
    })
    this.#exchanges = new Exchanges(io, this.#random, counters)
    const tell = (level: 'info' | 'warn', msg: string, fields: Record<string, unknown>): void =>
      means.post({ type: 'log', level, msg, fields })
    this.#raceMeans = {
      exchanges: this.#exchanges,
      timers: this.#timers,
      rules: start.race,
      overTcp: (upstream, question, signal) => this.#overStream(upstream, question, signal),
      overStream: (upstream, question, signal) => this.#overStream(upstream, question, signal),
      peerOf: upstream => this.#peerOf(upstream),
      counts: upstreamCounts(counters, tell),
      now: () => io.now(),
      cache: this.#cache,
      counters,
      zones: this.#zones,
      clamps: start.cache,
      maxInFlight: start.maxInFlight,
      epoch: () => this.#front.epoch,
    }
    this.#resolver = new Resolver(new Router(EMPTY), this.#raceMeans)
    const own = ownAddresses(start)
    this.#front = new Front(new Allow([]), {
      cache: this.#cache,
      counters,
      resolver: this.#resolver,
      node: start.node,
      identity: start.identity,
      tcpIdleMs: start.tcp.idle,
      isOurs: peer => this.#exchanges.isOwnPort(peer.port) && own.has(peer.address),
      now: () => io.now(),
      clock: () => performance.now(),
      onBug: er => this.#bug(er),
      bypass: this.#compat(),
    })
    this.#listening = start.listen.map(({ address, port }, server) => ({
      address,
      port,
      server,
      udp: undefined,
      tcp: undefined,
      error: '',
    }))
    io.start(now => this.#turn(now))
    this.#every(HOUSEKEEPING_MS, now => this.#housekeeping(now))
  }

  /** Does what the main thread says. */
  handle(message: Down): void {
    switch (message.type) {
      case 'snapshot':
        this.#resolver.router = new Router(message.snapshot, this.#resolver.router)
        this.#front.allow = new Allow(message.snapshot.allow)
        this.#front.otherZone = message.snapshot.labels.length - 1
        this.#front.epoch++
        if (!this.#binding) {
          this.#binding = true
          void this.#bind()
        }
        break
      case 'zone':
        if (this.#zones.apply(message)) this.#front.epoch++
        break
      case 'ask':
        this.#ask(message.id, Buffer.from(message.wire), message.trace)
        break
      case 'status':
        this.#means.post({ type: 'status', id: message.id, status: this.#status() })
        break
      case 'flush': {
        const gone = [...this.#below(message.name)]
        for (const entry of gone) this.#cache.delete(entry)
        this.#means.post({ type: 'flushed', id: message.id, count: gone.length })
        break
      }
      case 'entries':
        this.#entries(message.id, message.name, message.limit)
        break
      case 'dump':
        this.#means.post({
          type: 'dumped',
          id: message.id,
          bytes: dumpCache(this.#cache, this.#io.now(), Date.now()),
        })
        break
      case 'restore':
        this.#means.post({
          type: 'restored',
          id: message.id,
          count: restoreCache(
            message.bytes,
            this.#cache,
            this.#start.cache,
            this.#io.now(),
            Date.now(),
            this.#front.epoch,
            name => this.#originOf(name),
          ),
        })
        break
      case 'drain':
        void this.#drain(message.deadline)
        break
    }
    this.#io.wake()
  }

  #turn(now: number): number {
    try {
      return this.#timers.run(now)
    } catch (er) {
      this.#bug(er)
      return 0
    }
  }

  #bug(er: unknown): void {
    this.#counters[SLOT.internalErrors]! += 1
    this.#means.post({
      type: 'log',
      level: 'error',
      msg: 'internal error',
      fields: { err: messageOf(er), stack: er instanceof Error ? er.stack : undefined },
    })
  }

  // Listening: each address binds and reports on its own.

  async #bind(): Promise<void> {
    for (const one of this.#listening)
      if (!this.#draining && (!one.udp || !one.tcp)) await this.#bindOne(one)
    if (!this.#draining && this.#listening.some(one => !one.udp || !one.tcp)) {
      setTimeout(() => void this.#bind(), REBIND_MS).unref()
    }
  }

  async #bindOne(one: Listening): Promise<void> {
    const { post } = this.#means
    const before = one.error
    const inherited = (transport: 'udp' | 'tcp') =>
      this.#start.inherited.find(
        i => i.transport === transport && i.address === one.address && i.port === one.port,
      )?.fd
    let transport: 'udp' | 'tcp' = 'tcp'
    try {
      if (!one.tcp) {
        const fd = inherited('tcp')
        one.tcp = await listenTcp({
          address: one.address,
          port: one.port,
          ...(fd === undefined ? {} : { fd }),
          maxConnections: this.#start.tcp.maxConnections,
          idleMs: this.#start.tcp.idle,
          halfFrameMs: HALF_FRAME_MS,
          maxWriteBuffer: MAX_WRITE_BUFFER,
          maxInFlightPerConnection: MAX_PER_CONNECTION,
          now: () => performance.now(),
          onQuery: (wire, from, respond) => {
            this.#front.single(wire, from, one.server, respond)
            this.#io.wake()
          },
          onEvent: kind => this.#tcpEvent(kind),
        })
        const configured = one.port
        one.port = one.tcp.port
        if (configured !== 0)
          post({
            type: 'listening',
            address: one.address,
            port: one.port,
            transport,
            inherited: fd !== undefined,
          })
        else one.error = 'free port' // told below, once UDP has it too
      }
      transport = 'udp'
      if (!one.udp) {
        const fd = inherited('udp')
        one.udp = await this.#io.open({
          address: one.address,
          port: one.port,
          ...(fd === undefined ? {} : { fd }),
          onBatch: batch => this.#front.batch(batch, one.server),
        })
        if (one.error === 'free port')
          post({
            type: 'listening',
            address: one.address,
            port: one.port,
            transport: 'tcp',
            inherited: false,
          })
        post({
          type: 'listening',
          address: one.address,
          port: one.port,
          transport,
          inherited: fd !== undefined,
        })
      }
      one.error = ''
    } catch (er) {
      const errno = er instanceof Error && 'errno' in er ? String(er.errno) : codeOf(er)
      one.error = `${transport}: ${errno || messageOf(er)}`
      if (before !== one.error)
        post({
          type: 'bindFailed',
          address: one.address,
          port: one.port,
          transport,
          error: messageOf(er),
        })
    }
  }

  #tcpEvent(kind: 'accepted' | 'rejected' | 'idleClosed' | 'slowClosed' | 'closed'): void {
    const c = this.#counters
    if (kind === 'accepted') c[SLOT.tcpAccepted]! += 1
    else if (kind === 'rejected') c[SLOT.tcpRejected]! += 1
    else if (kind === 'idleClosed') c[SLOT.tcpIdleClosed]! += 1
    else if (kind === 'slowClosed') c[SLOT.tcpSlowClosed]! += 1
  }

  async #drain(deadline: number): Promise<void> {
    this.#draining = true
    const until = performance.now() + deadline
    // Descriptors that systemd holds keep queueing for the next process; ours answer until the end.
    await Promise.all(this.#listening.map(one => one.tcp?.drain(deadline)))
    while (this.#resolver.inFlight > 0 && performance.now() < until)
      await new Promise(resolve => setTimeout(resolve, 10))
    this.#resolver.close()
    this.#io.wake()
    await new Promise(resolve => setTimeout(resolve, 5))
    for (const one of this.#listening) one.udp?.close()
    this.#exchanges.close()
    for (const stream of this.#streams.values()) stream.close()
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

  // Upstreams.

  #peerOf(upstream: Upstream): Peer {
    const { spec } = upstream
    const known = this.#peers.get(upstream.name)
    if (known) return known
    const peer =
      spec.protocol === 'https'
        ? this.#io.peer('127.0.0.1', 9)
        : this.#io.peer(spec.address, spec.port)
    if (peer.family === 6) void this.#exchanges.open(6)
    this.#peers.set(upstream.name, peer)
    return peer
  }

  #overStream(upstream: Upstream, question: Buffer, signal: AbortSignal): Promise<Buffer> {
    const { spec } = upstream
    const limited = AbortSignal.any([signal, AbortSignal.timeout(this.#start.race.deadline)])
    if (spec.protocol === 'https') return this.#means.overHttps(spec.url, question, limited)
    let stream = this.#streams.get(upstream.name)
    if (!stream) {
      stream = new StreamUpstream(streamTarget(spec), this.#random)
      this.#streams.set(upstream.name, stream)
    }
    return stream.ask(question, limited)
  }

  /** Probes the dead, so that they come back although nobody asks for their names. */
  #probe(now: number): void {
    for (const route of this.#resolver.router.forwards()) {
      if (route.spec.kind !== 'forward') continue
      const question = PROBES[route.spec.ttl]
      for (const upstream of route.upstreams) {
        if (upstream.spec.protocol !== 'udp' || !upstream.takeProbe(now)) continue
        this.#raceMeans.counts.add(upstream.slot, 'probes')
        new Race(Buffer.from(question), [upstream], 1, this.#raceMeans, () => {}).start()
      }
    }
  }

  #housekeeping(now: number): void {
    this.#exchanges.sweep(now)
    this.#probe(now)
    const c = this.#counters
    c[SLOT.cacheEntries] = this.#cache.entries
    c[SLOT.cacheEntriesDenial] = this.#cache.denials
    c[SLOT.cacheBytes] = this.#cache.bytes
    c[SLOT.inFlight] = this.#resolver.inFlight
    c[SLOT.tcpConnections] = this.#listening.reduce((n, one) => n + (one.tcp?.connections ?? 0), 0)
    c[SLOT.droppedReceive] = this.#io.stats.receiveDropped
    c[SLOT.droppedSend] = this.#io.stats.sendDropped
    c[SLOT.receiveCalls] = this.#io.stats.receiveCalls
    c[SLOT.sendCalls] = this.#io.stats.sendCalls
  }

  #every(ms: number, work: (now: number) => void): void {
    const timed: Timed = {
      due: 0,
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
    this.#front.single(
      wire,
      undefined,
      0,
      response => {
        this.#means.post({ type: 'answer', id, wire: Uint8Array.from(response), trace: steps })
      },
      watch,
    )
  }

  *#below(name: string): Iterable<Entry> {
    const wanted = name.toLowerCase().replace(/\.$/, '')
    for (const entry of this.#cache.all()) {
      const text = foldedText(entry.block.chunk, entry.block.at + HEADER)
      if (wanted === '' || text === wanted || text.endsWith(`.${wanted}`)) yield entry
    }
  }

  #entries(id: number, name: string, limit: number): void {
    const now = this.#io.now()
    const { labels } = this.#resolver.router.snapshot
    const entries = []
    for (const entry of this.#below(name)) {
      if (entries.length >= limit) break
      entries.push({
        name: nameText(entry.block.chunk, entry.block.at + HEADER),
        type: typeName(entry.qtype),
        kind:
          entry.kind === POSITIVE
            ? ('positive' as const)
            : entry.kind === FAILURE
              ? ('failure' as const)
              : ('negative' as const),
        zone: labels[entry.zone] ?? 'other',
        ttl: Math.ceil((entry.expiresAt - now) / 1000),
        bytes: entry.size,
        hits: entry.hits,
      })
    }
    this.#means.post({ type: 'entries', id, entries })
  }

  #originOf(name: string): { source: number; zone: number } | undefined {
    const { spec } = this.#resolver.router.match(name)
    return spec.kind === 'forward' ? { source: spec.number, zone: spec.label } : undefined
  }

  #status(): DataStatus {
    const now = this.#io.now()
    return {
      io: this.#io.body,
      snapshot: this.#resolver.router.snapshot.number,
      listening: this.#listening.map(one => ({
        address: one.address,
        port: one.port,
        udp: one.udp !== undefined,
        tcp: one.tcp !== undefined,
        error: one.error,
      })),
      cache: {
        entries: this.#cache.entries,
        bytes: this.#cache.bytes,
        maxBytes: this.#start.cache.maxBytes,
      },
      inFlight: this.#resolver.inFlight,
      tcpConnections: this.#counters[SLOT.tcpConnections]!,
      upstreams: this.#resolver.router.upstreams().map(u => u.status(now)),
      zones: [...this.#zones.all()].map(z => ({
        apex: z.apex,
        names: z.names,
        number: z.number,
        loaded: z.loaded,
      })),
      top: this.#front.top(20).map(t => ({ ...t, type: typeName(Number(t.type)) })),
    }
  }
}

const EMPTY = {
  number: 0,
  own: [],
  forward: [],
  special: [],
  rest: { zone: '', label: 0, kind: 'special' as const },
  labels: ['other'],
  allow: [],
}

/** `leader.mesos` exists on every master that works; the root's NS set at every resolver. */
const PROBES = {
  cluster: plainQuery(nameWire('leader.mesos')!, 1),
  external: plainQuery(Buffer.of(0), 2),
}

const streamTarget = (spec: Exclude<UpstreamSpec, { protocol: 'https' }>) => ({
  address: spec.address,
  port: spec.port,
  tls: spec.protocol === 'tls',
  serverName: spec.protocol === 'tls' ? spec.serverName : undefined,
})

/** Addresses a query of our own could come back from. */
const ownAddresses = (start: DataThreadStart): ReadonlySet<string> =>
  new Set([
    ...start.listen.map(l => l.address),
    ...Object.values(networkInterfaces()).flatMap(all => (all ?? []).map(i => i.address)),
  ])

/** IDs from the system's random source, drawn 2,048 at a time: one call costs 2 µs. */
const random16 = (): Random16 => {
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
