/** The data that the HTTP API shows, from the records and the settings. */
import type { ApiFacts } from './http.ts'
import type { ZoneRecords } from '../mesos/mesos-dns-names/records.ts'
import { shownSettings, type Settings } from './settings.ts'
import { axfrView, enumerateView, hostView, serviceView } from './views.ts'

export type ApiNeeds = {
  readonly settings: Settings
  readonly records: ZoneRecords
  /** SOA serial of the served zone. */
  readonly serial: () => number
  /** Changes with every change of the records. */
  readonly version: () => number
  /** Version of this program. */
  readonly release: string
}

const SERVICE = 'Mesos-DNS'
/** The URL of Mesos-DNS, which clients of this API expect. */
const URL = 'https://github.com/mesosphere/mesos-dns'

export const apiFacts = ({ settings, records, serial, version, release }: ApiNeeds): ApiFacts => {
  const { ttl, refreshMs, soa, domain, enumerationOn } = settings
  const axfr = (): unknown =>
    axfrView(records, {
      ttl,
      serial: serial(),
      refreshSeconds: Math.round(refreshMs / 1_000),
      mname: soa.mname,
      rname: soa.rname,
      domain,
    })
  return {
    version,
    about: () => ({ Service: SERVICE, URL, Version: release }),
    config: () => shownSettings(settings, serial()),
    hosts: host => hostView(records, host),
    services: service => serviceView(records, service),
    enumerate: enumerationOn ? () => enumerateView(records) : undefined,
    axfr: enumerationOn ? axfr : undefined,
  }
}
