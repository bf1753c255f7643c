/**
 * The zones of this node's own data: its names, loopback, reverse names of its addresses, and static zones. It also
 * creates the zones that other parts fill, so that their names are never forwarded.
 */
import type { Endpoint } from '../../boundary/messages.ts'
import type { Config } from '../../config/config.ts'
import { L4LB_APEX } from '../../vip/record.ts'
import type { Part } from '../part.ts'
import { FED_APEXES, SHARED_APEXES } from './apexes.ts'
import {
  APEX,
  localhostZone,
  reverseZones,
  spartanZone,
  staticZone,
  thisnodeZone,
  zkZone,
} from './local-zones.ts'
import type { ZoneBoard } from './zone-board.ts'

export type ZonesPartOptions = {
  readonly zones: ZoneBoard
  /** Addresses that clients ask, as bound. */
  readonly listen: readonly Endpoint[]
  readonly ownIp: () => string
}

export class ZonesPart implements Part {
  readonly name = 'zones'
  readonly #options: ZonesPartOptions

  constructor(options: ZonesPartOptions) {
    this.#options = options
  }

  start(config: Config): void {
    const { zones, listen } = this.#options
    zones.put('spartan', spartanZone(listen.map(at => at.address)))
    zones.put('localhost', localhostZone())
    zones.put(APEX, new Map())
    this.thisnode()
    for (const [apex, zone] of reverseZones(listen)) zones.put(apex, zone)
    for (const [label, names] of Object.entries(config.zones))
      zones.put(`${label}.${APEX}`, staticZone(label, names))
    // Without a source, the zone will stay empty, so its names do not exist.
    const { vips, mesos, gossip } = config
    const awaited = new Set([
      ...(vips || gossip ? [L4LB_APEX] : []),
      ...(mesos || gossip ? SHARED_APEXES : []),
    ])
    for (const apex of FED_APEXES) zones.publisher.open(apex, {}, !awaited.has(apex))
    if (config.masters) zones.publisher.open('zk')
    else zones.put('zk', zkZone([]))
  }

  reload(before: Config, after: Config): void {
    const { zones } = this.#options
    for (const label of Object.keys(before.zones))
      if (!(label in after.zones)) zones.remove(`${label}.${APEX}`)
    this.start(after)
    const had = (config: Config, apex: string): boolean =>
      Boolean(config.gossip || (apex === L4LB_APEX ? config.vips : config.mesos))
    for (const apex of FED_APEXES) if (had(before, apex) && !had(after, apex)) zones.empty(apex)
  }

  /** The address of this host has changed. */
  thisnode(): void {
    const { zones, ownIp } = this.#options
    zones.put(`thisnode.${APEX}`, thisnodeZone(ownIp()))
  }

  close(): void {
    this.#options.zones.publisher.close()
  }
}
