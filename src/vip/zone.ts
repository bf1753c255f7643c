/**
 * `l4lb.thisdcos.directory` out of the VIP table.
 *
 * answer 'vip', for clusters whose data plane routes VIP addresses:
 *   <name>                     A, AAAA    the VIP's address
 * answer 'backends', for clusters without one:
 *   <name>                     A, AAAA    the healthy backends of all its ports
 *   _<port>._<proto>.<name>    SRV        the healthy backends of that port
 *   <address>.<name>           A, AAAA    one backend, the target of the SRV
 *
 * `<name>` is '<vip>.<framework>'; all ports of a name share one address, as
 * in the originals. If no backend is healthy all are answered: health checks
 * fail together more often for a reason of their own than services do.
 * Numeric VIPs have no name. A name in its grace time keeps its address, or,
 * where backends are answered, exists without data.
 */
import type { RRset } from '../boundary/messages.ts'
import {
  allocateAddresses,
  DEFAULT_RANGE_V4,
  DEFAULT_RANGE_V6,
  type AddressRange,
} from './hash/vip-address.ts'
import type { ZoneMap } from '../boundary/zone.ts'
import { BackendNames, rrset } from './backend-names.ts'
import { L4LB_APEX } from './record.ts'
import type { ServedVip } from './table.ts'

export type VipZoneOptions = {
  readonly answer: 'vip' | 'backends'
  readonly apex?: string
  readonly range4?: AddressRange
  readonly range6?: AddressRange
  /** False leaves out IPv6 addresses. Default true. */
  readonly ipv6?: boolean
}

type Addresses = {
  readonly v4: ReadonlyMap<string, string>
  readonly v6: ReadonlyMap<string, string>
}

/** The addresses of every named VIP, for the families of its backends. Cached while the names stay the same. */
export class VipAddresses {
  readonly #last = { 4: new Allocated(4), 6: new Allocated(6) }

  of(
    vips: readonly ServedVip[],
    {
      range4 = DEFAULT_RANGE_V4,
      range6 = DEFAULT_RANGE_V6,
      ipv6 = true,
    }: Omit<VipZoneOptions, 'answer'> = {},
  ): Addresses {
    const named = vips.filter(vip => vip.name !== '')
    const names = (has: (vip: ServedVip) => boolean): string[] =>
      named.filter(has).map(vip => vip.name)
    return {
      v4: this.#last[4].of(
        names(vip => vip.v4),
        range4,
      ),
      v6: ipv6
        ? this.#last[6].of(
            names(vip => vip.v6),
            range6,
          )
        : new Map(),
    }
  }
}

/**
 * The addresses of one family. Cached, because hashing 5,000 names takes 20 ms and most changes only concern
 * backends.
 */
class Allocated {
  readonly #family: 4 | 6
  #names: readonly string[] = []
  #range: AddressRange | undefined
  #addresses: ReadonlyMap<string, string> = new Map()

  constructor(family: 4 | 6) {
    this.#family = family
  }

  of(names: readonly string[], range: AddressRange): ReadonlyMap<string, string> {
    const same =
      range.min === this.#range?.min &&
      range.max === this.#range.max &&
      names.length === this.#names.length &&
      names.every((name, i) => name === this.#names[i])
    if (!same) this.#addresses = allocateAddresses(names, this.#family, range)
    this.#names = names
    this.#range = range
    return this.#addresses
  }
}

/** The VIPs of each name: its ports and protocols. */
const byName = (vips: readonly ServedVip[]): Map<string, ServedVip[]> => {
  const names = new Map<string, ServedVip[]>()
  for (const vip of vips) {
    if (vip.name === '') continue
    const same = names.get(vip.name)
    if (same) same.push(vip)
    else names.set(vip.name, [vip])
  }
  return names
}

const addressZone = (
  vips: readonly ServedVip[],
  apex: string,
  options: VipZoneOptions,
  addresses: VipAddresses,
): ZoneMap => {
  const zone = new Map<string, readonly RRset[]>()
  const { v4, v6 } = addresses.of(vips, options)
  for (const name of byName(vips).keys()) {
    const rrsets: RRset[] = []
    const [a, aaaa] = [v4.get(name), v6.get(name)]
    if (a !== undefined) rrsets.push(rrset('A', [a]))
    if (aaaa !== undefined) rrsets.push(rrset('AAAA', [aaaa]))
    // if the range is full, the name exists without an address (NODATA, not NXDOMAIN)
    zone.set(`${name}.${apex}`, rrsets)
  }
  return zone
}

/**
 * The zone for a table (which includes names in their grace time). `addresses` and `names` keep what does not change
 * from one call to the next.
 */
export const servedVipZone = (
  vips: readonly ServedVip[],
  options: VipZoneOptions,
  addresses = new VipAddresses(),
  names = new BackendNames(),
): ZoneMap => {
  const apex = options.apex ?? L4LB_APEX
  return options.answer === 'vip'
    ? addressZone(vips, apex, options, addresses)
    : names.zone(vips, apex, options.ipv6 ?? true)
}
