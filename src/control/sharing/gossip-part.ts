/** The gossip as a part: joins the ring, publishes this node's data, and passes on the data of other nodes. */
import { hostname } from 'node:os'
import type { Reason } from '../../boundary/health.ts'
import type { Endpoint } from '../../boundary/messages.ts'
import { wholeAfter, type ZoneChange, type ZoneMap } from '../../boundary/zone.ts'
import { messageOf } from '../../base/error.ts'
import { version } from '../../base/version.ts'
import type { Config } from '../../config/config.ts'
import { Gossip } from '../../gossip/service.ts'
import type { Route } from '../../http/route.ts'
import type { Metrics } from '../../ops/metrics.ts'
import type { GossipStatus } from '../../ops/status.ts'
import type { VipRecord } from '../../vip/record.ts'
import type { OwnerVips } from '../../vip/table.ts'
import type { Environment } from '../environment.ts'
import type { Part } from '../part.ts'
import { SHARED_APEXES } from '../zones/apexes.ts'
import { gossipView } from '../zones/views.ts'
import { ZoneGathering } from '../zones/zone-gathering.ts'
import { GOSSIP_FAMILIES } from './gossip-metrics.ts'
import { gossipReasons } from './gossip-reasons.ts'
import { gossipRoutes } from './gossip-routes.ts'
import { isPublisher, KnownZones, publishesZones, tagsOf } from './known-zones.ts'
import { joinThrough, keyOf, seedsOf } from './seeds.ts'
import type { NodeFacts } from './shared-codec.ts'
import { mayShare, recordsOf, Shared } from './shared.ts'
import { SHARED_ZONE_FAMILIES } from './zone-metrics.ts'

export type GossipPartOptions = Environment & {
  /** Whether the master of this host leads now, so that this node defends the zones it publishes. */
  readonly leads: () => boolean
  /** The records are open: what this node knows can be published. */
  readonly onOpen: () => void
  readonly onVips: (owners: readonly OwnerVips[]) => void
  readonly onZone: (apex: string, change: ZoneChange, loaded: boolean) => void
  /** Called when a name in these zones that no node has published does not exist. */
  readonly onSynced: (apexes: readonly string[]) => void
  /** A zone as currently served on this node. */
  readonly zone: (apex: string) => ZoneMap | undefined
}

export class GossipPart implements Part {
  readonly name = 'gossip'
  readonly #options: GossipPartOptions
  #gossip: Gossip | undefined
  #shared: Shared | undefined
  #vips: readonly VipRecord[] | undefined
  #keyringTrouble = ''
  #known = new KnownZones([])
  #config: Config | undefined
  #masters: readonly Endpoint[] = []
  #severed = false
  /** Sends zones to other nodes; changes within a second are sent together. */
  #gathering: ZoneGathering | undefined

  constructor(options: GossipPartOptions) {
    this.#options = options
  }

  wanted(config: Config): boolean {
    return config.gossip !== undefined
  }

  async start(config: Config): Promise<void> {
    if (!config.gossip) return
    // The records stay open while the ring is retried: they hold the data from before the restart.
    this.#gossip ??= this.#open(config)
    await this.#gossip.start()
  }

  #open(config: Config): Gossip {
    const { log: parent, ownAddress, random, onOpen, onVips, onZone } = this.#options
    const log = parent.child({ part: 'gossip' })
    this.#config = config
    const { seeds, more } = seedsOf(config, this.#masters)
    const gossip = new Gossip({
      config: { ...config.gossip!, seeds, moreSeeds: more },
      ownAddress,
      node: config.node,
      version: version(),
      log,
      now: () => performance.now(),
      random,
      wallClock: Date.now,
      tags: tagsOf(config),
      allow: mayShare(SHARED_APEXES),
    })
    gossip.severed = this.#severed
    this.#gossip = gossip
    this.#known = new KnownZones(SHARED_APEXES)
    this.#shared = new Shared({
      records: recordsOf(gossip),
      node: config.node,
      apexes: SHARED_APEXES,
      log,
      onVips,
      onZone: (apex, change) => {
        if (gossip.records.synced) this.#known.came(apex)
        onZone(apex, change, gossip.records.synced)
      },
      zoneBytes: gossip.zoneBytes,
      leads: this.#options.leads,
      now: () => performance.now(),
    })
    this.#gathering = new ZoneGathering({
      publish: (apex, change) => this.#share(apex, change),
      now: () => performance.now(),
    })
    this.#shared.refresh()
    this.publishFacts()
    if (this.#vips) this.#shared.publishVips(this.#vips)
    void gossip.synced.then(() => {
      this.#shared?.refresh()
      this.#decide()
    })
    gossip.ring.onEvent(event => {
      if ('member' in event) this.#decide()
    })
    onOpen()
    return gossip
  }

  #decide(): void {
    const [gossip, config] = [this.#gossip, this.#config]
    if (!config || !gossip?.records.synced || this.#known.all) return
    const awaited = publishesZones(config) || gossip.members().some(isPublisher)
    const known = this.#known.decide(this.#shared?.zones() ?? [], awaited)
    if (known.length > 0) this.#options.onSynced(known)
  }

  needsRestart(before: Config, after: Config, keys: readonly string[]): readonly string[] {
    // A running ring cannot change between encrypted and unencrypted.
    const encrypts = ({ gossip }: Config): boolean => (gossip?.keyring ?? '') !== ''
    return encrypts(before) === encrypts(after) || !before.gossip || !after.gossip
      ? []
      : keys.filter(key => key === 'gossip.keyring')
  }

  reload(before: Config, after: Config): void {
    const gossip = this.#gossip
    if (!gossip || !after.gossip) return
    this.#config = after
    if (publishesZones(before) !== publishesZones(after)) gossip.tags = tagsOf(after)
    this.#followSeeds(gossip)
    if (after.gossip.keyring === '') return
    try {
      gossip.readKeyring(after.gossip.keyring)
      this.#keyringTrouble = ''
    } catch (er) {
      this.#keyringTrouble = `the keys in use stay: ${messageOf(er)}`
      this.#options.log.warn('the keyring cannot be read again, the keys in use stay', {
        err: messageOf(er),
      })
    }
  }

  /** The list of masters is another one. */
  mastersChanged(masters: readonly Endpoint[]): void {
    this.#masters = masters
    if (this.#gossip) this.#followSeeds(this.#gossip)
  }

  #followSeeds(gossip: Gossip): void {
    if (!this.#config) return
    const known = new Set(gossip.seeds.map(keyOf))
    const { seeds, more } = seedsOf(this.#config, this.#masters)
    gossip.setSeeds(seeds, more)
    const added = seeds.filter(at => !known.has(keyOf(at)))
    const isCurrent = (): boolean => this.#gossip === gossip
    if (added.length > 0) void joinThrough(gossip, added, isCurrent, this.#options.log)
  }

  async save(): Promise<void> {
    await this.#gossip?.save()
  }

  async close(): Promise<void> {
    const gossip = this.#gossip
    this.#gossip = undefined
    this.#gathering?.close()
    this.#shared?.close()
    this.#shared = undefined
    await gossip?.close()
  }

  /** Resolves when other nodes' records have arrived; undefined if there is no gossip. */
  get synced(): Promise<void> | undefined {
    return this.#gossip?.synced
  }

  /** Publishes all VIPs of this node. */
  publishVips(records: readonly VipRecord[]): void {
    this.#vips = records
    this.#shared?.publishVips(records)
  }

  /** Publishes a zone that this node computes from the leading master's state. */
  publishZone(apex: string, change: ZoneChange): void {
    if (this.#shared) this.#gathering?.take(apex, change)
  }

  /** When this node begins to publish a zone, it publishes the whole zone. */
  #share(apex: string, change: ZoneChange): void {
    const begins = this.#shared?.makes(apex) === false
    this.#shared?.publishZone(apex, begins ? wholeAfter(this.#options.zone(apex), change) : change)
  }

  /** Publishes this node's name and addresses. */
  publishFacts(): void {
    this.#shared?.publishNode({
      ip: this.#options.ownIp(),
      publicIps: [],
      hostname: hostname(),
      updated: new Date().toISOString(),
    })
  }

  /** Cuts this node off from the other members for a drill, or reconnects it. */
  sever(severed: boolean): void {
    this.#severed = severed
    if (this.#gossip) this.#gossip.severed = severed
  }

  /** Passes on everything in the records. */
  refresh(): void {
    this.#shared?.refresh()
  }

  /** The facts that all nodes have published. */
  nodes(): NodeFacts[] {
    return this.#shared?.nodes() ?? []
  }

  view(): GossipStatus | undefined {
    return this.#gossip && gossipView(this.#gossip, this.#shared?.zones() ?? [])
  }

  status(): readonly Reason[] {
    return gossipReasons(this.#gossip, this.#keyringTrouble, this.#shared?.zones() ?? [])
  }

  routes(): readonly Route[] {
    return gossipRoutes(() => this.#gossip)
  }

  metrics(to: Metrics): void {
    to.register(GOSSIP_FAMILIES, () => this.#gossip)
    to.register(SHARED_ZONE_FAMILIES, () => this.#shared)
  }
}
