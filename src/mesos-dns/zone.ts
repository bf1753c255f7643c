/**
 * The records as a local zone: owners with RRsets, and what changes of them.
 * Here records get their TTL, and SRV its priority and weight.
 */
import type { Owner, RRset, Seconds } from '../boundary.ts'
import type { ZoneChange } from '../control/zone.ts'
import type { NameRecords } from '../control/mesos/owners.ts'
import type { ZoneRecords } from './records.ts'

export type ZoneOptions = {
  readonly ttl: Seconds
  /** Weight of every SRV record; the priority is 0. */
  readonly srvWeight: number
}

/** 'web.example.org:8080' as rdata. */
const srvData = (data: string, weight: number): string => {
  const colon = data.lastIndexOf(':')
  return `0 ${weight} ${data.slice(colon + 1)} ${data.slice(0, colon)}`
}

/** The RRsets of one name. */
export const rrsetsOf = (
  records: NameRecords,
  { ttl, srvWeight }: ZoneOptions,
): readonly RRset[] => {
  const rrsets: RRset[] = []
  if (records.A) rrsets.push({ type: 'A', ttl, data: records.A.keep() })
  if (records.AAAA) rrsets.push({ type: 'AAAA', ttl, data: records.AAAA.keep() })
  if (records.SRV) {
    const data = records.SRV.values.map(one => srvData(one, srvWeight))
    rrsets.push({ type: 'SRV', ttl, data })
  }
  return rrsets
}

/** All of the zone. What changed so far counts as taken. */
export const wholeZone = (records: ZoneRecords, options: ZoneOptions): ZoneChange => {
  records.take()
  const zone = new Map<string, readonly RRset[]>()
  for (const [name, of] of records.names) zone.set(name, rrsetsOf(of, options))
  return { kind: 'full', zone }
}

/** What changed since it was last taken. */
export const changedZone = (records: ZoneRecords, options: ZoneOptions): ZoneChange => {
  const set: Owner[] = []
  const drop: string[] = []
  for (const owner of records.take()) {
    if (owner.listed) set.push([owner.name, rrsetsOf(owner, options)])
    else drop.push(owner.name)
  }
  return { kind: 'patch', set, drop }
}
