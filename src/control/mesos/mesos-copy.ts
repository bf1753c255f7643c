/**
 * `mesos.thisdcos.directory`: a local copy of Mesos-DNS's zone from the same state, so that its names work while no
 * master answers.
 */
import type { IpSource } from '../../mesos/mesos-dns-names/record.ts'
import { ZoneRecords } from '../../mesos/mesos-dns-names/records.ts'
import { RecordsZone } from '../../mesos/mesos-dns-names/zone.ts'
import { TTL } from '../../boundary/zone.ts'
import type { ZoneCopy } from '../../mesos/api/source.ts'

export const MESOS_COPY_APEX = 'mesos.thisdcos.directory'

export type MesosCopyOptions = {
  /** Addresses of the masters, in order. */
  readonly masters: () => readonly string[]
  /** As configured for the cluster's Mesos-DNS; DC/OS uses host, netinfo. */
  readonly ipSources?: readonly IpSource[]
  readonly apex?: string
  /** Shortest interval between two changes. */
  readonly everyMs?: number
}

/** DC/OS copies the zone every 30 s. Here a change only costs the changed names, so it need not wait. */
const EVERY_MS = 25

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
    compat: false,
    srvWeight: 1,
    soaMname: `ns1.${apex}`,
    listenerAddresses: [],
  })
  const zone = new RecordsZone(records, { ttl: TTL })
  let first = true
  return {
    apex,
    everyMs,
    *change(state, { all, tasks }) {
      yield* records.following(state, masters(), () => [], all || first ? undefined : tasks)
      first = false
      return zone.change()
    },
  }
}
