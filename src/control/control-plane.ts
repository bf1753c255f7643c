/**
 * The control plane: the parts that convert configuration, masters, Mesos, VIPs and gossip to snapshots and local
 * zones for the data thread. This file connects the parts. Parts only add knowledge, so if one fails, its last good
 * state stays in use.
 */
import type { Config } from '../config/config.ts'
import { isWildcard } from '../config/address.ts'
import { hostAddresses } from './host/host-addresses.ts'
import type { Endpoint } from '../boundary/messages.ts'
import type { RouteStatus } from '../ops/status.ts'
import type { ControlOptions, Environment } from './environment.ts'
import { HostPart } from './host/host-part.ts'
import { MastersPart } from './masters/masters-part.ts'
import { MesosPart } from './mesos/mesos-part.ts'
import type { Part } from './part.ts'
import { GossipPart } from './sharing/gossip-part.ts'
import { VipsPart } from './vips/vips-part.ts'
import { zkZone } from './zones/local-zones.ts'
import { readRoutes } from './zones/read-routes.ts'
import { RoutesPart } from './zones/routes-part.ts'
import { routeViews } from './zones/views.ts'
import { ZoneBoard } from './zones/zone-board.ts'
import { ZonePublisher } from './zones/zone-publisher.ts'
import { ZonesPart } from './zones/zones-part.ts'

export type { ControlOptions } from './environment.ts'

/** Parts that are included in every reload, because they depend on keys of other parts. */
export const ALWAYS_RELOADED = ['gossip', 'zones', 'host', 'routes'] as const

export class ControlPlane {
  /** In the order of their start. */
  readonly parts: readonly Part[]
  readonly zones: ZoneBoard
  readonly masters: MastersPart
  readonly gossip: GossipPart
  readonly vips: VipsPart
  readonly mesos: MesosPart
  readonly routing: RoutesPart

  /** @param config returns the configuration in use */
  constructor(config: () => Config, bound: readonly Endpoint[], options: ControlOptions) {
    const { send, caughtUp } = options
    // Records hold real addresses.
    const listen = bound.flatMap(at => hostAddresses(at))
    const zones = new ZoneBoard(new ZonePublisher({ send, now: Date.now, breathe: caughtUp }))
    const ownIp = (): string => {
      const { bind, advertise } = config().gossip ?? {}
      if (advertise) return advertise.address
      return bind && !isWildcard(bind.address) ? bind.address : options.ownAddress()
    }
    const env: Environment = { ...options, ownIp, logins: new Map() }
    const own = new ZonesPart({ zones, listen, ownIp })
    const gossip = new GossipPart({
      ...env,
      zone: apex => zones.publisher.zone(apex),
      leads: () => mesos.leads,
      onOpen: () => vips.gossipBegan(),
      onVips: owners => vips.setOthers(owners),
      onZone: (apex, change, loaded) => zones.fed(apex, change, loaded, 'gossip'),
      onSynced: apexes => {
        for (const apex of apexes) {
          const of = zones.publisher.zone(apex) ?? new Map()
          zones.publisher.publish(apex, { kind: 'patch', set: [], drop: [], of }, true)
        }
      },
    })
    const masters = new MastersPart({
      ...env,
      onChange: list => {
        zones.put('zk', zkZone(list.map(m => m.address)), 'masters')
        mesos.mastersChanged()
        gossip.mastersChanged(list)
        routing.publish()
      },
      onLeader: () => mesos.leaderChanged(),
    })
    const vips = new VipsPart({
      ...env,
      onOwn: records => gossip.publishVips(records),
      onZone: (apex, change, loaded, source) => zones.fed(apex, change, loaded, source),
      onServing: () => gossip.refresh(),
      synced: () => gossip.synced,
      nodes: () => new Map(gossip.nodes().map(node => [node.ip, node.hostname])),
    })
    const mesos = new MesosPart({
      ...env,
      masters: () => masters.list.map(m => m.address),
      zooKeeper: () => masters.zooKeeper,
      onZone: (apex, change) => {
        zones.fed(apex, change, true, 'master')
        gossip.publishZone(apex, change)
      },
    })
    const routing = new RoutesPart({
      listen,
      config,
      masters: () => masters.list,
      send,
      clearUpstream: options.clearUpstream ?? (() => {}),
    })
    const host = new HostPart({
      ...env,
      onAddress: () => {
        own.thisnode()
        gossip.publishFacts()
      },
      onAllow: allow => routing.allow(allow),
    })
    const reading: Part = {
      name: 'read API',
      start: () => {},
      close: () => {},
      routes: () =>
        readRoutes({
          zones: zones.publisher,
          vips: () => vips.vips,
          nodes: () =>
            gossip.nodes().map(node => ({
              private_ip: node.ip,
              public_ips: node.publicIps,
              hostname: node.hostname,
              updated: node.updated,
            })),
        }),
    }
    this.zones = zones
    this.masters = masters
    this.gossip = gossip
    this.vips = vips
    this.mesos = mesos
    this.routing = routing
    this.parts = [own, gossip, masters, vips, mesos, routing, host, reading]
  }

  /** Configured routes in order of priority. */
  routeList(): RouteStatus[] {
    return this.routing.snapshot ? routeViews(this.routing.snapshot) : []
  }
}
