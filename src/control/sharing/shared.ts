/**
 * Between the control plane and the gossip's records: the VIPs and the facts
 * of this node go out, and so do the zones while its master leads; what all
 * nodes say comes back as owners of VIPs and as zones. How a zone is cut into
 * pieces is in zone-piece.ts, who publishes it in zone-head.ts.
 */
import type { Log } from '../../base/log.ts'
import { Pace } from '../../base/pace.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import type { Entry, Key } from '../../gossip/records/types.ts'
import { vipKey, type VipRecord } from '../../vip/record.ts'
import type { OwnerVips } from '../../vip/table.ts'
import { decodeNode, encodeNode, encodeVip, type NodeFacts } from './shared-codec.ts'
import { SharedVips } from './shared-vips.ts'
import { claimOf, ZoneReader } from './zone-reader.ts'
import { type Claim } from './zone-head.ts'
import { pieceIn } from './zone-piece.ts'
import { ZoneWriter } from './zone-writer.ts'

/** The records of the gossip, as far as they are needed here. */
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
  /** Octets that the zones of one node may take in the records. */
  readonly zoneBytes: number
  readonly log: Log
  readonly onVips: (owners: readonly OwnerVips[]) => void
  /** A zone as another node publishes it; only ever a whole one. */
  readonly onZone: (apex: string, change: ZoneChange) => void
  /** Whether this node's own master leads now, so that it insists on publishing a zone. Default: never. */
  readonly leads?: () => boolean
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Does something once, that much later on the clock of `now`; what it returns calls it off. Default: setTimeout. */
  readonly after?: (ms: number, work: () => void) => () => void
}

const byTimeout = (ms: number, work: () => void): (() => void) => {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}

/** A zone of the gossip as this node sees it. */
export type SharedZone = {
  readonly apex: string
  /** The node that publishes it, '' while none does; its term; and whether that is this node. */
  readonly from: string
  readonly term: number
  readonly ours: boolean
  /** Pieces that its head names, and those that have not come. */
  readonly pieces: number
  readonly missing: number
  /** Whether a whole zone is served. */
  readonly whole: boolean
  /** Octets of the zone in the records. */
  readonly octets: number
  /** It does not fit its budget, so that it is not published. */
  readonly over: boolean
  /** Zones of others that could not be read. */
  readonly refused: number
}

/** VIPs are merged at once, and at most this often while changes come in. */
const PACE_MS = 50
/** Two masters that both believe they lead outbid each other at this pace, then half as often each time. */
const RECLAIM_MS = 1_000
const RECLAIM_MOST_MS = 64_000

type Zone = {
  readonly apex: string
  readonly reader: ZoneReader
  writer: ZoneWriter | undefined
  claim: Claim | undefined
  reclaimMs: number
  /** Calls the next reclaim off. */
  reclaim: (() => void) | undefined
  /** It was said that the zone does not fit. */
  saidOver: boolean
}

export class Shared {
  readonly #options: SharedOptions
  readonly #vips: SharedVips
  readonly #ownVips = new Map<string, string>()
  readonly #zones: readonly Zone[]
  readonly #stop: () => void
  readonly #pace = new Pace(PACE_MS)
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: SharedOptions) {
    this.#options = options
    this.#vips = new SharedVips(options.records)
    this.#zones = options.apexes.map(apex => ({
      apex,
      reader: new ZoneReader({
        apex,
        lookup: key => options.records.lookup(key),
        onZone: change => options.onZone(apex, change),
        log: options.log,
      }),
      writer: undefined,
      claim: undefined,
      reclaimMs: RECLAIM_MS,
      reclaim: undefined,
      saidOver: false,
    }))
    this.#stop = options.records.onChange(keys => this.#changed(keys))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const { reader, writer, reclaim } of this.#zones) {
      reader.close()
      writer?.close()
      reclaim?.()
    }
    this.#stop()
  }

  /** Serves all that is known now, as after a restart with records from disk. */
  refresh(): void {
    this.#vips.allChanged()
    this.#timer ??= setTimeout(() => this.#mergeVips(), 0)
    for (const zone of this.#zones) this.#follow(zone, [])
  }

  /** Every zone as this node sees it. */
  zones(): SharedZone[] {
    const { node } = this.#options
    return this.#zones.map(({ apex, reader, writer, claim }) => {
      const ours = writer !== undefined && claim?.owner === node
      const { from, term, ...status } = reader.status
      return {
        apex,
        from: claim?.owner ?? from,
        term: claim?.head.term ?? term,
        ours,
        pieces: claim?.head.hashes.size ?? 0,
        missing: ours ? 0 : status.missing,
        whole: ours || status.whole,
        octets: writer ? writer.octets : status.octets,
        over: writer?.over ?? false,
        refused: reader.refused,
      }
    })
  }

  /** Octets that the zones of one node may take. */
  get zoneBytes(): number {
    return this.#options.zoneBytes
  }

  /** This node's own VIPs, all of them. */
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

  /** What this node's master says of a zone. This node publishes it until another claims it later. */
  publishZone(apex: string, change: ZoneChange): void {
    const zone = this.#zones.find(one => one.apex === apex)
    if (!zone) return
    zone.writer ??= this.#newWriter(zone)
    zone.writer.change(change)
  }

  #newWriter(zone: Zone): ZoneWriter {
    const { records, zoneBytes } = this.#options
    return new ZoneWriter({
      apex: zone.apex,
      publish: (key, value) => this.#publish(key, value),
      withdraw: key => void records.withdraw(key),
      fits: octets => {
        const others = this.#zones.filter(one => one !== zone)
        return (
          others.reduce((sum, { writer }) => sum + (writer?.publishedOctets ?? 0), octets) <=
          zoneBytes
        )
      },
      nextTerm: () => this.#nextTerm(zone),
      onPublished: () => this.#published(zone),
    })
  }

  /** The term that is best now if it is ours, else one above it. */
  #nextTerm({ apex, writer }: Zone): number {
    const best = claimOf(apex, key => this.#options.records.lookup(key))
    if (!best) return (writer?.term ?? 0) || 1
    return best.owner === this.#options.node ? best.head.term : best.head.term + 1
  }

  #published(zone: Zone): void {
    const { log, zoneBytes } = this.#options
    const { apex, writer } = zone
    if (!writer) return
    if (writer.over && !zone.saidOver)
      log.warn('a zone has no room in the gossip: other nodes keep the last one that had', {
        zone: apex,
        octets: writer.octets,
        most: zoneBytes,
      })
    if (!writer.over && zone.saidOver)
      log.info('the zone has room in the gossip again', { zone: apex })
    zone.saidOver = writer.over
  }

  publishNode(facts: NodeFacts): void {
    this.#publish({ kind: 'node', name: this.#options.node.toLowerCase() }, encodeNode(facts))
  }

  /** Facts of every node that is known. */
  nodes(): NodeFacts[] {
    return Array.from(this.#options.records.entries('node'), entry =>
      decodeNode(entry.value),
    ).filter(facts => facts !== undefined)
  }

  /** Whether this node is the one that publishes a zone now. */
  makes(apex: string): boolean {
    return this.#zones.some(zone => zone.apex === apex && zone.writer !== undefined)
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
      if (pieces.length > 0 || touched.includes('head')) this.#follow(zone, pieces)
    }
  }

  #mergeVips(): void {
    this.#timer = undefined
    if (this.#closed) return
    this.#pace.done(this.#options.now())
    this.#options.onVips(this.#vips.owners())
  }

  /** Serves what the node with the best claim says; these pieces have changed. */
  #follow(zone: Zone, pieces: readonly number[]): void {
    const { node, records, leads } = this.#options
    const { reader, writer } = zone
    const claim = (zone.claim = claimOf(zone.apex, key => records.lookup(key)))
    // We are about to claim it: the others hear of that when they can have all of it.
    if (writer && writer.term === 0) return
    if (writer && (!claim || claim.owner === node)) {
      // It is served from its source, not by way of the gossip.
      zone.reclaimMs = claim ? RECLAIM_MS : zone.reclaimMs
      return reader.rest()
    }
    if (writer && leads?.()) return this.#reclaim(zone)
    if (writer) this.#yield(zone)
    reader.take(claim, pieces)
  }

  /** Somebody has a claim above ours although our master leads: go above it, ever more seldom. */
  #reclaim(zone: Zone): void {
    if (zone.reclaim) return
    const { after = byTimeout } = this.#options
    zone.reclaim = after(zone.reclaimMs, () => {
      zone.reclaim = undefined
      const claim = claimOf(zone.apex, key => this.#options.records.lookup(key))
      if (claim && claim.owner !== this.#options.node && this.#options.leads?.())
        zone.writer?.reclaim()
      else this.#follow(zone, [])
    })
    zone.reclaimMs = Math.min(RECLAIM_MOST_MS, zone.reclaimMs * 2)
  }

  /** Another publishes it now: what we said of it goes. */
  #yield(zone: Zone): void {
    zone.writer?.withdraw()
    zone.writer = undefined
    zone.saidOver = false
  }
}

/** Whether gossip may fill a key: VIPs and nodes, and pieces of the zones named. */
export const mayShare =
  (apexes: readonly string[]) =>
  (key: Key): boolean =>
    key.kind !== 'zone' || apexes.some(apex => pieceIn(key.name, apex) !== undefined)
