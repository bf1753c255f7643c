/**
 * The records in the format of Mesos-DNS's HTTP API: names with their final dot, ports as text, and one element of
 * empty strings for an unknown name. Pure; http.ts serves it.
 */
import type { NameRecords, RecordType } from '../mesos/dcos-names/owners.ts'
import { valuesOf } from '../mesos/dcos-names/tally.ts'
import { srvTarget, type MesosRecord } from '../mesos/mesos-dns-names/record.ts'
import { givenName, shownName } from '../mesos/mesos-dns-names/given-name.ts'
import type { ZoneRecords } from '../mesos/mesos-dns-names/records.ts'

export type HostView = { readonly host: string; readonly ip: string }
export type ServiceView = {
  readonly service: string
  readonly host: string
  readonly ip: string
  readonly port: string
}
export type EnumerateView = {
  readonly frameworks: readonly {
    readonly tasks: readonly {
      readonly name: string
      readonly id: string
      readonly records: readonly {
        readonly name: string
        readonly host: string
        readonly rtype: RecordType
      }[]
    }[]
    readonly name: string
  }[]
}
type RecordsView = Record<string, readonly string[]>
export type AxfrView = {
  readonly TTL: number
  readonly Serial: number
  readonly RefreshSeconds: number
  readonly Mname: string
  readonly Rname: string
  readonly Domain: string
  readonly Records: {
    readonly As: RecordsView
    readonly AAAAs: RecordsView
    readonly SRVs: RecordsView
  }
}

/** A name as the API shows it, with its final dot. */
const dotted = (name: string): string => `${shownName(name)}.`

/** Data as the API shows it; SRV is 'target.:port'. */
const shown = (type: RecordType, data: string): string => {
  if (type !== 'SRV') return data
  const { target, port } = srvTarget(data)
  return `${dotted(target)}:${port}`
}

/** A name in a request: with or without final dot, in any case; `.*` is removed as in a query. */
const wanted = (name: string): string =>
  givenName(name.replaceAll('.*', '').replace(/\.$/, ''), false)

const addressesOf = (of: NameRecords | undefined): string[] => [
  ...valuesOf(of?.A),
  ...valuesOf(of?.AAAA),
]

/** The addresses of a name. */
export const hostView = (records: ZoneRecords, host: string): readonly HostView[] => {
  const name = wanted(host)
  const ips = addressesOf(records.names.get(name))
  return ips.length === 0 ? [{ host: '', ip: '' }] : ips.map(ip => ({ host: dotted(name), ip }))
}

/** The targets of a service, with one address of each family. */
export const serviceView = (records: ZoneRecords, service: string): readonly ServiceView[] => {
  const found: ServiceView[] = []
  for (const data of valuesOf(records.names.get(wanted(service))?.SRV)) {
    const { target, port } = srvTarget(data)
    const of = records.names.get(target)
    for (const set of [of?.A, of?.AAAA]) {
      const [ip] = valuesOf(set)
      if (ip === undefined) continue
      found.push({ service, host: dotted(target), ip, port })
    }
  }
  return found.length === 0 ? [{ service: '', host: '', ip: '', port: '' }] : found
}

/**
 * Tasks by framework, with their records. A record that several tasks contribute is listed with the first one, as in
 * Mesos-DNS.
 */
export const enumerateView = (records: ZoneRecords): EnumerateView => {
  const { state } = records
  if (state === undefined) return { frameworks: [] }
  type TaskView = EnumerateView['frameworks'][number]['tasks'][number]
  const seen = new Set<string>()
  const fresh = ({ name, type, data }: MesosRecord): boolean => {
    const key = `${type} ${name} ${data}`
    return !seen.has(key) && seen.add(key) !== undefined
  }
  // records of the cluster belong to no framework
  const byFramework = new Map<string, TaskView[]>()
  for (const id of state.frameworks.keys()) byFramework.set(id, [])
  for (const [key, task] of state.tasks) {
    const own = records.ofTask(key)
    if (own.length === 0) continue
    byFramework.get(task.frameworkId)?.push({
      name: task.name,
      id: task.id,
      records: own.filter(fresh).map(({ name, type, data }) => ({
        name: dotted(name),
        host: shown(type, data),
        rtype: type,
      })),
    })
  }
  return {
    frameworks: [...state.frameworks.values()].map(({ id, name }) => ({
      tasks: byFramework.get(id) ?? [],
      name,
    })),
  }
}

/** The whole zone. `mname` and `rname` without their final dots. */
export const axfrView = (
  records: ZoneRecords,
  about: {
    ttl: number
    serial: number
    refreshSeconds: number
    mname: string
    rname: string
    domain: string
  },
): AxfrView => {
  const As: RecordsView = {}
  const AAAAs: RecordsView = {}
  const SRVs: RecordsView = {}
  for (const name of [...records.names.keys()].sort()) {
    const of = records.names.get(name)
    const key = dotted(name)
    if (of?.A) As[key] = [...valuesOf(of.A)]
    if (of?.AAAA) AAAAs[key] = [...valuesOf(of.AAAA)]
    if (of?.SRV) SRVs[key] = valuesOf(of.SRV).map(data => shown('SRV', data))
  }
  return {
    TTL: about.ttl,
    Serial: about.serial,
    RefreshSeconds: about.refreshSeconds,
    Mname: `${about.mname}.`,
    Rname: `${about.rname}.`,
    Domain: about.domain,
    Records: { As, AAAAs, SRVs },
  }
}
