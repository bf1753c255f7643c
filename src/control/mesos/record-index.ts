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
    return other !== undefined && share[0] === other[0] && share[1] === other[1]
  })

/**
 * What an owner holds: its first record and how many say so, and any others.
 * Most owners have one record, and a map for each of them is what a rebuild
 * of 10,000 tasks would spend its time on.
 */
type Held = { record: string; count: number; more: Map<string, number> | undefined }

/** 'SRV 0 1 80 a.example.org' in its two parts. */
const parts = (record: string): { type: string; data: string } => {
  const space = record.indexOf(' ')
  return { type: record.slice(0, space), data: record.slice(space + 1) }
}

export class RecordIndex {
  readonly #ttl: number
  /** Who adds what: by task key, and 'masters'. */
  readonly #shares = new Map<string, readonly Share[]>()
  readonly #owners = new Map<string, Held>()
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
    for (const [owner, record] of shares) this.#add(owner, record)
    for (const [owner, record] of before) this.#remove(owner, record)
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
      const held = this.#owners.get(owner)
      if (held) set.push([owner, this.#rrsets(held)])
      else drop.push(owner)
    }
    this.#touched.clear()
    return { set, drop }
  }

  /** The whole zone. Counts as a `take`. */
  zone(): ZoneMap {
    this.#touched.clear()
    const zone = new Map<string, readonly RRset[]>()
    for (const [owner, held] of this.#owners) zone.set(owner, this.#rrsets(held))
    return zone
  }

  get size(): number {
    return this.#owners.size
  }

  #add(owner: string, record: string): void {
    const held = this.#owners.get(owner)
    if (held === undefined) this.#owners.set(owner, { record, count: 1, more: undefined })
    else if (held.record === record) {
      held.count++
      return
    } else {
      held.more ??= new Map()
      const count = held.more.get(record) ?? 0
      held.more.set(record, count + 1)
      if (count > 0) return
    }
    this.#touched.add(owner)
  }

  #remove(owner: string, record: string): void {
    const held = this.#owners.get(owner)
    if (held === undefined) return
    if (held.record === record) {
      if (--held.count > 0) return
      const [next] = held.more ?? []
      if (next === undefined) this.#owners.delete(owner)
      else {
        ;[held.record, held.count] = next
        held.more?.delete(held.record)
      }
    } else {
      const count = (held.more?.get(record) ?? 1) - 1
      if (count > 0) {
        held.more?.set(record, count)
        return
      }
      held.more?.delete(record)
    }
    this.#touched.add(owner)
  }

  #rrsets({ record, more }: Held): RRset[] {
    if (more === undefined || more.size === 0) {
      const { type, data } = parts(record)
      return [{ type, ttl: this.#ttl, data: [data] }]
    }
    const byType = new Map<string, string[]>()
    for (const each of [record, ...more.keys()]) {
      const { type, data } = parts(each)
      const known = byType.get(type)
      if (known) known.push(data)
      else byType.set(type, [data])
    }
    const rrsets: RRset[] = []
    for (const [type, data] of byType) rrsets.push({ type, ttl: this.#ttl, data: data.sort() })
    // in one order, so that equal zones compare equal
    return rrsets.sort((a, b) => (a.type < b.type ? -1 : 1))
  }
}
