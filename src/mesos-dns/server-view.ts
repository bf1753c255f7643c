/**
 * The server's view of itself, in the agent's form: metrics, health, status and the status page. http.ts serves them
 * beside Mesos-DNS's own API.
 */
import { hostname } from 'node:os'
import { judge, type Health, type Reason } from '../boundary/health.ts'
import { countersOver } from '../boundary/counters.ts'
import type { DataStatus, Endpoint, Snapshot } from '../boundary/messages.ts'
import { showUpstream } from '../config/address.ts'
import { MESOS_FAMILIES, type MesosReadings } from '../control/mesos/mesos-metrics.ts'
import type { DataThread } from '../daemon/data-thread-host.ts'
import { DataWatch } from '../daemon/data-watch.ts'
import { Readiness } from '../daemon/readiness.ts'
import type { Route } from '../http/route.ts'
import { pidEndpoint, type MesosState } from '../mesos/api/model.ts'
import { createMetrics, serverLabel, type MainReadings } from '../ops/metrics.ts'
import { opsRoutes } from '../ops/ops-routes.ts'
import { Recent } from '../ops/recent.ts'
import { gatherStatus, type Status } from '../ops/status.ts'
import type { Follower } from './follower.ts'
import { SERVER_FAMILIES } from './server-metrics.ts'
import type { Settings } from './settings.ts'

/** Reloads of the program, which outlive its servers. */
export type Reloads = { readonly reloads: number; readonly refused: number; readonly error: string }

export type ServerViewOptions = {
  readonly settings: Settings
  readonly version: string
  readonly counters: SharedArrayBuffer
  readonly thread: DataThread | undefined
  readonly snapshot: Snapshot
  readonly listen: readonly Endpoint[]
  readonly reloads: () => Reloads
  readonly follower: () => Follower['status']
  readonly state: () => MesosState | undefined
  readonly names: () => number
  readonly problems: () => number
  readonly masters: () => { readonly list: readonly string[]; readonly leader: string }
}

/** A master that is streamed has a heartbeat every 15 s; a state of this age is one to look at. */
const OLD_MS = 120_000

/** The status of a data thread, where DNS is off and there is none. */
const NO_DNS: DataStatus = {
  io: 'dgram',
  snapshot: 0,
  listening: [],
  cache: { entries: 0, bytes: 0, maxBytes: 0 },
  inFlight: 0,
  tcpConnections: 0,
  upstreams: [],
  zones: [],
  top: [],
}

const upstreamsOf = ({ forward, rest }: Snapshot): { slot: number; name: string }[] =>
  [...forward, rest].flatMap(route =>
    route.kind === 'forward'
      ? route.upstreams.map(to => ({ slot: to.slot, name: showUpstream(to) }))
      : [],
  )

export class ServerView {
  /** Asks each address for the leader, as a client would. */
  readonly readiness: Readiness
  readonly routes: readonly Route[]
  readonly #options: ServerViewOptions
  readonly #startedAt = Date.now()
  readonly #recent: Recent
  readonly #data: DataWatch

  constructor(options: ServerViewOptions) {
    this.#options = options
    const counters = countersOver(options.counters)
    this.readiness = new Readiness(options.listen, {
      watchdogMs: 0,
      onReady: () => {},
      onAnswer: () => {},
      question: `leader.${options.settings.domain}`,
    })
    this.#recent = new Recent(counters, performance.now(), {
      cells: () => ({
        servers: options.listen.length,
        zones: options.snapshot.labels.length,
        own: -1,
      }),
    })
    this.#data = new DataWatch({
      recent: this.#recent,
      ask: async () => options.thread?.status() ?? NO_DNS,
      answeredAt: () => this.readiness.answeredAt,
    })
    const metrics = createMetrics({
      prefix: 'spartan_',
      counters,
      servers: options.listen.map(({ address, port }) => serverLabel(address, port)),
      zones: () => options.snapshot.labels,
      upstreams: () => upstreamsOf(options.snapshot),
      version: options.version,
      loopLag: () => this.#data.loopLag.take(),
      refresh: () => this.#data.look(),
      extra: () => this.#readings(),
    })
    metrics.register(MESOS_FAMILIES, () => this.#mesos())
    metrics.register(SERVER_FAMILIES, () => ({
      names: options.names(),
      unpublished: options.problems(),
      zooKeeper: options.settings.zk === '' ? undefined : options.masters().leader !== '',
    }))
    this.routes = opsRoutes({
      metrics,
      health: () => this.health(),
      status: () => this.status(),
      history: () =>
        this.#recent.history(Date.now(), performance.now(), upstreamsOf(options.snapshot)),
    })
  }

  /** Begins to look, when the server listens. */
  start(): void {
    this.#data.start()
    if (this.#options.settings.dnsOn) this.readiness.start()
  }

  close(): void {
    this.#data.close()
    this.readiness.close()
  }

  async health(): Promise<Health> {
    await this.#data.look()
    return this.#judge()
  }

  #judge(): Health {
    return judge({
      listen: this.readiness.listen,
      data: this.#data.status,
      silence: this.#data.silence,
      selfQueries: this.readiness.latest,
      stopping: false,
      reloadError: this.#options.reloads().error,
      masters: undefined,
      notes: this.#notes(),
    })
  }

  status(): Promise<Status> {
    const { settings, version, snapshot, reloads, masters, follower } = this.#options
    const { base, trouble } = follower()
    return gatherStatus(
      {
        node: hostname(),
        version,
        startedAt: this.#startedAt,
        data: () => this.#data.look(),
        health: () => this.#judge(),
        config: () => ({
          file: settings.file,
          loadedAt: this.#startedAt,
          error: reloads().error,
          needsRestart: [],
        }),
        parts: () => [],
        snapshot: () => ({ number: snapshot.number, at: this.#startedAt }),
        listen: () => this.readiness.addresses(),
        masters: () => ({
          source: settings.zk === '' ? 'static' : 'zk',
          from: base,
          list: masters().list.map(master => {
            const { host = master, port = 0 } = pidEndpoint(master) ?? {}
            return { address: host, port }
          }),
          at: this.#heardAt(),
          error: trouble,
          kept: false,
        }),
        routes: () => [],
        zones: () => [{ apex: settings.domain, at: this.#heardAt(), source: 'masters' }],
        gossip: () => undefined,
        mesos: () => undefined,
        vips: () => undefined,
        recent: this.#recent,
        events: { list: () => [] },
      },
      Date.now(),
      performance.now(),
    )
  }

  /** When a master last said anything, Unix milliseconds; 0 for never. */
  #heardAt(): number {
    const { heardAt } = this.#options.follower().counts
    return heardAt === undefined ? 0 : Date.now() - (performance.now() - heardAt)
  }

  #notes(): Reason[] {
    const { follower, problems, settings } = this.#options
    const { trouble, counts } = follower()
    const notes: Reason[] = []
    const silentMs = performance.now() - (counts.heardAt ?? performance.now())
    if (trouble !== '') notes.push({ name: 'Mesos master', detail: trouble })
    else if (silentMs > Math.max(OLD_MS, 3 * settings.refreshMs))
      notes.push({ name: 'Mesos master', detail: `silent for ${Math.round(silentMs / 1000)} s` })
    if (problems() > 0)
      notes.push({ name: settings.domain, detail: `${problems()} names cannot be published` })
    return notes
  }

  #mesos(): MesosReadings {
    const { masters, state, missingAgents, holds } = this.#options.follower()
    const known = this.#options.state()
    return {
      masters,
      hearing: state === 'streaming' || state === 'polling',
      holds,
      missingAgents,
      tasks: known?.tasks.size ?? 0,
      agents: known?.agents.size ?? 0,
      now: performance.now(),
    }
  }

  #readings(): MainReadings {
    const { reloads, masters } = this.#options
    const { ready, degraded } = this.#judge()
    return {
      ready,
      degraded,
      masters: { count: masters().list.length, at: this.#heardAt() / 1000 },
      parts: [],
      needsRestart: 0,
      reloads: reloads().reloads,
      reloadsFailed: reloads().refused,
      selfQueriesFailed: this.readiness.failed,
      data: this.#data.status,
    }
  }
}
