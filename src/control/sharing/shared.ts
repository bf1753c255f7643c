/**
 * Connects the control plane with the gossip's records. It publishes this node's VIPs, its facts, and its zones while
 * its master leads, and passes on the VIPs and zones of all nodes. shared-zone.ts decides who publishes a zone;
 * zone-piece.ts splits zones into pieces.
 */
import type { Log } from '../../base/log.ts'
import { Pace } from '../../base/pace.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import type { Entry, Key } from '../../gossip/records/types.ts'
import type { Gossip } from '../../gossip/service.ts'
import { vipKey, type VipRecord } from '../../vip/record.ts'
import type { OwnerVips } from '../../vip/table.ts'
import { decodeNode, encodeNode, encodeVip, type NodeFacts } from './shared-codec.ts'
import { SharedVips } from './shared-vips.ts'
import { SharedZone, type SharedZoneStatus } from './shared-zone.ts'
import { pieceIn } from './zone-piece.ts'

/** The part of the gossip's records that this file uses. */
export interface SharedRecords {
  publish(key: Key, value: Uint8Array): boolean
  withdraw(key: Key): boolean
  entries(kind: Key['kind']): Iterable<Entry>
  lookup(key: Key): readonly Entry[]
  onChange(listener: (keys: readonly Key[]) => void): () => void
}

export type SharedOptions = {
  readonly records: SharedRecords
  readonly node: string
  /** Zones that may come from the gossip. */
  readonly apexes: readonly string[]
  /** Limit of octets in the records for the zones of one node. */
  readonly zoneBytes: number
  readonly log: Log
  readonly onVips: (owners: readonly OwnerVips[]) => void
  /** Called with a complete zone of another node, or changes that lead to another complete one. */
  readonly onZone: (apex: string, change: ZoneChange) => void
  /** Whether this node's own master leads now, in which case it insists on publishing a zone. Default: never. */
  readonly leads?: () => boolean
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Runs `work` once, after `ms` on the clock of `now`; the returned function cancels it. Default: setTimeout. */
  readonly after?: (ms: number, work: () => void) => () => void
}

const byTimeout = (ms: number, work: () => void): (() => void) => {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}

export const recordsOf = (gossip: Gossip): SharedRecords => ({
  publish: (key, value) => gossip.publish(key, value),
  withdraw: key => gossip.withdraw(key),
  entries: kind => gossip.records.entries(kind),
  lookup: key => gossip.records.lookup(key),
  onChange: listener => gossip.records.onChange(listener),
})

/** VIPs are merged at once after a pause, and at most this often while changes arrive. */
const PACE_MS = 50

export class Shared {
  readonly #options: SharedOptions
  readonly #vips: SharedVips
  readonly #ownVips = new Map<string, string>()
  readonly #zones: readonly SharedZone[]
  readonly #stop: () => void
  readonly #pace = new Pace(PACE_MS)
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: SharedOptions) {
    this.#options = options
    this.#vips = new SharedVips(options.records)
    const { records, zoneBytes, node, log, leads = () => false, after = byTimeout } = options
    this.#zones = options.apexes.map(
      apex =>
        new SharedZone(apex, {
          node,
          log,
          lookup: key => records.lookup(key),
          publish: (key, value) => this.#publish(key, value),
          withdraw: key => void records.withdraw(key),
          fits: octets => {
            const others = this.#zones.filter(zone => zone.apex !== apex)
            return others.reduce((sum, zone) => sum + zone.publishedOctets, octets) <= zoneBytes
          },
          zoneBytes,
          onZone: change => options.onZone(apex, change),
          leads,
          after,
        }),
    )
    this.#stop = options.records.onChange(keys => this.#changed(keys))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const zone of this.#zones) zone.close()
    this.#stop()
  }

  /** Serves everything in the records, for example after a restart with records from disk. */
  refresh(): void {
    this.#vips.allChanged()
    this.#timer ??= setTimeout(() => this.#mergeVips(), 0)
    for (const zone of this.#zones) zone.follow([])
  }

  /** Every zone as this node sees it. */
  zones(): SharedZoneStatus[] {
    return this.#zones.map(zone => zone.status)
  }

  /** Limit of octets for the zones of one node. */
  get zoneBytes(): number {
    return this.#options.zoneBytes
  }

  /** Publishes all VIPs of this node. */
  publishVips(vips: readonly VipRecord[]): void {
    const { records } = this.#options
    const gone = new Set(this.#ownVips.keys())
    for (const vip of vips) {
      const name = vipKey(vip)
      gone.delete(name)
      const value = encodeVip(vip)
      const text = Buffer.from(value).toString('latin1')
      if (this.#ownVips.get(name) === text) continue
      this.#ownVips.set(name, text)
      this.#publish({ kind: 'vip', name }, value)
    }
    for (const name of gone) {
      this.#ownVips.delete(name)
      records.withdraw({ kind: 'vip', name })
    }
  }

  /** Publishes a change of a zone from this node's master. */
  publishZone(apex: string, change: ZoneChange): void {
    this.#zones.find(zone => zone.apex === apex)?.publish(change)
  }

  publishNode(facts: NodeFacts): void {
    this.#publish({ kind: 'node', name: this.#options.node.toLowerCase() }, encodeNode(facts))
  }

  /** Facts of all known nodes. */
  nodes(): NodeFacts[] {
    return Array.from(this.#options.records.entries('node'), entry =>
      decodeNode(entry.value),
    ).filter(facts => facts !== undefined)
  }

  /** Whether this node currently publishes a zone. */
  makes(apex: string): boolean {
    return this.#zones.some(zone => zone.apex === apex && zone.publishes)
  }

  #publish(key: Key, value: Uint8Array): void {
    if (this.#options.records.publish(key, value)) return
    this.#options.log.warn('gossip does not take a record of ours', {
      kind: key.kind,
      name: key.name,
      octets: value.length,
    })
  }

  #changed(keys: readonly Key[]): void {
    if (this.#closed) return
    for (const { kind, name } of keys) {
      if (kind !== 'vip') continue
      this.#vips.changed(name)
      this.#timer ??= setTimeout(() => this.#mergeVips(), this.#pace.wait(this.#options.now()))
    }
    for (const zone of this.#zones) {
      const touched = keys.flatMap(key =>
        key.kind === 'zone' ? [pieceIn(key.name, zone.apex)] : [],
      )
      const pieces = touched.filter(piece => typeof piece === 'number')
      if (pieces.length > 0 || touched.includes('head')) zone.follow(pieces)
    }
  }

  #mergeVips(): void {
    this.#timer = undefined
    if (this.#closed) return
    this.#pace.done(this.#options.now())
    this.#options.onVips(this.#vips.owners())
  }
}

/** Whether gossip may fill a key: VIPs, nodes, and pieces of these zones. */
export const mayShare =
  (apexes: readonly string[]) =>
  (key: Key): boolean =>
    key.kind !== 'zone' || apexes.some(apex => pieceIn(key.name, apex) !== undefined)
