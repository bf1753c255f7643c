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

/** A VIP, and the announcements that it was merged from. */
type Merged = { readonly from: readonly VipRecord[]; readonly vip: ServedVip }

/**
 * Merges the announcements of all nodes. Announcements keep their identity while they do not change, and so does
 * every VIP whose announcements are the same as at the last call. A change of one VIP of a large cluster then costs
 * the merging of one.
 */
export class VipMerge {
  #merged = new Map<string, Merged>()

  /** The union, ordered by key. */
  of(owners: Iterable<OwnerVips>): ServedVip[] {
    const groups = new Map<string, VipRecord[]>()
    for (const { records } of owners) {
      for (const record of records) {
        const key = vipKey(record)
        const group = groups.get(key)
        if (group) group.push(record)
        else groups.set(key, [record])
      }
    }
    const before = this.#merged
    const same = groups.size === before.size && [...groups.keys()].every(key => before.has(key))
    const merged = new Map<string, Merged>()
    for (const key of same ? before.keys() : [...groups.keys()].sort()) {
      const [from, had] = [groups.get(key)!, before.get(key)]
      merged.set(key, had && sameItems(had.from, from) ? had : { from, vip: mergedVip(from) })
    }
    this.#merged = merged
    return Array.from(merged.values(), ({ vip }) => vip)
  }
}

/** Whether two lists hold the same objects. */
export const sameItems = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((one, i) => one === b[i])

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
    const served = this.#merge.of(owners).filter(vip => vip.v4 || vip.v6)
    const present = new Set(served.map(vipKey))
    for (const vip of this.#vips) {
      const key = vipKey(vip)
      if (present.has(key) || this.#leaving.has(key)) continue
      this.#leaving.set(key, { vip: { ...vip, backends: [] }, until: now + this.#graceMs })
    }
    for (const [key, { until }] of this.#leaving) {
      if (present.has(key) || until <= now) this.#leaving.delete(key)
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

  /** Counted once for each table, because every metric of a scrape asks. */
  get counts(): VipCounts {
    this.#counts ??= {
      vips: this.#vips.length,
      backends: this.#vips.reduce((sum, vip) => sum + vip.backends.length, 0),
      leaving: this.#vips.filter(vip => vip.backends.length === 0).length,
    }
    return this.#counts
  }

  /** Milliseconds until the next name is removed; Infinity if none is waiting. */
  nextMs(now: number): number {
    let next = Infinity
    for (const { until } of this.#leaving.values()) next = Math.min(next, Math.max(0, until - now))
    return next
  }
}
