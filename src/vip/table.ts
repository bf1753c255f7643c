/**
 * All VIPs of the cluster, merged from what every node says about its own
 * backends. Pure: the shares come in with the time, the table comes out.
 *
 * A VIP whose last backend went stays for a grace time: clients hold its
 * address, which a balancer refuses meanwhile, and the next task of a
 * deployment is usually a second away.
 */
import { familyOf } from '../base/ip.ts'
import { VipCollector, vipKey, type VipRecord } from './record.ts'

/** What one node says. */
export type OwnerVips = {
  readonly owner: string
  readonly records: readonly VipRecord[]
}

/** A VIP as it is served. */
export type ServedVip = VipRecord & {
  /** Families of its address: those its backends have, or had last. */
  readonly v4: boolean
  readonly v6: boolean
}

/** A VIP for people and balancers: with the addresses its name resolves to ('' where it has none). */
export type ShownVip = ServedVip & { readonly address4: string; readonly address6: string }

/** The union of what all nodes say, in the order of the VIPs' keys. */
export const mergeVips = (owners: Iterable<OwnerVips>): ServedVip[] => {
  const collector = new VipCollector()
  for (const { records } of owners) for (const vip of records) collector.addRecord(vip)
  return collector.records().map(served)
}

/** By record, which is the same object as long as nobody says anything else. */
const servedOf = new WeakMap<VipRecord, ServedVip>()

const served = (vip: VipRecord): ServedVip => {
  const known = servedOf.get(vip)
  if (known) return known
  const made = {
    ...vip,
    v4: vip.backends.some(b => familyOf(b.ip) === 4),
    v6: vip.backends.some(b => familyOf(b.ip) === 6),
  }
  servedOf.set(vip, made)
  return made
}

export class VipTable {
  readonly #graceMs: number
  #vips: readonly ServedVip[] = []
  /** VIPs without backends, and until when they stay. */
  #leaving = new Map<string, { readonly vip: ServedVip; readonly until: number }>()

  /** `graceMs` 0 lets a VIP go with its last backend. */
  constructor(graceMs: number) {
    this.#graceMs = graceMs
  }

  /** Take what all nodes say now; also to be called when `nextMs` has passed. */
  update(owners: Iterable<OwnerVips>, now: number): readonly ServedVip[] {
    // a record without backends is a name that its owner keeps: nothing to leave yet
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

  /** What `update` gave last. */
  get vips(): readonly ServedVip[] {
    return this.#vips
  }

  /** Milliseconds until the next name leaves; Infinity if none is leaving. */
  nextMs(now: number): number {
    let next = Infinity
    for (const { until } of this.#leaving.values()) next = Math.min(next, Math.max(0, until - now))
    return next
  }
}
