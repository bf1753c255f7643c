/**
 * What a node says about VIPs: which backends it has for each. This is the
 * neutral form that sources produce, that gossip carries per node, and that
 * the table merges; an address or a DNS name is made of it only in zone.ts.
 */
import { domainFrag } from '../mesos/dcos-names/label.ts'
import { isName } from '../boundary/zone.ts'

export type Protocol = 'tcp' | 'udp'

export type Backend = {
  /** Canonical spelling. */
  readonly ip: string
  readonly port: number
  /** 1 takes traffic, 0 is unhealthy or draining; files may say more than 1. */
  readonly weight: number
}

export type VipRecord = {
  readonly protocol: Protocol
  /** Normalised '<vip name>.<framework>'; '' of a numeric VIP. */
  readonly name: string
  /** Canonical address of a numeric VIP; '' of a named one. */
  readonly ip: string
  readonly port: number
  /** Sorted by address and port, each once. */
  readonly backends: readonly Backend[]
}

/** Zone of the names of VIPs. */
export const L4LB_APEX = 'l4lb.thisdcos.directory'

/** Highest weight a backend may have. */
export const MAX_WEIGHT = 65_535

/** Keys by record: each is asked for again with every change anywhere. */
const keys = new WeakMap<object, string>()

/** One VIP is one protocol, one name (or address) and one port. */
export const vipKey = (vip: Omit<VipRecord, 'backends'>): string => {
  let key = keys.get(vip)
  if (key === undefined) {
    key = `${vip.name || vip.ip} ${vip.port} ${vip.protocol}`
    keys.set(vip, key)
  }
  return key
}

/**
 * The name of a VIP in its framework: both through the same rules as in the
 * originals, so '/a/b' and 'ab' are one. '' if nothing is left of either, or
 * if the whole would be too long for DNS.
 */
export const vipName = (vip: string, framework: string): string => {
  const [first, second] = [domainFrag(vip), domainFrag(framework)]
  const name = `${first}.${second}`
  // room for the SRV names of its ports: _65535._tcp.
  const fits = first !== '' && second !== '' && isName(`_65535._tcp.${name}.${L4LB_APEX}`)
  return fits ? name : ''
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

const byBackend = (a: Backend, b: Backend): number => byText(a.ip, b.ip) || a.port - b.port

/**
 * Collects backends by VIP; of one backend said twice the greater weight
 * counts. A record that nobody adds to comes out as it went in, so that a
 * change costs what it changes.
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

  /** A record as `records` gives it. */
  addRecord(vip: VipRecord): void {
    const key = vipKey(vip)
    if (this.#vips.has(key)) this.add(vip, vip.backends)
    else this.#vips.set(key, vip)
  }

  /** All of them, in the order of their keys, so that equal sets compare equal. */
  records(): VipRecord[] {
    const all = [...this.#vips]
    if (all.some(([key], i) => i > 0 && key < all[i - 1]![0])) all.sort(([a], [b]) => byText(a, b))
    return all.map(([, vip]) => (vip instanceof Gathered ? vip.record() : vip))
  }
}

/** A VIP that several say something about. */
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

/** Whether two lists of records (as `records` gives them) say the same. */
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
