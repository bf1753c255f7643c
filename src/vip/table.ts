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

/** The union of all nodes' VIPs, ordered by key. */
export const mergeVips = (owners: Iterable<OwnerVips>): ServedVip[] => {
  const collector = new VipCollector()
  for (const { records } of owners) for (const vip of records) collector.addRecord(vip)
  return collector.records().map(served)
}

/** Cached by record, which keeps its identity while nothing changes. */
const servedOf = new WeakMap<VipRecord, ServedVip>()

const served = (vip: VipRecord): ServedVip => {
  const known = servedOf.get(vip)
  if (known) return known
  const served = {
    ...vip,
    v4: vip.backends.some(b => familyOf(b.ip) === 4),
    v6: vip.backends.some(b => familyOf(b.ip) === 6),
  }
  servedOf.set(vip, served)
  return served
}

export class VipTable {
  readonly #graceMs: number
  #vips: readonly ServedVip[] = []
  /** VIPs without backends, and until when they stay. */
  #leaving = new Map<string, { readonly vip: ServedVip; readonly until: number }>()

  /** `graceMs` 0 removes a VIP together with its last backend. */
  constructor(graceMs: number) {
    this.#graceMs = graceMs
  }

  /** Merges the current announcements. Also call it when `nextMs` has passed. */
  update(owners: Iterable<OwnerVips>, now: number): readonly ServedVip[] {
    // a record without backends belongs to a name that its owner still keeps
    const served = mergeVips(owners).filter(vip => vip.v4 || vip.v6)
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
    return this.#vips
  }

  /** The last result of `update`. */
  get vips(): readonly ServedVip[] {
    return this.#vips
  }

  /** Milliseconds until the next name is removed; Infinity if none is waiting. */
  nextMs(now: number): number {
    let next = Infinity
    for (const { until } of this.#leaving.values()) next = Math.min(next, Math.max(0, until - now))
    return next
  }
}
