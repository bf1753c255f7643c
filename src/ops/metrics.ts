/**
 * Declares every metric: name, labels, help, and how its number is read. The table in deploy/metrics.md is checked
 * against METRICS. The only file that imports prom-client, which adds the process's own metrics and writes the text.
 *
 * The data thread counts queries in numbered slots (boundary/counters.ts), which are read at each scrape. Names,
 * labels and buckets of the first half are those of CoreDNS, so that its dashboards and alerts work unchanged with
 * `metrics.prefix: coredns_`.
 *
 * This file is long, because it is a table with an entry for each metric.
 */
import { hostPort } from '../base/ip.ts'
import { setImmediate } from 'node:timers/promises'
import type { Metric, Registry } from 'prom-client'
import { DRILLS, type DataStatus, type DrillTarget } from '../boundary/messages.ts'
import {
  AGE_BUCKETS,
  AGE_CELLS,
  BLOCK,
  FAMILIES as IP_FAMILIES,
  KINDS,
  PROTOS,
  RCODE_LABELS,
  SCALARS,
  SERVERS,
  SIZE_BUCKETS,
  SIZE_CELLS,
  SLOT,
  STALE_SOURCES,
  TIME_BUCKETS,
  TIME_CELLS,
  TYPE_LABELS,
  UPSTREAMS,
  UPSTREAM_ROW,
  UPSTREAM_SCALARS,
  UPSTREAM_SLOT,
  ZONES,
  type Scalar,
  type UpstreamScalar,
} from '../boundary/counters.ts'
import { fail } from '../base/error.ts'
import {
  definitions,
  exposed,
  type Bounds,
  type Family,
  type MetricDef,
  type Put,
  type PutHistogram,
} from './families.ts'

export type { Family, MetricDef } from './families.ts'

/** Values of the main thread, read at each scrape. Undefined ones are left out of the text. */
export type MainReadings = {
  readonly ready: boolean
  /** Whether there is a problem that an operator should look at. */
  readonly degraded?: boolean | undefined
  /** Number and creation time (Unix seconds) of the Snapshot in use. */
  readonly snapshot?: { readonly number: number; readonly at: number } | undefined
  /** Number of known masters, and Unix time in seconds of the last successful read of their list. */
  readonly masters?: { readonly count: number; readonly at: number } | undefined
  /** Parts of the daemon, and whether each is running. */
  readonly parts: readonly { readonly name: string; readonly up: boolean }[]
  /** Failed attempts to write the cache to disk. */
  readonly snapshotFailures?: number
  /** Drills that are running. */
  readonly drills?: readonly DrillTarget[]
  /** Number of configuration keys whose new values wait for a restart. */
  readonly needsRestart: number
  readonly reloads: number
  readonly reloadsFailed: number
  /** Queries to our own sockets that were not answered. */
  readonly selfQueriesFailed: number
  /** The data thread's latest status. */
  readonly data?: DataStatus | undefined
}

/** The sources of all metrics. */
export type MetricsSource = {
  /** Prefix of every name except the process's own metrics: 'spartan_' or 'coredns_'. */
  readonly prefix: string
  /** Shared with the data thread; see boundary/counters.ts. */
  readonly counters: Float64Array
  /** Label of each listener by its number in the counters, e.g. dns://198.51.100.1:53. At most SERVERS are used. */
  readonly servers: readonly string[]
  /** Zone labels; at most ZONES are used. */
  readonly zones: () => readonly string[]
  /** Upstreams by their slot in the counters. Slots with the same name are summed. */
  readonly upstreams: () => readonly { readonly slot: number; readonly name: string }[]
  readonly version: string
  /** How late timers of this thread fire, in milliseconds: the latest, and the longest since the last call. */
  readonly loopLag: () => { readonly last: number; readonly most: number }
  /** Reads what `extra` returns anew; called before each scrape. Never rejects. */
  readonly refresh?: () => Promise<unknown>
  readonly extra: () => MainReadings
  /** Milliseconds, monotonic. Default: performance.now. */
  readonly now?: () => number
}

/** A scrape lets the gossip and the admin server run, which share its thread, when it has worked for so long. */
const SLICE_MS = 5

/** Prefix of prom-client's metrics for the event loop's lag. */
const LOOP_LAG = 'nodejs_eventloop_lag'

type Source = MetricsSource & {
  /** The highest value reported for each cell of cache_misses_total. */
  readonly misses: Float64Array
}
type Cell = (cell: number, server: string, zone: string) => void

const eachZone = (s: Source, visit: Cell): void => {
  const zones = s.zones().slice(0, ZONES)
  s.servers.slice(0, SERVERS).forEach((server, i) => {
    zones.forEach((zone, j) => visit(i * ZONES + j, server, zone))
  })
}
const eachUpstream = (s: Source, visit: (slot: number, to: string) => void): void => {
  for (const { slot, name } of s.upstreams()) if (slot >= 0 && slot < UPSTREAMS) visit(slot, name)
}

/** Label values of each cell of a table with these dimensions, in row order. */
const rows = (dims: readonly (readonly string[])[]): string[][] =>
  dims.reduce<string[][]>((all, dim) => all.flatMap(row => dim.map(v => [...row, v])), [[]])

type Block = keyof typeof BLOCK

/** A block [server][zone][dims…] as counters. Zeros are left out, because most combinations never occur. */
const perZone = (block: Block, dims: readonly (readonly string[])[], ...tail: string[]) => {
  const inner = rows(dims).map(row => ['', ...row, ...tail])
  return (s: Source, put: Put): void =>
    eachZone(s, (cell, server, zone) => {
      const at = BLOCK[block] + cell * inner.length
      inner.forEach((labels, i) => {
        const value = s.counters[at + i] ?? 0
        if (value > 0) put(value, server, zone, ...labels)
      })
    })
}

/** A block [server][zone][dims…][cells] as histograms. Empty ones are left out. */
const perZoneHistogram = (block: Block, dims: readonly (readonly string[])[], width: number) => {
  const inner = rows(dims)
  return (s: Source, put: PutHistogram): void =>
    eachZone(s, (cell, server, zone) => {
      inner.forEach((labels, i) => {
        const at = BLOCK[block] + (cell * inner.length + i) * width
        if (s.counters.subarray(at, at + width - 1).some(n => n > 0)) {
          put(s.counters, at, server, zone, '', ...labels)
        }
      })
    })
}

/** Our cache is shared by all listeners and zones, so these labels of CoreDNS are empty. */
const WHOLE = ['', '', ''] as const
const scalar =
  (name: Scalar, ...labels: readonly string[]) =>
  (s: Source, put: Put): void =>
    put(s.counters[SLOT[name]] ?? 0, ...labels)
/** Several single counters as one family; its last label tells them apart. */
const scalars =
  (by: Readonly<Record<string, Scalar>>, ...labels: readonly string[]) =>
  (s: Source, put: Put): void => {
    for (const [value, name] of Object.entries(by)) scalar(name, ...labels, value)(s, put)
  }
/** The sum of several counters of an upstream. */
const perUpstream =
  (names: readonly UpstreamScalar[], ...labels: readonly string[]) =>
  (s: Source, put: Put): void =>
    eachUpstream(s, (slot, to) => {
      const at = BLOCK.upstream + slot * UPSTREAM_ROW
      put(
        names.reduce((sum, name) => sum + (s.counters[at + UPSTREAM_SLOT[name]] ?? 0), 0),
        to,
        ...labels,
      )
    })
const perUpstreamHistogram =
  (...labels: readonly string[]) =>
  (s: Source, put: PutHistogram): void =>
    eachUpstream(s, (slot, to) =>
      put(s.counters, BLOCK.upstreamDuration + slot * TIME_CELLS, to, ...labels),
    )

/**
 * Lookups minus hits, never less than the last reported value: both are read while the other thread counts, and
 * Prometheus would take a decrease for a reset.
 */
const misses = (s: Source, put: Put): void =>
  eachZone(s, (cell, server, zone) => {
    let n = s.counters[BLOCK.lookups + cell] ?? 0
    KINDS.forEach((_, kind) => (n -= s.counters[BLOCK.hits + cell * KINDS.length + kind] ?? 0))
    const shown = (s.misses[cell] = Math.max(s.misses[cell] ?? 0, n))
    if (shown > 0) put(shown, server, zone, '')
  })

const counter = (
  name: string,
  labels: readonly string[],
  help: string,
  read: (s: Source, put: Put) => void,
): Family<Source> => ({ name, type: 'counter', labels, help, read })
const gauge = (
  name: string,
  labels: readonly string[],
  help: string,
  read: (s: Source, put: Put) => void,
): Family<Source> => ({ name, type: 'gauge', labels, help, read })
const histogram = (
  name: string,
  labels: readonly string[],
  bounds: Bounds,
  help: string,
  read: (s: Source, put: PutHistogram) => void,
): Family<Source> => ({ name, type: 'histogram', labels, bounds, help, read })

const SZV = ['server', 'zone', 'view']
/** CoreDNS's cache plugin uses the label `zones`, its metrics plugin `zone`. */
const CACHE = ['server', 'zones', 'view']

// prettier-ignore
const TABLE: readonly Family<Source>[] = [
  // CoreDNS's names. `view` and `plugin` are always empty, because spartan has neither.
  gauge('build_info', ['version', 'revision', 'goversion'], 'Always 1. The version of spartan; goversion is the version of Node',
    (s, put) => put(1, s.version, '', process.version)),
  counter('panics_total', [], SCALARS.internalErrors, scalar('internalErrors')),
  counter('dns_requests_total', [...SZV, 'proto', 'family', 'type'], 'Queries received; family 1 is IPv4, 2 is IPv6',
    perZone('requests', [PROTOS, IP_FAMILIES, TYPE_LABELS])),
  counter('dns_do_requests_total', SZV, 'Queries with the DO bit set', perZone('doRequests', [])),
  counter('dns_responses_total', [...SZV, 'rcode', 'plugin'], 'Responses sent', perZone('responses', [RCODE_LABELS], '')),
  histogram('dns_request_duration_seconds', SZV, TIME_BUCKETS, 'Time from a query to its response',
    perZoneHistogram('duration', [], TIME_CELLS)),
  histogram('dns_request_size_bytes', [...SZV, 'proto'], SIZE_BUCKETS, 'Size of queries',
    perZoneHistogram('requestSize', [PROTOS], SIZE_CELLS)),
  histogram('dns_response_size_bytes', [...SZV, 'proto'], SIZE_BUCKETS, 'Size of responses',
    perZoneHistogram('responseSize', [PROTOS], SIZE_CELLS)),
  gauge('cache_entries', [...CACHE, 'type'], 'Entries in the cache: positive (success) and negative (denial)',
    (s, put) => {
      const denial = s.counters[SLOT.cacheEntriesDenial] ?? 0
      put(Math.max(0, (s.counters[SLOT.cacheEntries] ?? 0) - denial), ...WHOLE, 'success')
      put(denial, ...WHOLE, 'denial')
    }),
  counter('cache_requests_total', CACHE, 'Cache look-ups', perZone('lookups', [])),
  counter('cache_hits_total', [...CACHE, 'type'], 'Queries answered from the cache', perZone('hits', [KINDS])),
  counter('cache_misses_total', CACHE, 'Cache look-ups that found nothing to answer with', misses),
  counter('cache_prefetch_total', CACHE, SCALARS.prefetches, scalar('prefetches', ...WHOLE)),
  counter('cache_served_stale_total', CACHE, SCALARS.staleServed, scalar('staleServed', ...WHOLE)),
  counter('cache_evictions_total', [...CACHE, 'type'], 'Entries evicted to stay within the bounds',
    scalars({ success: 'evictionsSuccess', denial: 'evictionsDenial' }, ...WHOLE)),
  counter('forward_requests_total', ['to'], UPSTREAM_SCALARS.requests, perUpstream(['requests'])),
  counter('forward_responses_total', ['to', 'rcode'], 'Replies accepted from upstreams',
    (s, put) => eachUpstream(s, (slot, to) => RCODE_LABELS.forEach((rcode, i) => {
      const value = s.counters[BLOCK.upstreamRcode + slot * RCODE_LABELS.length + i] ?? 0
      if (value > 0) put(value, to, rcode)
    }))),
  histogram('forward_request_duration_seconds', ['to', 'rcode'], TIME_BUCKETS, 'Time from a question to an upstream to its reply; rcode is empty',
    perUpstreamHistogram('')),
  counter('forward_healthcheck_failures_total', ['to'], 'Exchanges without a reply; every exchange serves as a health check',
    perUpstream(['timeouts', 'unreachable'])),
  counter('forward_max_concurrent_rejects_total', [], SCALARS.shed, scalar('shed')),
  histogram('proxy_request_duration_seconds', ['to', 'proxy_name', 'rcode'], TIME_BUCKETS, 'As forward_request_duration_seconds, by its newer name',
    perUpstreamHistogram('forward', '')),
  counter('proxy_healthcheck_failures_total', ['to', 'proxy_name'], 'As forward_healthcheck_failures_total, by its newer name',
    perUpstream(['timeouts', 'unreachable'], 'forward')),
  counter('health_request_failures_total', [], 'Queries to our own addresses, through a real socket, that were not answered',
    (s, put) => put(s.extra().selfQueriesFailed)),
  counter('reload_failed_total', [], 'Reloads refused; the configuration in use stayed', (s, put) => put(s.extra().reloadsFailed)),

  // Ours: queries.
  counter('queries_dropped_total', ['reason'], 'Messages that got no response, and why: too short, a response, our own come back, not sent, lost in a full receive buffer',
    scalars({ runt: 'droppedRunt', response: 'droppedResponse', loop: 'loops', send: 'droppedSend', receive: 'droppedReceive' })),
  counter('queries_refused_total', [], SCALARS.refusedClient, scalar('refusedClient')),
  counter('queries_malformed_total', [], SCALARS.malformed, scalar('malformed')),
  counter('queries_coalesced_total', [], SCALARS.coalesced, scalar('coalesced')),
  counter('queries_local_total', [], SCALARS.localAnswers, scalar('localAnswers')),
  gauge('queries_in_flight', [], 'Questions in flight', scalar('inFlight')),
  counter('cache_failures_stored_total', [], SCALARS.failuresCached, scalar('failuresCached')),
  gauge('cache_bytes', [], 'Bytes the cache holds', scalar('cacheBytes')),

  histogram('stale_answer_age_seconds', ['zone', 'source'], AGE_BUCKETS, 'Age of the data in answers given because nothing fresh could be had: from the cache (stale), the copy of the zone from the gossip (gossiped), or the cache of an earlier run (snapshot)',
    (s, put) => s.zones().slice(0, ZONES).forEach((zone, i) => STALE_SOURCES.forEach((source, j) => {
      const at = BLOCK.staleAge + (i * STALE_SOURCES.length + j) * AGE_CELLS
      if (s.counters.subarray(at, at + AGE_CELLS - 1).some(n => n > 0)) put(s.counters, at, zone, source)
    }))),

  // Ours: client connections and system calls.
  counter('tcp_accepted_total', [], SCALARS.tcpAccepted, scalar('tcpAccepted')),
  counter('tcp_closed_total', ['reason'], 'Client connections that we closed: over the cap, over the share of one client of it, from outside allow, idle (half a frame included), or not reading',
    scalars({ cap: 'tcpRejected', client: 'tcpClientRejected', refused: 'tcpRefused', idle: 'tcpIdleClosed', slow: 'tcpSlowClosed' })),
  gauge('tcp_connections', [], 'Open client connections', scalar('tcpConnections')),
  counter('io_calls_total', ['direction'], 'System calls that received or sent datagrams', scalars({ receive: 'receiveCalls', send: 'sendCalls' })),
  gauge('io_body_info', ['body'], 'Always 1. How datagrams are received and sent: batch or dgram',
    (s, put) => { const { data } = s.extra(); if (data) put(1, data.io) }),
  gauge('listener_up', ['server', 'proto'], 'Whether this address is bound and read from',
    (s, put) => {
      for (const { address, port, udp, tcp } of s.extra().data?.listening ?? []) {
        const server = serverLabel(address, port)
        put(udp ? 1 : 0, server, 'udp')
        put(tcp ? 1 : 0, server, 'tcp')
      }
    }),

  // Ours: upstreams.
  counter('replies_rejected_total', ['reason'], 'Datagrams to our upstream ports that answer nothing we asked',
    scalars({ source: 'repliesWrongSource', id: 'repliesWrongId', question: 'repliesWrongQuestion', malformed: 'repliesMalformed' })),
  counter('upstream_wins_total', ['to'], UPSTREAM_SCALARS.wins, perUpstream(['wins'])),
  counter('upstream_disagreements_total', ['to'], UPSTREAM_SCALARS.disagreements, perUpstream(['disagreements'])),
  counter('upstream_timeouts_total', ['to'], UPSTREAM_SCALARS.timeouts, perUpstream(['timeouts'])),
  counter('upstream_unreachable_total', ['to'], UPSTREAM_SCALARS.unreachable, perUpstream(['unreachable'])),
  counter('upstream_retransmits_total', ['to'], UPSTREAM_SCALARS.retransmits, perUpstream(['retransmits'])),
  counter('upstream_tcp_retries_total', ['to'], UPSTREAM_SCALARS.tcpRetries, perUpstream(['tcpRetries'])),
  counter('upstream_probes_total', ['to'], UPSTREAM_SCALARS.probes, perUpstream(['probes'])),
  gauge('upstream_up', ['to'], 'Whether the upstream answers: 1 when up or sick, 0 when dead; absent until it has answered or was found dead',
    (s, put) => { for (const u of unique(s.extra().data?.upstreams)) if (u.state !== 'unknown') put(u.state === 'dead' ? 0 : 1, u.name) }),
  gauge('upstream_rtt_seconds', ['to'], 'Smoothed time to a reply',
    (s, put) => { for (const u of unique(s.extra().data?.upstreams)) put(u.srttMs / 1000, u.name) }),

  // Ours: what the daemon knows.
  gauge('ready', [], 'Whether every configured address answers', (s, put) => put(s.extra().ready ? 1 : 0)),
  gauge('degraded', [], 'Whether there is something to look at: /readyz and the status page say what',
    (s, put) => { const { degraded } = s.extra(); if (degraded !== undefined) put(degraded ? 1 : 0) }),
  gauge('snapshot_number', [], 'Number of the Snapshot that queries are answered from',
    (s, put) => { const { snapshot } = s.extra(); if (snapshot) put(snapshot.number) }),
  gauge('snapshot_timestamp_seconds', [], 'When that Snapshot was made, Unix time',
    (s, put) => { const { snapshot } = s.extra(); if (snapshot) put(snapshot.at) }),
  gauge('masters', [], 'Masters known', (s, put) => { const { masters } = s.extra(); if (masters) put(masters.count) }),
  gauge('masters_timestamp_seconds', [], 'When the list of masters was last read, Unix time',
    (s, put) => { const { masters } = s.extra(); if (masters) put(masters.at) }),
  gauge('zone_names', ['zone'], 'Owner names in a local zone',
    (s, put) => { for (const z of s.extra().data?.zones ?? []) put(z.names, z.apex) }),
  gauge('zone_loaded', ['zone'], 'Whether the data of a local zone has arrived',
    (s, put) => { for (const z of s.extra().data?.zones ?? []) put(z.loaded ? 1 : 0, z.apex) }),
  gauge('part_up', ['part'], 'Whether a part of the daemon that the configuration asks for runs; one that does not is tried again, and DNS goes on',
    (s, put) => { for (const { name, up } of s.extra().parts) put(up ? 1 : 0, name) }),
  counter('cache_snapshot_failures_total', [], 'Attempts to write the cache to disk that failed; the old file stays',
    (s, put) => put(s.extra().snapshotFailures ?? 0)),
  gauge('drill_active', ['target'], 'Whether a drill runs in which the target counts as lost: spartan drill',
    (s, put) => { const { drills = [] } = s.extra(); for (const target of DRILLS) put(drills.includes(target) ? 1 : 0, target) }),
  gauge('config_needs_restart', [], 'Keys of the configuration whose new values are used only after a restart',
    (s, put) => put(s.extra().needsRestart)),
  counter('reloads_total', [], 'Reloads of the configuration, refused ones included', (s, put) => put(s.extra().reloads)),
]

/** Gauges must not be summed: of several upstreams with one name, the first one counts. */
const unique = <T extends { readonly name: string }>(list: readonly T[] = []): Iterable<T> =>
  new Map([...list].reverse().map(u => [u.name, u])).values()

/** A listener in CoreDNS's notation for the label `server`. */
export const serverLabel = (address: string, port: number): string =>
  `dns://${hostPort(address, port)}`

/** All our metrics without prefix. The process's own (process_*, nodejs_*) are added by prom-client. */
export const METRICS: readonly MetricDef[] = definitions(TABLE)

/** The registry of one daemon. */
export type Metrics = {
  /** Loads prom-client's 88 files in advance, so that the first scrape is quick. */
  prepare(): Promise<void>
  /** The text and its media type. Concurrent scrapes share one result; the event loop runs between families. */
  scrape(): Promise<Exposition>
  /**
   * Adds families of another part, which read from `from`. Throws EUSAGE if a name exists, ESTATE after `prepare` or
   * a scrape.
   */
  register<S>(families: readonly Family<S>[], from: S): void
}

export type Exposition = { readonly text: string; readonly contentType: string }

/** Creates a registry for these sources; prom-client's global registry is not used. */
export const createMetrics = (source: MetricsSource): Metrics => {
  const ours = new Map<string, ReturnType<typeof exposed>>()
  let registry: Promise<Registry> | undefined
  const register = <S>(families: readonly Family<S>[], from: S): void => {
    if (registry) throw fail('metrics are registered before they are shown', 'ESTATE')
    for (const family of families) {
      const metric = exposed(family, source.prefix, from)
      if (ours.has(metric.name)) throw fail(`two metrics are called ${metric.name}`, 'EUSAGE')
      ours.set(metric.name, metric)
    }
  }
  register(TABLE, { ...source, misses: new Float64Array(SERVERS * ZONES) })

  const open = async (): Promise<Registry> => {
    const { collectDefaultMetrics, Gauge, Registry } = await import('./prom-client.ts')
    const prom = new Registry()
    // prom-client measures the event loop with a timer of its own; this interval practically disables it.
    collectDefaultMetrics({ register: prom, eventLoopMonitoringPrecision: 2 ** 31 - 1 })
    for (const { name } of prom.getMetricsAsArray())
      if (name.startsWith(LOOP_LAG)) prom.removeSingleMetric(name)
    new Gauge({
      name: `${LOOP_LAG}_seconds`,
      help: 'Lag of event loop in seconds.',
      registers: [prom],
      collect() {
        const lag = source.loopLag()
        this.set(lag.last / 1000)
        most.set(lag.most / 1000)
      },
    })
    const most = new Gauge({
      name: `${LOOP_LAG}_max_seconds`,
      help: 'Longest lag of event loop since the last scrape, in seconds.',
      registers: [prom],
    })
    for (const metric of ours.values()) prom.registerMetric(metric as unknown as Metric)
    return prom
  }
  const write = async (): Promise<Exposition> => {
    const from = await (registry ??= open())
    await source.refresh?.()
    const { now = () => performance.now() } = source
    const text: string[] = []
    let since = now()
    for (const { name } of from.getMetricsAsArray()) {
      // prom-client 15 writes Nan, which the text format does not allow.
      text.push((await from.getSingleMetricAsString(name)).replace(/ Nan$/gm, ' NaN'))
      // Not after each of the metrics: while a large zone is published in slices, each turn takes as long as a slice.
      if (now() - since < SLICE_MS) continue
      await setImmediate()
      since = now()
    }
    return { text: `${text.join('\n')}\n`, contentType: from.contentType }
  }
  let running: Promise<Exposition> | undefined
  return {
    prepare: async () => void (await (registry ??= open())),
    scrape: () => (running ??= write().finally(() => (running = undefined))),
    register,
  }
}
