/**
 * Builds the Snapshot with the data thread's routes. It remembers what must stay the same in successive Snapshots:
 * the counter slot of an upstream (upstream-slots.ts) and the label of a zone.
 */
import { createHash } from 'node:crypto'
import type { RouteSpec, Snapshot } from '../../boundary/messages.ts'
import { ZONES } from '../../boundary/counters.ts'
import { showUpstream } from '../../config/address.ts'
import { APEX, SPECIAL_ZONES } from './local-zones.ts'
import { UpstreamSlots, type UpstreamAddress, type UpstreamSlotsOptions } from './upstream-slots.ts'

export type RoutingFacts = {
  readonly clusterId: string
  /** Mesos-DNS servers; undefined if this cluster has none, [] if none is known yet. */
  readonly masters: readonly { readonly address: string; readonly port: number }[] | undefined
  /** Apexes of local zones. */
  readonly local: readonly string[]
  readonly forwardZones: Readonly<Record<string, readonly UpstreamAddress[]>>
  readonly upstreams: readonly UpstreamAddress[]
  readonly allow: readonly string[]
}

export class SnapshotBuilder {
  readonly #slots: UpstreamSlots
  /**
   * Zone labels in the order of first use. A label is the index of a row in the shared counters. It is never reused
   * for another zone while the process lives, so that counters never decrease.
   */
  readonly #labels: string[] = []
  #number = 0

  constructor(options: UpstreamSlotsOptions) {
    this.#slots = new UpstreamSlots(options)
  }

  /** Upstreams with a slot, for the metrics. */
  get upstreams(): { slot: number; name: string }[] {
    return this.#slots.list()
  }

  build(facts: RoutingFacts): Snapshot {
    this.#slots.begin()
    const label = (zone: string): number => this.#labelOf(zone)
    const forward = (
      zone: string,
      policy: 'race' | 'hedge',
      ttl: 'cluster' | 'external',
      upstreams: readonly UpstreamAddress[],
      copy?: string,
    ): RouteSpec => {
      const specs = upstreams.map(u => this.#slots.withSlot(u))
      return {
        kind: 'forward',
        zone,
        label: label(zone === '' ? '.' : zone),
        // All masters of a cluster have the same zone, so a changed list of them does not invalidate its answers.
        number: routeNumber(zone, ttl === 'cluster' ? facts.clusterId : signatureOf(upstreams)),
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
    const labels = [...this.#labels]
    while (labels.length < ZONES - 1) labels.push('')
    // The last row counts all zones without a row of their own.
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

  #labelOf(zone: string): number {
    const known = this.#labels.indexOf(zone)
    if (known >= 0) return known
    return this.#labels.length >= ZONES - 1 ? ZONES - 1 : this.#labels.push(zone) - 1
  }
}

/**
 * A hash of what decides the answers of a route, so that it is the same in the next run, too: answers that were cached
 * under a number are valid while the route of their name has that number. Negative, to differ from the numbers of local
 * zones; one of 2^31, so that a change practically never goes unnoticed.
 */
const routeNumber = (zone: string, answerers: string): number => {
  const digest = createHash('sha256')
    .update(JSON.stringify([zone, answerers]))
    .digest()
  return -1 - (digest.readUInt32BE(0) >>> 1)
}

/** The upstreams independent of order, because the order does not affect the answers. */
const signatureOf = (upstreams: readonly UpstreamAddress[]): string =>
  JSON.stringify(upstreams.map(showUpstream).sort())
