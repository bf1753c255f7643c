/** The gossip as a part: joins the ring, publishes what this node knows and hands on what the others say. */
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Reason } from '../../boundary/health.ts'
import type { Endpoint } from '../../boundary/messages.ts'
import type { ZoneChange, ZoneMap } from '../../boundary/zone.ts'
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
import { gossipRoutes } from './gossip-routes.ts'
import type { NodeFacts } from './shared-codec.ts'
import { mayShare, Shared } from './shared.ts'
import { SHARED_ZONE_FAMILIES } from './zone-metrics.ts'

/** New seeds are tried again after this time while none of them answers. */
const REJOIN_MS = 5_000

export type GossipPartOptions = Environment & {
  /** Whether the master of this host leads now, so that this node defends the zones it publishes. */
  readonly leads: () => boolean
  /** The records are open: what this node knows can be published. */
  readonly onOpen: () => void
  readonly onVips: (owners: readonly OwnerVips[]) => void
  readonly onZone: (apex: string, change: ZoneChange, loaded: boolean) => void
  /** What nobody has published by now in these zones does not exist. */
  readonly onSynced: (apexes: readonly string[]) => void
  /** A zone as it is served here now. */
  readonly zone: (apex: string) => ZoneMap | undefined
}

export class GossipPart implements Part {
  readonly name = 'gossip'
  readonly #options: GossipPartOptions
  #gossip: Gossip | undefined
  #shared: Shared | undefined
  #vips: readonly VipRecord[] | undefined
  #keyringTrouble = ''
  /** Sends zones on to the others, together what changes within a second. */
  #gathering: ZoneGathering | undefined

  constructor(options: GossipPartOptions) {
    this.#options = options
  }

  wanted(config: Config): boolean {
    return config.gossip !== undefined
  }

  async start(config: Config): Promise<void> {
    if (!config.gossip) return
    // The records stay open while the ring is tried again: they hold what was known before the restart.
    this.#gossip ??= this.#open(config)
    await this.#gossip.start()
  }

  #open(config: Config): Gossip {
    const { log: parent, ownAddress, random, onOpen, onVips, onZone, onSynced } = this.#options
    const log = parent.child({ part: 'gossip' })
    const gossip = new Gossip({
      config: config.gossip!,
      ownAddress,
      node: config.node,
      version: version(),
      log,
      now: () => performance.now(),
      random,
      wallClock: Date.now,
      allow: mayShare(SHARED_APEXES),
    })
    this.#gossip = gossip
    this.#shared = new Shared({
      records: {
        publish: (key, value) => gossip.publish(key, value),
        withdraw: key => gossip.withdraw(key),
        entries: kind => gossip.records.entries(kind),
        lookup: key => gossip.records.lookup(key),
        onChange: listener => gossip.records.onChange(listener),
      },
      node: config.node,
      apexes: SHARED_APEXES,
      log,
      onVips,
      onZone: (apex, change) => onZone(apex, change, gossip.records.synced),
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
      const zones = this.#shared?.zones() ?? []
      // Names of a zone that nobody publishes do not exist; one that is not whole is awaited.
      onSynced(zones.filter(({ from, whole }) => from === '' || whole).map(({ apex }) => apex))
    })
    onOpen()
    return gossip
  }

  needsRestart(before: Config, after: Config, keys: readonly string[]): readonly string[] {
    // A ring that began in the clear has no keys to replace, and one with keys does not go back.
    const encrypts = ({ gossip }: Config): boolean => (gossip?.keyring ?? '') !== ''
    return encrypts(before) === encrypts(after) || !before.gossip || !after.gossip
      ? []
      : keys.filter(key => key === 'gossip.keyring')
  }

  reload(before: Config, after: Config): void {
    const gossip = this.#gossip
    if (!gossip || !after.gossip) return
    gossip.seeds = after.gossip.seeds
    const known = new Set((before.gossip?.seeds ?? []).map(at => JSON.stringify(at)))
    const added = after.gossip.seeds.filter(at => !known.has(JSON.stringify(at)))
    if (added.length > 0) void this.#join(gossip, added)
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

  /** Goes on until one of them has answered. */
  async #join(gossip: Gossip, seeds: readonly Endpoint[]): Promise<void> {
    const { log } = this.#options
    while (this.#gossip === gossip) {
      const answered = await gossip.ring.join(seeds).catch(() => 0)
      if (answered > 0) return log.info('joined through new seeds', { answered })
      await sleep(REJOIN_MS, undefined, { ref: false })
    }
  }

  async close(): Promise<void> {
    const gossip = this.#gossip
    this.#gossip = undefined
    this.#gathering?.close()
    this.#shared?.close()
    this.#shared = undefined
    await gossip?.close()
  }

  /** Resolves when the others' records are here; undefined while there is no gossip. */
  get synced(): Promise<void> | undefined {
    return this.#gossip?.synced
  }

  /** This node's own VIPs, all of them. */
  publishVips(records: readonly VipRecord[]): void {
    this.#vips = records
    this.#shared?.publishVips(records)
  }

  /** A zone as this node makes it of the leading master's state, for the others. */
  publishZone(apex: string, change: ZoneChange): void {
    if (this.#shared) this.#gathering?.take(apex, change)
  }

  #share(apex: string, change: ZoneChange): void {
    if (change.kind === 'full' || this.#shared?.makes(apex))
      return this.#shared?.publishZone(apex, change)
    // A node that begins to make a zone for the others publishes all of it.
    const zone = new Map([...(this.#options.zone(apex) ?? []), ...change.set])
    for (const name of change.drop) zone.delete(name)
    this.#shared?.publishZone(apex, { kind: 'full', zone })
  }

  /** Where this node is reached and what it is called, for the others. */
  publishFacts(): void {
    this.#shared?.publishNode({
      ip: this.#options.ownIp(),
      publicIps: [],
      hostname: hostname(),
      updated: new Date().toISOString(),
    })
  }

  /** Hands on all that the records hold now. */
  refresh(): void {
    this.#shared?.refresh()
  }

  /** What every node says of itself. */
  nodes(): NodeFacts[] {
    return this.#shared?.nodes() ?? []
  }

  view(): GossipStatus | undefined {
    return this.#gossip && gossipView(this.#gossip)
  }

  status(): readonly Reason[] {
    const reasons: Reason[] = []
    const lonely = this.#gossip?.trouble ?? ''
    if (lonely !== '') reasons.push({ name: 'gossip', detail: lonely })
    if (this.#keyringTrouble !== '') reasons.push({ name: 'keyring', detail: this.#keyringTrouble })
    for (const { apex, over, octets, missing, from, whole } of this.#shared?.zones() ?? []) {
      if (over) reasons.push({ name: apex, detail: `${octets} octets have no room in the gossip` })
      if (missing > 0 && !whole)
        reasons.push({ name: apex, detail: `${missing} pieces of the zone of ${from} are missing` })
    }
    return reasons
  }

  routes(): readonly Route[] {
    return gossipRoutes(() => this.#gossip)
  }

  metrics(to: Metrics): void {
    to.register(GOSSIP_FAMILIES, () => this.#gossip)
    to.register(SHARED_ZONE_FAMILIES, () => this.#shared)
  }
}
