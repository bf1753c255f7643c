/**
 * The control plane: turns configuration, masters, Mesos, VIP sources and
 * gossip into snapshots and local zones for the data thread. It only ever
 * adds knowledge: whatever fails here, the last good state keeps answering.
 */
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { showEndpoint, type Config } from '../config/config.ts'
import type { Endpoint, Snapshot, ZoneMessage } from '../boundary/messages.ts'
import {
  APEX,
  localhostZone,
  reverseZones,
  spartanZone,
  staticZone,
  thisnodeZone,
  zkZone,
} from './zones/local-zones.ts'
import { HostWatch } from './host/host-watch.ts'
import { Http } from '../http/client.ts'
import { Masters } from './masters/masters.ts'
import { SnapshotBuilder } from './zones/snapshot.ts'
import type { ZoneChange, ZoneMap } from '../boundary/zone.ts'
import { ZoneGathering } from './zones/zone-gathering.ts'
import { ZonePublisher } from './zones/zone-publisher.ts'
import { MESOS_COPY_APEX, mesosCopy } from './mesos/mesos-copy.ts'
import { masterUrl } from '../mesos/api/master-url.ts'
import { DCOS_APEX, MesosSource } from '../mesos/api/source.ts'
import { readRoutes } from './zones/read-routes.ts'
import { Gossip } from '../gossip/service.ts'
import { GOSSIP_FAMILIES } from './sharing/gossip-metrics.ts'
import { gossipRoutes } from './sharing/gossip-routes.ts'
import { mayShare, Shared } from './sharing/shared.ts'
import { L4LB_APEX } from '../vip/record.ts'
import { Balancing, type BalanceStatus } from './vips/balancing.ts'
import { BALANCE_FAMILIES } from './vips/balance-metrics.ts'
import { hostBalancers } from './vips/host-balancers.ts'
import { VipService } from './vips/service.ts'
import { DEFAULT_RANGE_V4, DEFAULT_RANGE_V6 } from '../vip/hash/vip-address.ts'
import { ownAddress6 } from './host/own-address.ts'
import { gossipView, routeViews, sourceTroubles } from './zones/views.ts'
import { isWildcard } from '../config/address.ts'
import { defaultAllow } from '../config/host.ts'
import { messageOf } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import type { Reason } from '../boundary/health.ts'
import type { Metrics } from '../ops/metrics.ts'
import type { Route } from '../http/route.ts'
import type { GossipStatus, MastersStatus, RouteStatus } from '../ops/status.ts'
import { version } from '../base/version.ts'

export type ControlMeans = {
  readonly log: Log
  readonly random: () => number
  readonly send: (message: ZoneMessage | { type: 'snapshot'; snapshot: Snapshot }) => void
  /** When the data thread has done what it was sent. */
  readonly caughtUp: () => Promise<void>
  /** Addresses of a name, asked of this daemon itself. */
  readonly resolve: (name: string) => Promise<string[]>
  /** Where other hosts reach this one, '' while that is nowhere. */
  readonly ownAddress: () => string
  /** Networks attached to this host, as CIDR. */
  readonly attached: () => readonly string[]
}

/** Zones fed from outside: what tasks, VIPs and Mesos-DNS say. */
const FED = [L4LB_APEX, DCOS_APEX, MESOS_COPY_APEX]
/** Those of them that one node makes for all. */
const SHARED = [DCOS_APEX, MESOS_COPY_APEX]
/** As the configuration's default, for nodes that only hear of VIPs. */
const VIP_GRACE_MS = 30_000
/** As often as dcos-net refreshed its facts of a node. */
const NODE_FACTS_MS = 30 * 60_000
const REJOIN_MS = 5_000

export class ControlPlane {
  readonly zones: ZonePublisher
  readonly #means: ControlMeans
  readonly #builder = new SnapshotBuilder()
  readonly #at = new Map<string, { at: number; source: string }>()
  #config: Config
  #masters: Masters | undefined
  #vips: VipService | undefined
  readonly #balancing: Balancing
  #mesos: MesosSource | undefined
  #gossip: Gossip | undefined
  #shared: Shared | undefined
  #snapshot: Snapshot | undefined
  #snapshotAt = 0
  #mastersAt = 0
  #host: HostWatch | undefined
  #facts: NodeJS.Timeout | undefined
  /** Who may ask, now. */
  #allow: readonly string[]
  readonly #http = new Http()
  readonly #forOthers = new ZoneGathering({
    publish: (apex, change) => this.#share(apex, change),
    now: () => performance.now(),
  })
  /** Listen addresses as they were bound. */
  #listen: readonly Endpoint[]

  constructor(config: Config, listen: readonly Endpoint[], means: ControlMeans) {
    this.#config = config
    this.#listen = listen
    this.#means = means
    this.#allow = config.allow
    this.#balancing = new Balancing({
      log: means.log.child({ part: 'vips' }),
      host: () => {
        const { range = DEFAULT_RANGE_V4, range6 = DEFAULT_RANGE_V6 } = this.#config.vips ?? {}
        return hostBalancers([range, range6])
      },
      now: () => performance.now(),
    })
    this.zones = new ZonePublisher({
      send: means.send,
      now: Date.now,
      breathe: means.caughtUp,
    })
  }

  /** Publishes what is known at once and starts to learn the rest. */
  start(): void {
    this.#builtIn()
    this.#startGossip()
    this.#startMasters()
    this.#startVips()
    this.#startMesos()
    this.#publish()
    this.#host = this.#watchHost()
    this.#facts = setInterval(() => this.#tellFacts(), NODE_FACTS_MS).unref()
  }

  /** Another configuration; listeners, cache and counters are not its business. */
  reload(config: Config): void {
    const before = this.#config
    const changed = (key: 'masters' | 'vips' | 'mesos'): boolean =>
      JSON.stringify(config[key]) !== JSON.stringify(before[key])
    for (const label of Object.keys(this.#config.zones))
      if (!(label in config.zones)) this.zones.remove(`${label}.${APEX}`)
    this.#config = config
    this.#allow = config.allow
    this.#host?.reloaded(config.allow)
    this.#builtIn()
    if (changed('masters')) this.#startMasters()
    if (changed('vips')) this.#startVips()
    if (changed('mesos')) this.#startMesos()
    if (!config.vips && !config.gossip) this.#empty(L4LB_APEX)
    if (!config.mesos && !config.gossip) for (const apex of SHARED) this.#empty(apex)
    this.#publish()
  }

  get snapshot():
    { number: number; at: number; labels: readonly string[]; routes: Snapshot } | undefined {
    return (
      this.#snapshot && {
        number: this.#snapshot.number,
        at: this.#snapshotAt,
        labels: this.#snapshot.labels,
        routes: this.#snapshot,
      }
    )
  }

  get upstreams(): { slot: number; name: string }[] {
    return this.#builder.upstreams
  }

  /** What is known of the masters; undefined when this cluster has none. */
  mastersStatus(): MastersStatus | undefined {
    const from = this.#config.masters
    const status = this.#masters?.status
    if (!from || !status) return undefined
    const { source } = from
    return {
      source,
      from: source === 'static' ? '' : source === 'dns' ? from.name : from[source],
      list: status.masters,
      at: this.#mastersAt,
      error: status.trouble,
      kept: status.origin === 'disk',
    }
  }

  /** Configured routes in order of decision. */
  routeList(): RouteStatus[] {
    return this.#snapshot ? routeViews(this.#snapshot) : []
  }

  /** Trouble that only the parts know of. */
  notes(): Reason[] {
    const { trouble } = this.#balancing
    return [
      ...sourceTroubles(this.#vips?.status, this.#mesos?.status),
      ...(this.#vips && trouble !== '' ? [{ name: 'VIPs', detail: trouble }] : []),
    ]
  }

  balanceStatus(): BalanceStatus | undefined {
    return this.#vips && this.#balancing.status
  }

  gossipStatus(): GossipStatus | undefined {
    return this.#gossip && gossipView(this.#gossip)
  }

  /** Read APIs over what is published. */
  routes(): Route[] {
    const nodes = () =>
      (this.#shared?.nodes() ?? []).map(n => ({
        private_ip: n.ip,
        public_ips: n.publicIps,
        hostname: n.hostname,
        updated: n.updated,
      }))
    return [
      ...readRoutes({ zones: this.zones, vips: () => this.#vips?.vips ?? [], nodes }),
      ...gossipRoutes(() => this.#gossip),
      ...this.#balancing.routes(),
    ]
  }

  register(metrics: Metrics): void {
    metrics.register(GOSSIP_FAMILIES, () => this.#gossip)
    metrics.register(BALANCE_FAMILIES, () => this.#balancing)
  }

  /** Who fed each local zone, and when. */
  zoneSources(): { apex: string; at: number; source: string }[] {
    return [...this.#at].map(([apex, facts]) => ({ apex, ...facts }))
  }

  async close(): Promise<void> {
    const gossip = this.#gossip
    // it must not try to join once more
    this.#gossip = undefined
    this.zones.close()
    this.#host?.close()
    clearInterval(this.#facts)
    this.#balancing.close()
    this.#forOthers.close()
    this.#shared?.close()
    await Promise.all([
      this.#masters?.close(),
      this.#vips?.close(),
      this.#mesos?.close(),
      gossip?.close(),
    ])
    await this.#http.close()
  }

  #builtIn(): void {
    const { zones } = this.#config
    const listen = this.#listen.map(l => l.address)
    this.#zone('spartan', spartanZone(listen))
    this.#zone('localhost', localhostZone())
    this.#zone(APEX, new Map())
    this.#thisnode()
    for (const [apex, zone] of reverseZones(this.#listen)) this.#zone(apex, zone)
    for (const [label, names] of Object.entries(zones))
      this.#zone(`${label}.${APEX}`, staticZone(label, names))
    // Without a source nothing will ever come: an unknown name there does not exist.
    const { vips, mesos, gossip } = this.#config
    const awaited = new Set([
      ...(vips || gossip ? [L4LB_APEX] : []),
      ...(mesos || gossip ? [DCOS_APEX, MESOS_COPY_APEX] : []),
    ])
    for (const apex of FED) this.zones.open(apex, {}, !awaited.has(apex))
    if (this.#config.masters) this.zones.open('zk')
    else this.#zone('zk', zkZone([]))
  }

  #thisnode(): void {
    this.#zone(`thisnode.${APEX}`, thisnodeZone(this.#ownIp()))
  }

  /** Whatever names this host by its address follows it, and so does who may ask by default. */
  #watchHost(): HostWatch {
    return new HostWatch(
      {
        address: () => this.#ownIp(),
        allow: () =>
          this.#config.allowAttached ? defaultAllow(this.#means.attached()) : undefined,
        onAddress: () => {
          this.#thisnode()
          this.#tellFacts()
        },
        onAllow: allow => {
          this.#means.log.info('other networks are attached, who may ask follows', { allow })
          this.#allow = allow
          this.#publish()
        },
      },
      this.#allow,
    )
  }

  #zone(apex: string, zone: ZoneMap, source = 'built-in'): void {
    this.zones.publish(apex, { kind: 'full', zone })
    this.#at.set(apex, { at: Date.now(), source })
  }

  #startMasters(): void {
    void this.#masters?.close()
    this.#masters = undefined
    const { masters, stateDir } = this.#config
    if (!masters) return
    this.#masters = new Masters({
      from: { ...masters, addresses: masters.addresses.map(m => showEndpoint(m)) },
      refreshMs: masters.refresh,
      retryMs: masters.retry,
      random: this.#means.random,
      stateDir,
      log: this.#means.log.child({ part: 'masters' }),
      http: this.#http,
      resolve: this.#means.resolve,
      onChange: list => {
        this.#mastersAt = Date.now()
        this.#zone('zk', zkZone(list.map(m => m.address)), 'masters')
        this.#mesos?.mastersChanged()
        this.#publish()
      },
    })
    void this.#masters.start()
  }

  #startVips(): void {
    const remembered = this.#vips?.own
    void this.#vips?.close()
    this.#vips = undefined
    const { vips, node, gossip } = this.#config
    if (!vips && !gossip) return
    this.#balancing.configure(vips?.answer ?? 'auto')
    const service = new VipService({
      http: this.#http,
      log: this.#means.log.child({ part: 'vips' }),
      node,
      balancing: this.#balancing,
      agent: vips?.agent ?? '',
      // Mapped ports of this host's tasks are reached where the other nodes reach us.
      nodeIp: () => this.#ownIp(),
      nodeIp6: () => ownAddress6(this.#ownIp()),
      files: vips?.files ?? [],
      graceMs: vips?.grace ?? VIP_GRACE_MS,
      ipv6: vips?.enableIpv6 ?? true,
      ...(vips ? { range4: vips.range, range6: vips.range6 } : {}),
      ...(remembered ? { remembered } : {}),
      onOwn: records => this.#shared?.publishVips(records),
      onZone: (apex, change, loaded) =>
        this.#fed(apex, change, loaded, gossip ? 'gossip' : 'agent'),
      awaitSync: gossip !== undefined,
      now: () => performance.now(),
      random: this.#means.random,
    })
    this.#vips = service
    void this.#gossip?.synced.then(() => service.markSynced())
    void service.start().then(() => this.#shared?.refresh())
  }

  /** What this node makes of the leading master's state, for the others. */
  #share(apex: string, change: ZoneChange): void {
    if (change.kind === 'full' || this.#shared?.makes(apex))
      return this.#shared?.publishZone(apex, change)
    // Whoever begins to make a zone for the others gives them all of it.
    const zone = new Map([...(this.zones.zone(apex) ?? []), ...change.set])
    for (const name of change.drop) zone.delete(name)
    this.#shared?.publishZone(apex, { kind: 'full', zone })
  }

  #startMesos(): void {
    void this.#mesos?.close()
    this.#mesos = undefined
    const { mesos } = this.#config
    if (!mesos) return
    const masters = (): string[] => (this.#masters?.masters ?? []).map(m => m.address)
    this.#mesos = new MesosSource({
      http: this.#http,
      log: this.#means.log.child({ part: 'mesos' }),
      bases: () => [masterUrl(mesos.master, this.#ownIp())],
      masters,
      follow: !mesos.leaderOnly,
      onZone: (apex, change) => {
        this.#fed(apex, change, true, 'master')
        if (this.#shared) this.#forOthers.take(apex, change)
      },
      copies: [mesosCopy({ masters })],
      now: () => performance.now(),
      random: this.#means.random,
    })
    this.#mesos.start()
  }

  #startGossip(): void {
    const { gossip: config, node } = this.#config
    if (!config) return
    const log = this.#means.log.child({ part: 'gossip' })
    const gossip = new Gossip({
      config,
      ownAddress: this.#means.ownAddress,
      node,
      version: version(),
      log,
      now: () => performance.now(),
      random: this.#means.random,
      wallClock: Date.now,
      allow: mayShare(SHARED),
    })
    this.#gossip = gossip
    const shared = new Shared({
      records: {
        publish: (key, value) => gossip.publish(key, value),
        withdraw: key => gossip.withdraw(key),
        entries: kind => gossip.records.entries(kind),
        lookup: key => gossip.records.lookup(key),
        onChange: listener => gossip.records.onChange(listener),
      },
      node,
      apexes: SHARED,
      log,
      onVips: owners => this.#vips?.setOthers(owners),
      onZone: (apex, change) => this.#fed(apex, change, gossip.records.synced, 'gossip'),
      now: Date.now,
    })
    this.#shared = shared
    shared.refresh()
    this.#tellFacts()
    void gossip.synced.then(() => {
      // What nobody has by now does not exist.
      for (const apex of SHARED)
        this.zones.publish(apex, { kind: 'patch', set: [], drop: [] }, true)
    })
    void this.#join(gossip)
  }

  #tellFacts(): void {
    this.#shared?.publishNode({
      ip: this.#ownIp(),
      publicIps: [],
      hostname: hostname(),
      updated: new Date().toISOString(),
    })
  }

  /** DNS does not wait for the ring; an address that is not there yet is tried again. */
  async #join(gossip: Gossip): Promise<void> {
    for (let told = false; this.#gossip === gossip; told = true) {
      try {
        await gossip.start()
        return
      } catch (er) {
        if (!told)
          this.#means.log.error('gossip cannot begin, will try again', { err: messageOf(er) })
        await sleep(REJOIN_MS, undefined, { ref: false })
      }
    }
  }

  /** Where other nodes reach this one. */
  #ownIp(): string {
    const { bind, advertise } = this.#config.gossip ?? {}
    if (advertise) return advertise.address
    return bind && !isWildcard(bind.address) ? bind.address : this.#means.ownAddress()
  }

  /** Nothing feeds it any more: its names are gone. */
  #empty(apex: string): void {
    this.zones.publish(apex, { kind: 'full', zone: new Map() })
    this.#at.delete(apex)
  }

  /** A zone that somebody else's knowledge fills. */
  #fed(apex: string, change: ZoneChange, loaded: boolean, source: string): void {
    this.zones.publish(apex, change, loaded)
    this.#at.set(apex, { at: Date.now(), source })
  }

  #publish(): void {
    const { clusterId, upstreams, forwardZones } = this.#config
    const reverse = [...reverseZones(this.#listen).keys()]
    this.#snapshot = this.#builder.build({
      clusterId,
      masters: this.#config.masters ? (this.#masters?.masters ?? []) : undefined,
      local: [
        'spartan',
        'localhost',
        'zk',
        APEX,
        `thisnode.${APEX}`,
        ...FED,
        ...Object.keys(this.#config.zones).map(l => `${l}.${APEX}`),
        ...reverse,
      ],
      forwardZones,
      upstreams,
      allow: this.#allow,
    })
    this.#snapshotAt = Date.now()
    this.#means.send({ type: 'snapshot', snapshot: this.#snapshot })
  }
}
