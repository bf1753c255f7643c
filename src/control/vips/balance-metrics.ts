/** The balancer's metrics for Prometheus, as it reports them. */
import type { Family, MetricDef } from '../../ops/families.ts'
import { SYNC_BOUNDS, type BalanceReport } from '../../vip/feed.ts'
import type { Balancing } from './balancing.ts'

type From = () => Balancing

const family = (
  type: 'gauge' | 'counter',
  name: string,
  help: string,
  read: (report: BalanceReport) => number,
): Family<From> => ({
  name,
  type,
  labels: [],
  help,
  read: (from, put) => {
    const report = from().connected?.report
    if (report) put(read(report))
  },
})

export const BALANCE_FAMILIES: readonly Family<From>[] = [
  {
    name: 'balance_connected',
    type: 'gauge',
    labels: [],
    help: 'Whether spartan balance is connected and has programmed the VIPs',
    read: (from, put) => put(from().connected ? 1 : 0),
  },
  {
    name: 'balance_behind_changes',
    type: 'gauge',
    labels: [],
    help: 'Changes of the VIP table that the balancer has not programmed yet',
    read: (from, put) => {
      const { balancer } = from().status
      if (balancer) put(balancer.behind)
    },
  },
  {
    name: 'balance_sync_duration_seconds',
    type: 'histogram',
    labels: [],
    bounds: SYNC_BOUNDS,
    help: 'Time of a transaction of nft',
    read: (from, put) => {
      const report = from().connected?.report
      if (report) put(report.durations, 0)
    },
  },
  family('counter', 'balance_syncs_total', 'Transactions that succeeded', r => r.syncs),
  family(
    'counter',
    'balance_replacements_total',
    'Transactions that replaced all rules at once',
    r => r.replaced,
  ),
  family('counter', 'balance_failures_total', 'Transactions that failed', r => r.failures),
  family(
    'counter',
    'balance_mended_total',
    'Times that somebody else had changed the rules',
    r => r.mended,
  ),
  family(
    'counter',
    'balance_udp_flows_forgotten_total',
    'UDP flows to backends that were removed',
    r => r.forgotten,
  ),
  family('gauge', 'balance_vips', 'VIPs in the kernel', r => r.vips),
  family('gauge', 'balance_backends', 'Backends in the kernel', r => r.backends),
  family(
    'gauge',
    'balance_slots',
    'Slots in the kernel over which weights are spread',
    r => r.slots,
  ),
  family(
    'gauge',
    'balance_vips_rejected',
    'VIPs without a backend, whose connections are refused',
    r => r.rejecting,
  ),
  family(
    'gauge',
    'balance_vips_capped',
    'VIPs whose weights or backends were reduced to fit into the slots',
    r => r.capped,
  ),
]

/** The same as a table, for the documentation. */
export const BALANCE_METRICS: readonly MetricDef[] = BALANCE_FAMILIES.map(
  ({ name, type, labels, help }) => ({ name, type, labels, help }),
)
