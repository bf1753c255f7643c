/**
 * The records as a local zone: owners with RRsets, and what changes of them.
 * Here records get their TTL, and SRV its priority and weight.
 */
import type { Owner, RRset, Seconds } from '../boundary.ts'
import type { ZoneChange, ZoneMap } from '../control/zone.ts'
import { ZoneView } from '../control/zone-view.ts'
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

/** The records of a `ZoneRecords` as changes of one zone. */
export class RecordsZone {
  readonly #records: ZoneRecords
  readonly #options: ZoneOptions
  readonly #view: ZoneMap
  #told = false

  constructor(records: ZoneRecords, options: ZoneOptions) {
    this.#records = records
    this.#options = options
    this.#view = new ZoneView(records.names, of => rrsetsOf(of, options))
  }

  /** All of it the first time, then what changed since the last. */
  change(): ZoneChange {
    const changed = this.#records.take()
    if (!this.#told) {
      this.#told = true
      return { kind: 'full', zone: this.#view, live: true }
    }
    const set: Owner[] = []
    const drop: string[] = []
    for (const owner of changed) {
      if (owner.listed) set.push([owner.name, rrsetsOf(owner, this.#options)])
      else drop.push(owner.name)
    }
    return { kind: 'patch', set, drop, of: this.#view }
  }
}
