/**
 * A zone as the sum of its tasks' shares, counted: several tasks may say the
 * same (two on one agent), and the record goes when the last of them does. A
 * changed task costs its own names and nothing else.
 */
import type { Owner, RRset } from '../../boundary.ts'
import type { ZoneMap } from '../zone.ts'
import type { Share } from './task-records.ts'

const NONE: readonly Share[] = Object.freeze([])

const same = (a: readonly Share[], b: readonly Share[]): boolean =>
  a.length === b.length &&
  a.every((share, i) => {
    const other = b[i]
    return other !== undefined && share[0] === other[0] && share[1] === other[1] && share[2] === other[2]
  })

export class RecordIndex {
  readonly #ttl: number
  /** Who adds what: by task key, and 'masters'. */
  readonly #shares = new Map<string, readonly Share[]>()
  /** owner → 'A 192.0.2.1' → how many say so. */
  readonly #owners = new Map<string, Map<string, number>>()
  /** Owners touched since the last `take`. */
  readonly #touched = new Set<string>()

  constructor(ttl: number) {
    this.#ttl = ttl
  }

  /** What this one adds to the zone from now on; nothing to remove it. */
  set(key: string, shares: readonly Share[]): void {
    const before = this.#shares.get(key) ?? NONE
    if (same(before, shares)) return
    // add first: what stays is not counted down to nothing in between
    for (const share of shares) this.#count(share, 1)
    for (const share of before) this.#count(share, -1)
    if (shares.length === 0) this.#shares.delete(key)
    else this.#shares.set(key, shares)
  }

  keys(): IterableIterator<string> {
    return this.#shares.keys()
  }

  /** Owners that changed since the last call: what they hold now, and which are gone. */
  take(): { set: Owner[]; drop: string[] } {
    const set: Owner[] = []
    const drop: string[] = []
    for (const owner of this.#touched) {
      const records = this.#owners.get(owner)
      if (records) set.push([owner, this.#rrsets(records)])
      else drop.push(owner)
    }
    this.#touched.clear()
    return { set, drop }
  }

  /** The whole zone. Counts as a `take`. */
  zone(): ZoneMap {
    this.#touched.clear()
    const zone = new Map<string, readonly RRset[]>()
    for (const [owner, records] of this.#owners) zone.set(owner, this.#rrsets(records))
    return zone
  }

  get size(): number {
    return this.#owners.size
  }

  #count([owner, type, data]: Share, by: 1 | -1): void {
    let records = this.#owners.get(owner)
    if (!records) this.#owners.set(owner, (records = new Map()))
    const key = `${type} ${data}`
    const n = (records.get(key) ?? 0) + by
    if (n > 0) records.set(key, n)
    else records.delete(key)
    if (records.size === 0) this.#owners.delete(owner)
    // only a first or a last one changes what the owner holds
    if (n === 0 || (n === 1 && by === 1)) this.#touched.add(owner)
  }

  #rrsets(records: ReadonlyMap<string, number>): RRset[] {
    const byType = new Map<string, string[]>()
    for (const key of records.keys()) {
      const space = key.indexOf(' ')
      const type = key.slice(0, space)
      const data = byType.get(type)
      if (data) data.push(key.slice(space + 1))
      else byType.set(type, [key.slice(space + 1)])
    }
    const rrsets: RRset[] = []
    for (const [type, data] of byType) rrsets.push({ type, ttl: this.#ttl, data: data.sort() })
    // in one order, so that equal zones compare equal
    return rrsets.sort((a, b) => (a.type < b.type ? -1 : 1))
  }
}
