/**
 * Converts the VIP table to the wanted state of the kernel: a list of slots for each address, protocol and port.
 * Pure.
 *
 * Backends of weight 0 are draining and get no new connections. If all backends have weight 0, all are used: the
 * health check is then more likely to be broken than every backend.
 */
import { familyOf } from '../base/ip.ts'
import type { FeedBackend, FeedVip } from '../vip/feed.ts'
import type { Protocol } from '../vip/record.ts'
import { MOST_SLOTS, slotsOf, TOTAL_SLOTS } from './slots.ts'

export type Family = 4 | 6

export type Service = {
  readonly family: Family
  readonly protocol: Protocol
  readonly address: string
  readonly port: number
  /** '10.0.0.1 . 31000' for each slot. Without slots, connections are refused. */
  readonly slots: readonly string[]
}

/** The wanted state of the kernel's tables, without the fixed rules. */
export type Rules = {
  /** Keyed by '11.0.0.1 . tcp . 80'. */
  readonly services: ReadonlyMap<string, Service>
  /** Addresses of containers on this host, which may connect to themselves. */
  readonly self: ReadonlySet<string>
  /** Links through which a packet may leave the way it came. */
  readonly links: ReadonlySet<string>
}

export type Planned = {
  readonly services: ReadonlyMap<string, Service>
  readonly self: ReadonlySet<string>
  readonly vips: number
  readonly backends: number
  readonly slots: number
  readonly rejecting: number
  /** Keys of VIPs whose weights could not be represented exactly. */
  readonly capped: readonly string[]
}

export const serviceKey = ({
  address,
  protocol,
  port,
}: Omit<Service, 'slots' | 'family'>): string => `${address} . ${protocol} . ${port}`

const usable = (backends: readonly FeedBackend[], prefer: 'none' | 'local'): FeedBackend[] => {
  const healthy = backends.filter(({ weight }) => weight > 0)
  const near = prefer === 'local' ? healthy.filter(({ local }) => local) : []
  if (near.length > 0) return near
  return healthy.length > 0 ? healthy : backends.map(backend => ({ ...backend, weight: 1 }))
}

export type PlanOptions = {
  readonly prefer: 'none' | 'local'
  /** False leaves out IPv6. */
  readonly ipv6: boolean
  /** This agent's own addresses; they need no masquerading to reach themselves. */
  readonly own: readonly string[]
}

/** The plan for one VIP. */
type Part = {
  readonly services: readonly Service[]
  readonly self: readonly string[]
  readonly slots: number
  readonly capped: boolean
}

/** Caches the plans by VIP, so that a change of one of 5,000 VIPs plans only one. */
export class Planner {
  readonly #options: Omit<PlanOptions, 'own'>
  #own: readonly string[] = []
  #most = MOST_SLOTS
  #parts = new WeakMap<FeedVip, Part>()

  constructor(options: Omit<PlanOptions, 'own'>) {
    this.#options = options
  }

  plan(vips: ReadonlyMap<string, FeedVip>, own: readonly string[]): Planned {
    if (own.join() !== this.#own.join()) this.#parts = new WeakMap()
    this.#own = own
    for (let most = MOST_SLOTS; ; most = Math.ceil(most / 2)) {
      if (most !== this.#most) this.#parts = new WeakMap()
      this.#most = most
      const planned = this.#all(vips)
      if (planned.slots <= TOTAL_SLOTS || most === 1) return planned
    }
  }

  #all(vips: ReadonlyMap<string, FeedVip>): Planned {
    const services = new Map<string, Service>()
    const self = new Set<string>()
    const capped: string[] = []
    let [backends, slots, rejecting] = [0, 0, 0]
    for (const vip of vips.values()) {
      backends += vip.backends.length
      if (vip.backends.length === 0) rejecting++
      let part = this.#parts.get(vip)
      if (!part) {
        part = planVip(vip, { ...this.#options, own: this.#own }, this.#most)
        this.#parts.set(vip, part)
      }
      if (part.capped) capped.push(vip.key)
      slots += part.slots
      for (const ip of part.self) self.add(ip)
      for (const service of part.services) services.set(serviceKey(service), service)
    }
    return { services, self, vips: vips.size, backends, slots, rejecting, capped }
  }
}

const planVip = (vip: FeedVip, { prefer, ipv6, own }: PlanOptions, most: number): Part => {
  const services: Service[] = []
  const self: string[] = []
  let [slots, capped] = [0, false]
  for (const address of vip.addresses) {
    const family: Family = familyOf(address) === 6 ? 6 : 4
    if (family === 6 && !ipv6) continue
    const used = usable(
      vip.backends.filter(({ ip }) => familyOf(ip) === family),
      prefer,
    )
    const spread = slotsOf(
      used.map(({ weight }) => weight),
      most,
    )
    capped ||= spread.capped
    const row = used.flatMap((backend, i) => {
      const { ip, port } = backend.via ?? backend
      if (backend.local && !own.includes(ip)) self.push(ip)
      return new Array<string>(spread.counts[i] ?? 0).fill(`${ip} . ${port}`)
    })
    slots += row.length
    services.push({ family, protocol: vip.protocol, address, port: vip.port, slots: row })
  }
  return { services, self, slots, capped }
}

/** UDP flows that lead to a backend that the service no longer has; `to` '' stands for the VIP itself. */
export type Flow = {
  readonly address: string
  readonly port: number
  readonly to: string
  readonly toPort: number
}

/** Flows to remove after the kernel changed from one set of services to another. */
export const staleFlows = (
  before: ReadonlyMap<string, Service>,
  after: ReadonlyMap<string, Service>,
): Flow[] => {
  const flows: Flow[] = []
  for (const [key, { protocol, address, port, slots }] of before) {
    if (protocol !== 'udp') continue
    const now = after.get(key)
    if (now?.slots === slots) continue
    const kept = new Set(now?.slots)
    for (const slot of new Set(slots)) {
      if (kept.has(slot)) continue
      const [to = '', toPort = ''] = slot.split(' . ')
      flows.push({ address, port, to, toPort: Number(toPort) })
    }
  }
  // A flow that began before the VIP existed goes to the VIP's address itself.
  for (const [key, { protocol, address, port, slots }] of after)
    if (protocol === 'udp' && slots.length > 0 && !before.get(key)?.slots.length)
      flows.push({ address, port, to: address, toPort: port })
  return flows
}
