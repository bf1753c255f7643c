/**
 * What a node announces about VIPs: its backends for each. Sources produce records of this form, gossip transports
 * them, and the table merges them. zone.ts derives addresses and DNS names from them.
 */
import { domainFrag } from '../mesos/dcos-names/label.ts'
import { isName } from '../boundary/zone.ts'

export type Protocol = 'tcp' | 'udp'

export type Backend = {
  /** Canonical spelling. */
  readonly ip: string
  readonly port: number
  /** 1 takes connections, 0 is unhealthy or draining; files may set higher weights. */
  readonly weight: number
}

export type VipRecord = {
  readonly protocol: Protocol
  /** Normalised '<vip name>.<framework>'; '' for a numeric VIP. */
  readonly name: string
  /** Canonical address of a numeric VIP; '' for a named one. */
  readonly ip: string
  readonly port: number
  /** Sorted by address and port, without duplicates. */
  readonly backends: readonly Backend[]
}

/** Zone of the VIPs' names. */
export const L4LB_APEX = 'l4lb.thisdcos.directory'

/** Highest weight a backend may have. */
export const MAX_WEIGHT = 65_535

/** Cached keys, because they are needed for all records at every change. */
const keys = new WeakMap<object, string>()

/** A VIP is identified by its protocol, its name or address, and its port. */
export const vipKey = (vip: Omit<VipRecord, 'backends'>): string => {
  let key = keys.get(vip)
  if (key === undefined) {
    key = `${vip.name || vip.ip} ${vip.port} ${vip.protocol}`
    keys.set(vip, key)
  }
  return key
}

/**
 * The name of a VIP in its framework. Both parts are normalised as in DC/OS, so '/a/b' and 'ab' are equal. '' if a
 * part becomes empty, or if the result is too long for DNS.
 */
export const vipName = (vip: string, framework: string): string => {
  const [first, second] = [domainFrag(vip), domainFrag(framework)]
  const name = `${first}.${second}`
  // leaves room for the SRV names of its ports: _65535._tcp.
  const fits = first !== '' && second !== '' && isName(`_65535._tcp.${name}.${L4LB_APEX}`)
  return fits ? name : ''
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const byBackend = (a: Backend, b: Backend): number => byText(a.ip, b.ip) || a.port - b.port

/**
 * Collects backends by VIP. If a backend is added twice, the greater weight counts. A record that nothing is added
 * to keeps its identity, so that unchanged records are recognised quickly.
 */
export class VipCollector {
  readonly #vips = new Map<string, VipRecord | Gathered>()

  /** Backends in any order. */
  add(vip: Omit<VipRecord, 'backends'>, backends: readonly Backend[]): void {
    const key = vipKey(vip)
    const had = this.#vips.get(key)
    const gathered = had instanceof Gathered ? had : new Gathered(vip)
    if (had !== gathered) this.#vips.set(key, gathered)
    if (had && had !== gathered) gathered.add((had as VipRecord).backends)
    gathered.add(backends)
  }

  /** Adds a record from `records`. */
  addRecord(vip: VipRecord): void {
    const key = vipKey(vip)
    if (this.#vips.has(key)) this.add(vip, vip.backends)
    else this.#vips.set(key, vip)
  }

  /** All records, ordered by key, so that equal sets compare equal. */
  records(): VipRecord[] {
    const all = Array.from(this.#vips.values(), vip =>
      vip instanceof Gathered ? vip.record() : vip,
    )
    const ordered = all.every((vip, i) => i === 0 || vipKey(all[i - 1]!) < vipKey(vip))
    return ordered ? all : all.sort((a, b) => byText(vipKey(a), vipKey(b)))
  }
}

/** A VIP that several nodes announce. */
class Gathered {
  readonly #vip: Omit<VipRecord, 'backends'>
  readonly #backends = new Map<string, Backend>()

  constructor(vip: Omit<VipRecord, 'backends'>) {
    this.#vip = vip
  }

  add(backends: readonly Backend[]): void {
    for (const backend of backends) {
      const id = `${backend.ip} ${backend.port}`
      const had = this.#backends.get(id)
      if (had === undefined || had.weight < backend.weight) this.#backends.set(id, backend)
    }
  }

  record(): VipRecord {
    const { protocol, name, ip, port } = this.#vip
    return { protocol, name, ip, port, backends: [...this.#backends.values()].sort(byBackend) }
  }
}

/** The union of lists from `records`. One list alone is its own union. */
export const unionOf = (lists: Iterable<readonly VipRecord[]>): readonly VipRecord[] => {
  const some = [...lists].filter(records => records.length > 0)
  if (some.length < 2) return some[0] ?? []
  const collector = new VipCollector()
  for (const records of some) for (const vip of records) collector.addRecord(vip)
  return collector.records()
}

/** Whether two lists from `records` are equal. */
export const sameVips = (a: readonly VipRecord[], b: readonly VipRecord[]): boolean =>
  a.length === b.length &&
  a.every((vip, i) => {
    const other = b[i]
    if (vip === other) return true
    return (
      other !== undefined &&
      vipKey(vip) === vipKey(other) &&
      vip.backends.length === other.backends.length &&
      vip.backends.every((backend, j) => {
        const its = other.backends[j]
        return (
          its !== undefined &&
          backend.ip === its.ip &&
          backend.port === its.port &&
          backend.weight === its.weight
        )
      })
    )
  })
