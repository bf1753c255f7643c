/**
 * The owners of each VIP name where names resolve to their backends (zone.ts). The owners of a name are kept while its
 * VIPs are the same objects, so that a moved VIP costs the names of one, and whoever compares two zones sees at once
 * what stayed.
 */
import type { Owner, RRset } from '../boundary/messages.ts'
import { addressType, familyOf } from '../base/ip.ts'
import { isName, TTL, type ZoneMap } from '../boundary/zone.ts'
import type { Backend } from './record.ts'
import { sameItems, type ServedVip } from './table.ts'

/** The VIPs of each name: its ports and protocols. */
export const byName = (vips: readonly ServedVip[]): Map<string, ServedVip[]> => {
  const names = new Map<string, ServedVip[]>()
  for (const vip of vips) {
    if (vip.name === '') continue
    const same = names.get(vip.name)
    if (same) same.push(vip)
    else names.set(vip.name, [vip])
  }
  return names
}

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

/** The owners of one name, and the VIPs that they were made of. */
type Kept = { readonly from: readonly ServedVip[]; readonly owners: readonly Owner[] }

export class BackendNames {
  #kept = new Map<string, Kept>()
  /** What the kept owners depend on besides their VIPs. */
  #apex = ''
  #ipv6 = true

  zone(vips: readonly ServedVip[], apex: string, ipv6: boolean): ZoneMap {
    const before = apex === this.#apex && ipv6 === this.#ipv6 ? this.#kept : new Map<string, Kept>()
    this.#apex = apex
    this.#ipv6 = ipv6
    this.#kept = new Map()
    const zone = new Map<string, readonly RRset[]>()
    for (const [name, from] of byName(vips)) {
      const had = before.get(name)
      const kept =
        had && sameItems(had.from, from)
          ? had
          : { from, owners: ownersOf(`${name}.${apex}`, from, ipv6) }
      this.#kept.set(name, kept)
      for (const [owner, rrsets] of kept.owners) zone.set(owner, rrsets)
    }
    return zone
  }
}

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
