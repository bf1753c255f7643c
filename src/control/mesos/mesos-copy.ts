/**
 * `mesos.thisdcos.directory`: what Mesos-DNS says of the same state, under a
 * name that is answered here, so that the names live on when no master does.
 */
import type { Owner, RRset } from '../../boundary.ts'
import type { IpSource } from '../../mesos-dns/record.ts'
import { ZoneRecords } from '../../mesos-dns/records.ts'
import { rrsetsOf } from '../../mesos-dns/zone.ts'
import { DEFAULT_NS, DEFAULT_SOA } from '../zone-publisher.ts'
import { TTL } from '../zone.ts'
import type { ZoneCopy } from './source.ts'

export const MESOS_COPY_APEX = 'mesos.thisdcos.directory'

export type MesosCopyOptions = {
  /** Addresses of the masters, in order. */
  readonly masters: () => readonly string[]
  /** As the cluster's Mesos-DNS is configured; DC/OS has host, netinfo. */
  readonly ipSources?: readonly IpSource[]
  readonly apex?: string
  /** Shortest time between two changes of it. */
  readonly everyMs?: number
}

/** The original took a new copy every 30 s; a change costs its own names here, so it need not wait so long. */
const EVERY_MS = 1_000

export const mesosCopy = (options: MesosCopyOptions): ZoneCopy => {
  const {
    masters,
    ipSources = ['host', 'netinfo'],
    apex = MESOS_COPY_APEX,
    everyMs = EVERY_MS,
  } = options
  const records = new ZoneRecords({
    domain: apex,
    ipSources,
    enforceRfc952: false,
    soaMname: `ns1.${apex}`,
    listenerAddresses: [],
  })
  const form = { apex, ttl: TTL, srvWeight: 1, soa: DEFAULT_SOA, ns: DEFAULT_NS }
  let first = true
  return {
    apex,
    everyMs,
    change: state => {
      const changed = records.update(state, masters())
      if (first) {
        first = false
        const zone = new Map<string, readonly RRset[]>()
        for (const [name, of] of records.names) zone.set(name, rrsetsOf(of, form))
        return { kind: 'full', zone }
      }
      const set: Owner[] = []
      const drop: string[] = []
      for (const name of changed) {
        const of = records.names.get(name)
        if (of === undefined) drop.push(name)
        else set.push([name, rrsetsOf(of, form)])
      }
      return { kind: 'patch', set, drop }
    },
  }
}
