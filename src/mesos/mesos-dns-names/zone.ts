/** The records as a local zone: owners with RRsets and TTLs, and the changes to them. */
import type { Owner, RRset, Seconds } from '../../boundary/messages.ts'
import type { ZoneChange, ZoneMap } from '../../boundary/zone.ts'
import { ZoneView } from '../../boundary/zone-view.ts'
import { RECORD_TYPES, type NameRecords } from '../dcos-names/owners.ts'
import { keptValues } from '../dcos-names/tally.ts'
import type { ZoneRecords } from './records.ts'

export type ZoneOptions = {
  readonly ttl: Seconds
}

/** The RRsets of one name. */
export const rrsetsOf = (records: NameRecords, { ttl }: ZoneOptions): readonly RRset[] => {
  const rrsets: RRset[] = []
  for (const type of RECORD_TYPES) {
    const tally = records[type]
    if (tally !== undefined) rrsets.push({ type, ttl, data: keptValues(tally) })
  }
  return rrsets
}

/** Converts the changes of a `ZoneRecords` to changes of a zone. */
export class RecordsZone {
  readonly #records: ZoneRecords
  readonly #options: ZoneOptions
  readonly #view: ZoneMap
  #published = false

  constructor(records: ZoneRecords, options: ZoneOptions) {
    this.#records = records
    this.#options = options
    this.#view = new ZoneView(records.names, of => rrsetsOf(of, options))
  }

  /** The whole zone at the first call, then the changes since the last call. */
  change(): ZoneChange {
    const changed = this.#records.take()
    if (!this.#published) {
      this.#published = true
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
