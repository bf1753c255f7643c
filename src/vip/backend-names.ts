/**
 * The owners of each VIP name where names resolve to their backends (zone.ts). The owners of a name are kept while its
 * VIPs are the same objects, so that a moved VIP costs the names of one, and whoever compares two zones sees at once
 * what stayed.
 */
import type { Owner, RRset } from '../boundary/messages.ts'
import { addressType, familyOf } from '../base/ip.ts'
import { isName, TTL, type ZoneMap } from '../boundary/zone.ts'
import type { Backend } from './record.ts'
import type { ServedVip } from './table.ts'

export const rrset = (type: string, data: Iterable<string>): RRset => ({
  type,
  ttl: TTL,
  data: [...data],
})

/** The healthy backends; all of them if none is healthy. */
const usable = (backends: readonly Backend[]): readonly Backend[] => {
  const healthy = backends.filter(b => b.weight > 0)
  return healthy.length > 0 ? healthy : backends
}

/** An address as one label: '10-0-0-11', or the 32 digits of an IPv6 address. */
const addressLabel = (ip: string): string => {
  if (familyOf(ip) === 4) return ip.replaceAll('.', '-')
  const [head = '', tail = ''] = ip.split('::')
  const groups = (part: string): string[] =>
    part === '' ? [] : part.split(':').map(g => g.padStart(4, '0'))
  const [before, after] = [groups(head), groups(tail)]
  const zeros = new Array<string>(8 - before.length - after.length).fill('0000')
  return [...before, ...zeros, ...after].join('')
}

const addressSets = (ips: Iterable<string>): RRset[] => {
  const sorted = [...new Set(ips)].sort()
  return (['A', 'AAAA'] as const)
    .map(type =>
      rrset(
        type,
        sorted.filter(ip => addressType(ip) === type),
      ),
    )
    .filter(({ data }) => data.length > 0)
}

/** The owners of one name, and the VIPs that they were made of; in use since the call of that number. */
type Kept = { readonly from: readonly ServedVip[]; readonly owners: readonly Owner[]; call: number }

export class BackendNames {
  readonly #kept = new Map<string, Kept>()
  readonly #zone = new Map<string, readonly RRset[]>()
  /** How many owners the names have. The zone has fewer if two names share one; the last one of them counts. */
  #owners = 0
  #call = 0
  /** The settings that the kept owners were made with. For others, all are made again. */
  #apex = ''
  #ipv6 = true

  /**
   * The zone of a table, which is ordered by name. The result is the same map at every call, changed where a name has
   * changed.
   */
  zone(vips: readonly ServedVip[], apex: string, ipv6: boolean): ZoneMap {
    if (apex !== this.#apex || ipv6 !== this.#ipv6) this.#clear()
    this.#apex = apex
    this.#ipv6 = ipv6
    const call = ++this.#call
    const named = vips.filter(vip => vip.name !== '')
    for (let i = 0, end = 0; i < named.length; i = end) {
      const { name } = named[i]!
      for (end = i + 1; named[end]?.name === name;) end++
      let kept = this.#kept.get(name)
      if (!kept || !isRun(kept.from, named, i, end)) {
        if (kept) this.#remove(kept)
        const from = named.slice(i, end)
        kept = { from, owners: ownersOf(`${name}.${apex}`, from, ipv6), call }
        this.#kept.set(name, kept)
        this.#add(kept)
      }
      kept.call = call
    }
    for (const [name, kept] of this.#kept) {
      if (kept.call === call) continue
      this.#kept.delete(name)
      this.#remove(kept)
    }
    // an owner of two names may have gone with one of them, or be that of the first
    if (this.#zone.size < this.#owners) this.#refill()
    return this.#zone
  }

  #clear(): void {
    this.#kept.clear()
    this.#zone.clear()
    this.#owners = 0
  }

  #refill(): void {
    this.#zone.clear()
    for (const [, { owners }] of [...this.#kept].sort(([a], [b]) => (a < b ? -1 : 1)))
      for (const [owner, rrsets] of owners) this.#zone.set(owner, rrsets)
  }

  #add({ owners }: Kept): void {
    this.#owners += owners.length
    for (const [owner, rrsets] of owners) this.#zone.set(owner, rrsets)
  }

  #remove({ owners }: Kept): void {
    this.#owners -= owners.length
    for (const [owner] of owners) this.#zone.delete(owner)
  }
}

/** Whether `vips` from `start` to `end` are these objects. */
const isRun = (
  from: readonly ServedVip[],
  vips: readonly ServedVip[],
  start: number,
  end: number,
): boolean => from.length === end - start && from.every((vip, i) => vip === vips[start + i])

const ownersOf = (owner: string, vips: readonly ServedVip[], ipv6: boolean): Owner[] => {
  const owners = new Map<string, readonly RRset[]>()
  const allowed = (backends: readonly Backend[]): readonly Backend[] =>
    ipv6 ? backends : backends.filter(b => familyOf(b.ip) === 4)
  owners.set(owner, addressSets(usable(allowed(vips.flatMap(vip => vip.backends))).map(b => b.ip)))
  for (const vip of vips) {
    const targets: string[] = []
    for (const { ip, port, weight } of usable(allowed(vip.backends))) {
      const target = `${addressLabel(ip)}.${owner}`
      if (!isName(target)) continue
      // SRV weight 0 stands for "almost never" beside others (RFC 2782), so it becomes 1
      targets.push(`0 ${Math.max(1, weight)} ${port} ${target}`)
      owners.set(target, addressSets([ip]))
    }
    owners.set(
      `_${vip.port}._${vip.protocol}.${owner}`,
      targets.length > 0 ? [rrset('SRV', targets)] : [],
    )
  }
  return [...owners]
}
