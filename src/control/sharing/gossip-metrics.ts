/** The gossip's metrics for Prometheus. */
import { definitions, single, type Family, type MetricDef } from '../../ops/families.ts'
import type { Gossip } from '../../gossip/service.ts'
import { SHARED_ZONE_FAMILIES } from './zone-metrics.ts'

type From = () => Gossip | undefined

const STATES = ['alive', 'suspect', 'dead', 'left'] as const

const gauge = (
  name: string,
  labels: readonly string[],
  help: string,
  read: (g: Gossip, put: (value: number, ...labels: readonly string[]) => void) => void,
): Family<From> => ({
  name,
  type: 'gauge',
  labels,
  help,
  read: (from, put) => {
    const gossip = from()
    if (gossip) read(gossip, put)
  },
})
const counter = (
  name: string,
  labels: readonly string[],
  help: string,
  read: (g: Gossip, put: (value: number, ...labels: readonly string[]) => void) => void,
): Family<From> => ({ ...gauge(name, labels, help, read), type: 'counter' }) as Family<From>

export const GOSSIP_FAMILIES: readonly Family<From>[] = [
  gauge('gossip_members', ['state'], 'Members of the ring by state', (g, put) => {
    const { members } = g.status()
    for (const state of STATES) put(members[state], state)
  }),
  single(
    'gauge',
    'gossip_health',
    'How much this node distrusts itself: 0 is well, 7 is ill',
    g => g.status().health,
  ),
  single(
    'gauge',
    'gossip_synced',
    'Whether the first exchange with a peer is done, or there is nobody to wait for',
    g => (g.records.synced ? 1 : 0),
  ),
  single(
    'gauge',
    'gossip_holding',
    'Whether many owners vanished at once, so that all are shown as before',
    g => (g.records.stats().holding ? 1 : 0),
  ),
  single(
    'gauge',
    'gossip_entries',
    'Entries in the records, hidden ones included',
    g => g.records.stats().entries,
  ),
  single('gauge', 'gossip_owners', 'Nodes that have entries', g => g.records.stats().owners),
  single(
    'gauge',
    'gossip_record_bytes',
    'Octets of keys and values in the records',
    g => g.records.stats().bytes,
  ),
  counter('gossip_packets_total', ['direction'], 'Gossip packets', (g, put) => {
    const { packetsIn, packetsOut } = g.status().counters
    put(packetsIn, 'in')
    put(packetsOut, 'out')
  }),
  counter('gossip_bytes_total', ['direction'], 'Octets of gossip packets', (g, put) => {
    const { bytesIn, bytesOut } = g.status().counters
    put(bytesIn, 'in')
    put(bytesOut, 'out')
  }),
  counter('gossip_stream_bytes_total', ['direction'], 'Octets of gossip over TCP', (g, put) => {
    const { streamBytesIn, streamBytesOut } = g.status().counters
    put(streamBytesIn, 'in')
    put(streamBytesOut, 'out')
  }),
  single(
    'counter',
    'gossip_probes_failed_total',
    'Members that did not answer a probe',
    g => g.status().counters.probesFailed,
  ),
  single(
    'counter',
    'gossip_probes_by_tcp_total',
    'Probes that only TCP answered: UDP between this node and that member is broken',
    g => g.status().counters.probesByTcp,
  ),
  single(
    'counter',
    'gossip_name_conflicts_total',
    'Times another member was seen under a name that a live member has already',
    g => g.status().counters.conflicts,
  ),
  single(
    'counter',
    'gossip_undecryptable_total',
    'Packets and streams that no key of ours opened, or that were plain',
    g => g.status().counters.refused,
  ),
  single(
    'counter',
    'gossip_malformed_total',
    'Packets, streams and messages that could not be read',
    g => g.status().counters.malformed,
  ),
  single(
    'counter',
    'gossip_digest_mismatches_total',
    'Times a peer turned out to hold other records',
    g => g.records.stats().digestMismatches,
  ),
  counter('gossip_records_refused_total', ['reason'], 'Records not taken', (g, put) => {
    for (const [reason, n] of Object.entries(g.records.stats().refused)) put(n, reason)
  }),
  single(
    'gauge',
    'gossip_own_records_waiting',
    'Records of this node that the caps keep out, so that no other node sees them',
    g => g.records.stats().waiting,
  ),
  single(
    'counter',
    'gossip_lag_seconds_total',
    'Summed age of updates when they came by push; divide by gossip_lag_updates_total',
    g => g.records.stats().lagSumMs / 1000,
  ),
  single(
    'counter',
    'gossip_lag_updates_total',
    'Updates that came by push',
    g => g.records.stats().lagCount,
  ),
]

export const GOSSIP_METRICS: readonly MetricDef[] = definitions([
  ...GOSSIP_FAMILIES,
  ...SHARED_ZONE_FAMILIES,
])
