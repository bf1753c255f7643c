/** The VIPs and their source on this host, in numbers for Prometheus. */
import { definitions, single, type Family, type MetricDef } from '../../ops/families.ts'
import type { VipStatus } from './service.ts'

type From = () => VipStatus | undefined

export const VIP_FAMILIES: readonly Family<From>[] = [
  single('gauge', 'vips', 'VIPs of all nodes, as this one knows them', s => s.vips),
  single('gauge', 'vip_backends', 'Backends of these VIPs', s => s.backends),
  single(
    'gauge',
    'vips_leaving',
    'Named VIPs without a backend that keep their name for a while',
    s => s.leaving,
  ),
  single(
    'counter',
    'agent_polls_total',
    "Polls of this host's Mesos agent that succeeded",
    s => s.agent?.loads,
  ),
  {
    name: 'agent_failures_total',
    type: 'counter',
    labels: ['reason'],
    help: "Polls of this host's Mesos agent that failed",
    read: (from, put) => {
      for (const [reason, n] of Object.entries(from()?.agent?.failures ?? {})) put(n, reason)
    },
  },
  single(
    'gauge',
    'agent_silence_seconds',
    'Time since the last poll of the Mesos agent that succeeded; it is polled every 2 to 5 s',
    s => (s.agent?.silenceMs !== undefined ? s.agent.silenceMs / 1000 : undefined),
  ),
  single('gauge', 'agent_tasks', "Tasks of this host's Mesos agent", s => s.agent?.tasks),
  single(
    'gauge',
    'agent_bad_labels',
    'VIP labels of its tasks that cannot be used; the status says which',
    s => s.agent?.badLabels.length,
  ),
]

export const VIP_METRICS: readonly MetricDef[] = definitions(VIP_FAMILIES)
