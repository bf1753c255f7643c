/**
 * The start data and the routes of the data thread when it serves as Mesos-DNS. It is the same thread as the
 * forwarder's, with one local zone, and the configured resolvers for all other names.
 */
import type {
  DataThreadStart,
  Endpoint,
  RouteSpec,
  Snapshot,
  UpstreamSpec,
  ZoneApex,
} from '../boundary/messages.ts'
import { UPSTREAMS, ZONES } from '../boundary/counters.ts'
import type { CompatOptions } from '../data/answer/compat-wire.ts'
import type { Settings } from './settings.ts'

/** Answers for the zone exactly like Mesos-DNS; see data/answer/compat-wire.ts. */
export type CompatStart = CompatOptions & { readonly apex: string }

export type ServerStart = DataThreadStart & { readonly compat?: CompatStart }

/** Facts for the start that are not in the settings. */
export type StartFacts = {
  readonly version: string
  readonly node: string
  readonly listen: readonly Endpoint[]
  readonly counters: SharedArrayBuffer
  readonly io: DataThreadStart['io']
}

/** Small, because only external names are cached here. */
const CACHE_BYTES = 16 * 1024 * 1024
const CACHE_ENTRIES = 50_000
const DAY = 86_400
/** About when a client gives up; a resolver's own `timeout` may be shorter. */
const DEADLINE_MS = 1_800

/** The start data of the data thread. */
export const serverStart = (settings: Settings, facts: StartFacts): ServerStart => {
  const { domain, recurseOn, setTruncateBit, compat, timeoutMs, resolvers, zoneResolvers } =
    settings
  return {
    ...facts,
    inherited: [],
    restores: false,
    cache: {
      maxBytes: CACHE_BYTES,
      maxEntries: CACHE_ENTRIES,
      serveStale: DAY,
      minTtl: 0,
      maxTtl: DAY,
      maxNegativeTtl: 300,
    },
    tcp: { maxConnections: 1_024, idle: 10_000 },
    race: { grace: 20, deadline: Math.min(timeoutMs, DEADLINE_MS), retransmit: [250, 750] },
    maxInFlight: 4_096,
    identity: true,
    ...(compat
      ? {
          compat: {
            apex: domain,
            recursionAvailable: recurseOn,
            setTruncateBit,
            refuseOutside: resolvers.length === 0 && Object.keys(zoneResolvers).length === 0,
          },
        }
      : {}),
  }
}

/** The SOA of the zone. Mesos-DNS uses `ttl` for MINIMUM and ignores SOAMinttl. */
export const zoneApex = ({ soa, compat, ttl }: Settings): ZoneApex =>
  compat ? { ...soa, minimum: ttl } : soa

/** The routes, which never change: our zone is local, other names go to the resolvers. */
export const serverSnapshot = ({ domain, resolvers, zoneResolvers, allow }: Settings): Snapshot => {
  const slots = new Map<string, number>()
  const upstream = ({ address, port }: Endpoint): UpstreamSpec => {
    const key = `${address} ${port}`
    const slot = slots.get(key) ?? Math.min(slots.size, UPSTREAMS - 1)
    slots.set(key, slot)
    return { protocol: 'udp', address, port, slot }
  }
  const labels = [domain]
  const forward = (zone: string, to: readonly Endpoint[], number: number): RouteSpec => {
    const label = labels.length < ZONES - 1 ? labels.push(zone === '' ? '.' : zone) - 1 : ZONES - 1
    return {
      kind: 'forward',
      zone,
      label,
      number,
      policy: 'hedge',
      ttl: 'external',
      upstreams: to.map(upstream),
    }
  }
  // without resolvers, other names are refused
  const rest: RouteSpec =
    resolvers.length === 0
      ? { kind: 'refuse', zone: '', label: labels.push('.') - 1 }
      : forward('', resolvers, -1)
  const zones = Object.entries(zoneResolvers).map(([zone, to], i) => forward(zone, to, -2 - i))
  while (labels.length < ZONES - 1) labels.push('')
  return Object.freeze({
    number: 1,
    own: [{ kind: 'local', zone: domain, label: 0 } as const],
    forward: zones,
    special: [],
    rest,
    labels: [...labels, 'other'],
    allow,
  })
}
