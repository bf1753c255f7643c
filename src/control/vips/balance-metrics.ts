/** The balancer's metrics for Prometheus, as it reports them. */
import { definitions, single, type Family, type MetricDef } from '../../ops/families.ts'
import { SYNC_BOUNDS, type BalanceReport } from '../../vip/feed.ts'
import type { Balancing } from './balancing.ts'

type From = () => Balancing

const reported = (
  type: 'gauge' | 'counter',
  name: string,
  help: string,
  number: (report: BalanceReport) => number,
): Family<From> =>
  single(type, name, help, balancing => {
    const report = balancing.connected?.report
    return report && number(report)
  })

export const BALANCE_FAMILIES: readonly Family<From>[] = [
  single(
    'gauge',
    'balance_connected',
    'Whether spartan balance is connected and has programmed the VIPs',
    b => (b.connected ? 1 : 0),
  ),
  single(
    'gauge',
    'balance_behind_changes',
    'Changes of the VIP table that the balancer has not programmed yet',
    b => b.status.balancer?.behind,
  ),
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
  reported('counter', 'balance_syncs_total', 'Transactions that succeeded', r => r.syncs),
  reported(
    'counter',
    'balance_replacements_total',
    'Transactions that replaced all rules at once',
    r => r.replaced,
  ),
  reported('counter', 'balance_failures_total', 'Transactions that failed', r => r.failures),
  reported(
    'counter',
    'balance_mended_total',
    'Times that somebody else had changed the rules',
    r => r.mended,
  ),
  reported(
    'counter',
    'balance_udp_flows_forgotten_total',
    'UDP flows to backends that were removed',
    r => r.forgotten,
  ),
  reported('gauge', 'balance_vips', 'VIPs in the kernel', r => r.vips),
  reported('gauge', 'balance_backends', 'Backends in the kernel', r => r.backends),
  reported(
    'gauge',
    'balance_slots',
    'Slots in the kernel over which weights are spread',
    r => r.slots,
  ),
  reported(
    'gauge',
    'balance_vips_rejected',
    'VIPs without a backend, whose connections are refused',
    r => r.rejecting,
  ),
  reported(
    'gauge',
    'balance_vips_capped',
    'VIPs whose weights or backends were reduced to fit into the slots',
    r => r.capped,
  ),
]

export const BALANCE_METRICS: readonly MetricDef[] = definitions(BALANCE_FAMILIES)
