/**
 * Builds the Snapshot the data thread routes by (design, section 3). Pure but
 * for two memories: which slot of the counters an upstream has, and which
 * number a route had when its upstreams were last the same. A number that
 * stays keeps that route's cached answers alive.
 */
import type { RouteSpec, Snapshot, UpstreamSpec } from '../../boundary/messages.ts'
import { UPSTREAMS, ZONES } from '../../boundary/counters.ts'
import { APEX, SPECIAL_ZONES } from './local-zones.ts'

/** An upstream before it has a slot. */
export type UpstreamAddress =
  | {
      readonly protocol: 'udp' | 'tls'
      readonly address: string
      readonly port: number
      readonly serverName?: string | undefined
    }
  | { readonly protocol: 'https'; readonly url: string }

export type RoutingFacts = {
  readonly clusterId: string
  /** Mesos-DNS servers; undefined when this cluster has none, [] when none is known yet. */
  readonly masters: readonly { readonly address: string; readonly port: number }[] | undefined
  /** Apexes answered here. */
  readonly local: readonly string[]
  readonly forwardZones: Readonly<Record<string, readonly UpstreamAddress[]>>
  readonly upstreams: readonly UpstreamAddress[]
  readonly allow: readonly string[]
}

export class SnapshotBuilder {
  readonly #slots = new Map<string, number>()
  readonly #numbers = new Map<string, { readonly signature: string; readonly number: number }>()
  #number = 0
  #routeNumber = 0

  /** Upstreams that have a slot, for the metrics. */
  get upstreams(): { slot: number; name: string }[] {
    return [...this.#slots].map(([name, slot]) => ({ name, slot }))
  }

  build(facts: RoutingFacts): Snapshot {
    const labels: string[] = []
    const label = (zone: string): number => {
      const known = labels.indexOf(zone)
      if (known >= 0) return known
      // The last column is for whatever has no place of its own.
      if (labels.length >= ZONES - 1) return ZONES - 1
      return labels.push(zone) - 1
    }
    const forward = (
      zone: string,
      policy: 'race' | 'hedge',
      ttl: 'cluster' | 'external',
      upstreams: readonly UpstreamAddress[],
      copy?: string,
    ): RouteSpec => {
      const specs = upstreams.map(u => this.#withSlot(u))
      return {
        kind: 'forward',
        zone,
        label: label(zone === '' ? '.' : zone),
        number: this.#routeNumberOf(zone, JSON.stringify(specs)),
        policy,
        ttl,
        upstreams: specs,
        ...(copy === undefined ? {} : { copy }),
      }
    }
    const rename = (zone: string, to: string): RouteSpec => ({
      kind: 'rename',
      zone,
      to,
      label: label(to),
    })
    const own: RouteSpec[] = [
      rename(`dclb.${APEX}`, `l4lb.${APEX}`),
      rename('dclb.thisdcos.global', `l4lb.${APEX}`),
      rename('thisdcos.global', APEX),
      ...(facts.clusterId === ''
        ? []
        : [
            rename(`dclb.${facts.clusterId}.dcos.directory`, `l4lb.${APEX}`),
            rename(`${facts.clusterId}.dcos.directory`, APEX),
          ]),
      ...(facts.masters === undefined
        ? []
        : [
            forward(
              'mesos',
              'race',
              'cluster',
              facts.masters.map(m => ({ protocol: 'udp', ...m })),
              `mesos.${APEX}`,
            ),
          ]),
      ...facts.local.map((zone): RouteSpec => ({
        kind: 'local',
        zone,
        label: label(zone.endsWith('.arpa') ? 'reverse' : zone),
      })),
    ]
    const forwards = Object.entries(facts.forwardZones).map(([zone, upstreams]) =>
      forward(zone, 'hedge', 'external', upstreams),
    )
    const special = SPECIAL_ZONES.map((zone): RouteSpec => ({
      kind: 'special',
      zone,
      label: label('special'),
    }))
    const rest = forward('', 'hedge', 'external', facts.upstreams)
    while (labels.length < ZONES - 1) labels.push('')
    labels.push('other')
    return Object.freeze({
      number: ++this.#number,
      own,
      forward: forwards,
      special,
      rest,
      labels,
      allow: facts.allow,
    })
  }

  #withSlot(upstream: UpstreamAddress): UpstreamSpec {
    const name =
      upstream.protocol === 'https'
        ? upstream.url
        : `${upstream.protocol === 'tls' ? 'tls://' : ''}${upstream.address.includes(':') ? `[${upstream.address}]` : upstream.address}:${upstream.port}`
    let slot = this.#slots.get(name)
    if (slot === undefined) {
      // Past the last slot upstreams share it: they work, their counters blur.
      slot = Math.min(this.#slots.size, UPSTREAMS - 1)
      this.#slots.set(name, slot)
    }
    if (upstream.protocol === 'https') return { protocol: 'https', url: upstream.url, slot }
    if (upstream.protocol === 'udp')
      return { protocol: 'udp', address: upstream.address, port: upstream.port, slot }
    return {
      protocol: 'tls',
      address: upstream.address,
      port: upstream.port,
      slot,
      ...(upstream.serverName === undefined ? {} : { serverName: upstream.serverName }),
    }
  }

  /** Negative, so that no number of a local zone is ever met. */
  #routeNumberOf(zone: string, signature: string): number {
    const had = this.#numbers.get(zone)
    if (had?.signature === signature) return had.number
    const number = --this.#routeNumber
    this.#numbers.set(zone, { signature, number })
    return number
  }
}
