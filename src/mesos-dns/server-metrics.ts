/** What only the server for the masters counts, in numbers for Prometheus. */
import { definitions, single, type Family, type MetricDef } from '../ops/families.ts'

export type ServerReadings = {
  /** Names in the zone. */
  readonly names: number
  /** What cannot be published, at most a hundred. */
  readonly unpublished: number
  /** Whether the list of masters is ZooKeeper's current one; undefined without ZooKeeper. */
  readonly zooKeeper: boolean | undefined
}

type From = () => ServerReadings | undefined

export const SERVER_FAMILIES: readonly Family<From>[] = [
  single('gauge', 'mesos_dns_names', 'Of `spartan mesos-dns`: names in its zone', r => r.names),
  single(
    'gauge',
    'mesos_dns_unpublished',
    'Of `spartan mesos-dns`: names of the cluster that cannot be published, at most 100; the log says which',
    r => r.unpublished,
  ),
  single(
    'gauge',
    'mesos_dns_zookeeper_current',
    'Of `spartan mesos-dns`: whether ZooKeeper names a leader now',
    r => (r.zooKeeper === undefined ? undefined : r.zooKeeper ? 1 : 0),
  ),
]

export const SERVER_METRICS: readonly MetricDef[] = definitions(SERVER_FAMILIES)
