/**
 * The daemon's state as one plain object: `/v1/status` shows it as JSON, the status page as HTML, `spartan status`
 * as text. It is gathered from all parts on request, and contains no secrets.
 */
import type { DataStatus, Endpoint } from '../boundary/messages.ts'
import type { Health } from '../boundary/health.ts'
import type { BalanceReport } from '../vip/feed.ts'
import type { Event, Rates, Recent } from './recent.ts'

/** Where the list of masters comes from. */
export type MastersStatus = {
  /** static, file, url, exhibitor or dns. */
  readonly source: string
  /** The path or address of the source, '' for static. */
  readonly from: string
  readonly list: readonly Endpoint[]
  /** Unix time in milliseconds of the last successful read, 0 for never. */
  readonly at: number
  /** Why the last read failed, '' if it succeeded. */
  readonly error: string
  /** The list is from an earlier run. */
  readonly kept: boolean
}

/** A configured route, in order of priority. */
export type RouteStatus = {
  readonly zone: string
  readonly kind: 'local' | 'rename' | 'forward' | 'special' | 'refuse'
  /** Where it leads: names of upstreams, or the zone it is renamed to. */
  readonly to: readonly string[]
}

/** A local zone: its source, and its last change. */
export type ZoneStatus = {
  readonly apex: string
  readonly names: number
  readonly loaded: boolean
  /** Unix time in milliseconds of the last change, 0 if unknown. */
  readonly at: number
  /** built-in, masters, agent, files, gossip, disk. */
  readonly source: string
}

export type GossipStatus = {
  readonly members: { readonly alive: number; readonly suspect: number; readonly dead: number }
  readonly entries: number
  /** Whether the first exchange with a peer is done, or none is expected. */
  readonly synced: boolean
  readonly encrypted: boolean
  readonly detail: string
  /** Pieces of zones of other nodes that have not come. */
  readonly piecesMissing: number
  /** Since the start: members under a name that a live one has already, and probes that only TCP answered. */
  readonly nameConflicts: number
  readonly probesByTcp: number
}

/** A Mesos master or agent: what it sent, and what was asked of it, since the start. */
export type SourceCounts = {
  readonly source: string
  /** An agent sends none. */
  readonly events: number
  readonly polls: number
  /** Streams and polls that failed. */
  readonly failures: number
  /** Since it last sent anything usable; undefined before. */
  readonly silentSeconds: number | undefined
}

/** The masters whose tasks get names. */
export type MesosStatus = {
  readonly masters: readonly SourceCounts[]
  /** Times that a new leader did not know all agents yet, and how many it still waits for. */
  readonly failoverHolds: number
  readonly agentsAwaited: number
}

/** One VIP as this host sees it. */
export type VipView = {
  /** 'redis.marathon.l4lb.thisdcos.directory:6379', or the address of a numeric VIP. */
  readonly vip: string
  readonly protocol: string
  readonly addresses: readonly string[]
  /** Whether the kernel has its current backends. */
  readonly programmed: boolean
  /** Tracked connections from or through this host; undefined without a balancer. */
  readonly connections: number | undefined
  readonly backends: readonly {
    readonly ip: string
    readonly port: number
    readonly weight: number
    /** 'up', 'drained', or that it is used although it is unhealthy. */
    readonly state: string
    /** Name of the host that it runs on; '' if unknown. */
    readonly node: string
  }[]
}

export type VipsStatus = {
  /** What VIP names resolve to, and why. */
  readonly answer: 'vip' | 'backends'
  readonly reason: string
  /** The balancer of this host; undefined if none of ours is connected. */
  readonly balancer: BalanceReport | undefined
  readonly total: number
  /** Backends of all VIPs. */
  readonly backends: number
  /** This host's Mesos agent; undefined if none is asked. */
  readonly agent: SourceCounts | undefined
  /** The first ones. */
  readonly list: readonly VipView[]
}

/** `off`: not configured. `failed`: it could not start and will be retried. */
export type PartState = 'off' | 'starting' | 'running' | 'failed' | 'closed'

/** A part of the daemon that DNS does not depend on. */
export type PartStatus = {
  readonly name: string
  readonly state: PartState
  /** Why it is not running, '' if it is. */
  readonly error: string
  /** Unix milliseconds at which it entered this state. */
  readonly since: number
  /** Failed starts in a row. */
  readonly failures: number
}

/** The configuration in use, and the result of the last reload. */
export type ConfigStatus = {
  readonly file: string
  /** Unix milliseconds. */
  readonly loadedAt: number
  /** Why the last reload was refused, '' if it was not. */
  readonly error: string
  /** Keys whose new values apply only after a restart. */
  readonly needsRestart: readonly string[]
}

/** The whole status. Times are Unix milliseconds; names of durations include their unit. */
export type Status = {
  readonly at: number
  readonly node: string
  readonly version: string
  readonly uptimeSeconds: number
  readonly health: Health
  readonly io: string
  readonly listening: readonly (Endpoint & {
    readonly udp: boolean
    readonly tcp: boolean
    readonly inherited: boolean
    readonly answers: boolean
    readonly error: string
  })[]
  readonly snapshot: { readonly number: number; readonly at: number }
  readonly config: ConfigStatus
  readonly parts: readonly PartStatus[]
  readonly masters: MastersStatus | undefined
  readonly upstreams: readonly (DataStatus['upstreams'][number] & {
    /** Since the start: races won, and replies that contradicted the client's answer. */
    readonly wins: number
    readonly disagreements: number
  })[]
  readonly routes: readonly RouteStatus[]
  readonly zones: readonly ZoneStatus[]
  readonly cache: DataStatus['cache']
  readonly inFlight: number
  readonly tcpConnections: number
  readonly lastMinute: Rates
  /** Queries per second in the last ten minutes, one value per five seconds, oldest first. */
  readonly qps: readonly number[]
  readonly top: DataStatus['top']
  readonly gossip: GossipStatus | undefined
  readonly mesos: MesosStatus | undefined
  readonly vips: VipsStatus | undefined
  /** Newest first. */
  readonly events: readonly Event[]
}

/** Where `gatherStatus` reads the status; each function is called once per status. */
export type StatusSources = {
  readonly node: string
  readonly version: string
  /** Unix milliseconds. */
  readonly startedAt: number
  /** Asks the data thread; resolves to undefined if it does not answer in time. */
  readonly data: () => Promise<DataStatus | undefined>
  readonly health: (data: DataStatus | undefined) => Health
  readonly config: () => ConfigStatus
  readonly parts: () => readonly PartStatus[]
  readonly snapshot: () => Status['snapshot']
  /** Configured addresses, with what is known about each besides the data thread's status. */
  readonly listen: () => readonly (Endpoint & {
    readonly inherited: boolean
    readonly answers: boolean
  })[]
  readonly masters: () => MastersStatus | undefined
  readonly routes: () => readonly RouteStatus[]
  /** Source and last change of each local zone; counts come from the data thread. */
  readonly zones: () => readonly Omit<ZoneStatus, 'names' | 'loaded'>[]
  readonly gossip: () => GossipStatus | undefined
  readonly mesos: () => MesosStatus | undefined
  readonly vips: () => VipsStatus | undefined
  readonly recent: Recent
  readonly events: { list(): Event[] }
}

const NO_CACHE = { entries: 0, bytes: 0, maxBytes: 0 }

/** Creates a Status. `now` is Unix milliseconds, `tick` the monotonic milliseconds used for sampling `recent`. */
export const gatherStatus = async (
  from: StatusSources,
  now: number,
  tick: number,
): Promise<Status> => {
  const data = await from.data()
  const held = new Map(data?.zones.map(zone => [zone.apex, zone]))
  const fed = from.zones()
  const fedBy = new Set(fed.map(({ apex }) => apex))
  return {
    at: now,
    node: from.node,
    version: from.version,
    uptimeSeconds: Math.max(0, Math.round((now - from.startedAt) / 1000)),
    health: from.health(data),
    io: data?.io ?? '',
    listening: from.listen().map(at => {
      const bound = data?.listening.find(b => b.address === at.address && b.port === at.port)
      const { udp = false, tcp = false, error = 'not bound yet' } = bound ?? {}
      return { ...at, udp, tcp, error }
    }),
    snapshot: from.snapshot(),
    config: from.config(),
    parts: from.parts(),
    masters: from.masters(),
    upstreams: (data?.upstreams ?? []).map(u => ({ ...u, ...from.recent.upstream(u.slot) })),
    routes: from.routes(),
    zones: [
      ...fed.map(zone => {
        const { names = 0, loaded = false } = held.get(zone.apex) ?? {}
        return { ...zone, names, loaded }
      }),
      ...(data?.zones ?? [])
        .filter(({ apex }) => !fedBy.has(apex))
        .map(({ apex, names, loaded }) => ({ apex, names, loaded, at: 0, source: '' })),
    ],
    cache: data?.cache ?? NO_CACHE,
    inFlight: data?.inFlight ?? 0,
    tcpConnections: data?.tcpConnections ?? 0,
    lastMinute: from.recent.rates(tick),
    qps: from.recent.qps(),
    top: data?.top ?? [],
    gossip: from.gossip(),
    mesos: from.mesos(),
    vips: from.vips(),
    events: from.events.list(),
  }
}
