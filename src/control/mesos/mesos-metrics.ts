/** What the Mesos masters say, in numbers for Prometheus. */
import type { SubscriptionCounts } from '../../mesos/api/master-counts.ts'
import { definitions, single, type Family, type MetricDef } from '../../ops/families.ts'

export type MesosReadings = {
  /** By base URL. */
  readonly masters: ReadonlyMap<string, Readonly<SubscriptionCounts>>
  /** Whether the leader is being streamed or polled successfully. */
  readonly hearing: boolean
  readonly holds: number
  /** Agents that a new leader still waits for. */
  readonly missingAgents: number
  readonly tasks: number
  readonly agents: number
  /** Milliseconds, on the clock of `heardAt`. */
  readonly now: number
}

type From = () => MesosReadings | undefined

/** The host and port in a URL. */
export const hostOf = (base: string): string => (URL.canParse(base) ? new URL(base).host : base)

const perMaster = (
  name: string,
  help: string,
  read: (counts: Readonly<SubscriptionCounts>) => number,
): Family<From> => ({
  name,
  type: 'counter',
  labels: ['master'],
  help,
  read: (from, put) => {
    for (const [base, counts] of from()?.masters ?? []) put(read(counts), hostOf(base))
  },
})

export const MESOS_FAMILIES: readonly Family<From>[] = [
  single(
    'gauge',
    'mesos_following',
    'Whether the leading Mesos master is streamed or polled now',
    r => (r.hearing ? 1 : 0),
  ),
  perMaster('mesos_events_total', 'Events of the master, whole states included', c => c.events),
  perMaster('mesos_streams_total', 'Streams that delivered the state', c => c.subscribed),
  perMaster('mesos_polls_total', 'Times that its state was loaded without a stream', c => c.polls),
  perMaster('mesos_received_bytes_total', 'Octets of its streams', c => c.bytes),
  perMaster(
    'mesos_malformed_total',
    'Events, tasks, frameworks and agents that could not be used',
    c => c.bad,
  ),
  {
    name: 'mesos_failures_total',
    type: 'counter',
    labels: ['master', 'reason'],
    help: 'Streams and polls that failed',
    read: (from, put) => {
      for (const [base, { failures }] of from()?.masters ?? [])
        for (const [reason, n] of Object.entries(failures)) put(n, hostOf(base), reason)
    },
  },
  {
    name: 'mesos_silence_seconds',
    type: 'gauge',
    labels: ['master'],
    help: 'Time since the master last sent anything; a stream has a heartbeat every 15 s. Absent until it has',
    read: (from, put) => {
      const readings = from()
      for (const [base, { heardAt }] of readings?.masters ?? [])
        if (heardAt !== undefined) put((readings!.now - heardAt) / 1000, hostOf(base))
    },
  },
  single(
    'counter',
    'mesos_failover_holds_total',
    'Times that a new leader knew agents that had not come back, so that their names stayed meanwhile',
    r => r.holds,
  ),
  single(
    'gauge',
    'mesos_agents_awaited',
    'Agents that the leader still waits for',
    r => r.missingAgents,
  ),
  single('gauge', 'mesos_agents', 'Agents in the state of the leader', r => r.agents),
  single('gauge', 'mesos_tasks', 'Tasks in the state of the leader', r => r.tasks),
]

export const MESOS_METRICS: readonly MetricDef[] = definitions(MESOS_FAMILIES)
