/**
 * All VIPs of the cluster, merged from the announcements of all nodes. Pure: announcements and the time are passed
 * in.
 *
 * A VIP whose last backend was removed stays for a grace time: clients still know its address, the balancer refuses
 * their connections meanwhile, and the next task of a deployment usually starts soon.
 */
import { familyOf } from '../base/ip.ts'
import { VipCollector, vipKey, type VipRecord } from './record.ts'

/** The VIPs of one node. */
export type OwnerVips = {
  readonly owner: string
  readonly records: readonly VipRecord[]
}

/** A VIP as it is served. */
export type ServedVip = VipRecord & {
  /** Families of its address: those of its current or last backends. */
  readonly v4: boolean
  readonly v6: boolean
}

/** A VIP for people and balancers, with the addresses of its name ('' for none). */
export type ShownVip = ServedVip & { readonly address4: string; readonly address6: string }

/** Numbers of a table. */
export type VipCounts = {
  readonly vips: number
  readonly backends: number
  /** Named VIPs without a backend, in their grace time. */
  readonly leaving: number
}

/** A VIP, and the announcements that it was merged from; `found` of them in the call of that number. */
type Merged = {
  readonly from: VipRecord[]
  vip: ServedVip | undefined
  found: number
  call: number
}

/**
 * Merges the announcements of all nodes. Announcements keep their identity while they do not change, and so does
 * every VIP whose announcements are the same as at the last call. A change of one VIP of a large cluster then costs
 * the merging of one.
 */
export class VipMerge {
  /** Ordered by key. */
  #merged = new Map<string, Merged>()
  #call = 0

  /** The union, ordered by key. */
  of(owners: Iterable<OwnerVips>): ServedVip[] {
    const call = ++this.#call
    const before = this.#merged.size
    for (const { records } of owners) for (const record of records) this.#found(record, call)
    // what is new is at the end
    if (this.#merged.size > before)
      this.#merged = new Map([...this.#merged].sort(([a], [b]) => (a < b ? -1 : 1)))
    const vips: ServedVip[] = []
    for (const [key, merged] of this.#merged) {
      if (merged.call !== call) {
        this.#merged.delete(key)
        continue
      }
      if (merged.found < merged.from.length) {
        merged.from.length = merged.found
        merged.vip = undefined
      }
      vips.push((merged.vip ??= mergedVip(merged.from)))
    }
    return vips
  }

  /** The VIP with this key, as the last call of `of` has merged it. */
  get(key: string): ServedVip | undefined {
    return this.#merged.get(key)?.vip
  }

  #found(record: VipRecord, call: number): void {
    const key = vipKey(record)
    let merged = this.#merged.get(key)
    if (!merged) {
      merged = { from: [], vip: undefined, found: 0, call }
      this.#merged.set(key, merged)
    }
    if (merged.call !== call) {
      merged.call = call
      merged.found = 0
    }
    if (merged.from[merged.found] !== record) {
      merged.from[merged.found] = record
      merged.vip = undefined
    }
    merged.found++
  }
}

const hasAddress = (vip: ServedVip): boolean => vip.v4 || vip.v6

const mergedVip = (records: readonly VipRecord[]): ServedVip => {
  const collector = new VipCollector()
  for (const record of records) collector.addRecord(record)
  const vip = collector.records()[0]!
  return {
    ...vip,
    v4: vip.backends.some(b => familyOf(b.ip) === 4),
    v6: vip.backends.some(b => familyOf(b.ip) === 6),
  }
}

export class VipTable {
  readonly #graceMs: number
  readonly #merge = new VipMerge()
  #vips: readonly ServedVip[] = []
  #counts: VipCounts | undefined
  /** VIPs without backends, and until when they stay. */
  #leaving = new Map<string, { readonly vip: ServedVip; readonly until: number }>()

  /** `graceMs` 0 removes a VIP together with its last backend. */
  constructor(graceMs: number) {
    this.#graceMs = graceMs
  }

  /** Merges the current announcements. Also call it when `nextMs` has passed. */
  update(owners: Iterable<OwnerVips>, now: number): readonly ServedVip[] {
    // a record without backends belongs to a name that its owner still keeps
    const served = this.#merge.of(owners).filter(hasAddress)
    const present = (key: string): boolean => {
      const vip = this.#merge.get(key)
      return vip !== undefined && hasAddress(vip)
    }
    for (const vip of this.#vips) {
      const key = vipKey(vip)
      if (present(key) || this.#leaving.has(key)) continue
      this.#leaving.set(key, { vip: { ...vip, backends: [] }, until: now + this.#graceMs })
    }
    for (const [key, { until }] of this.#leaving) {
      if (present(key) || until <= now) this.#leaving.delete(key)
    }
    if (this.#leaving.size > 0) {
      for (const { vip } of this.#leaving.values()) served.push(vip)
      served.sort((a, b) => (vipKey(a) < vipKey(b) ? -1 : 1))
    }
    this.#vips = served
    this.#counts = undefined
    return this.#vips
  }

  /** The last result of `update`. */
  get vips(): readonly ServedVip[] {
    return this.#vips
  }

  /** Totals of the VIPs. They are kept until the next update, because several metrics need them at each scrape. */
  get counts(): VipCounts {
    if (this.#counts) return this.#counts
    let [backends, leaving] = [0, 0]
    for (const vip of this.#vips) {
      backends += vip.backends.length
      if (vip.backends.length === 0) leaving++
    }
    this.#counts = { vips: this.#vips.length, backends, leaving }
    return this.#counts
  }

  /** Milliseconds until the next name is removed; Infinity if none is waiting. */
  nextMs(now: number): number {
    let next = Infinity
    for (const { until } of this.#leaving.values()) next = Math.min(next, Math.max(0, until - now))
    return next
  }
}
