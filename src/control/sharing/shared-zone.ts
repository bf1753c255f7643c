/**
 * One zone of the gossip: this node publishes it while its master leads, and
 * serves it as another node publishes it otherwise. The best claim decides
 * which; a node whose master leads goes above a claim of another, ever more
 * seldom while the other does the same.
 */
import type { Log } from '../../base/log.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import type { Entry, Key } from '../../gossip/records/types.ts'
import type { Claim } from './zone-head.ts'
import { claimOf, ZoneReader } from './zone-reader.ts'
import { ZoneWriter } from './zone-writer.ts'

export type SharedZoneOptions = {
  readonly node: string
  readonly log: Log
  readonly lookup: (key: Key) => readonly Entry[]
  readonly publish: (key: Key, value: Uint8Array) => void
  readonly withdraw: (key: Key) => void
  /** Whether the zone may take so many octets of the records. */
  readonly fits: (octets: number) => boolean
  /** Octets that the zones of one node may take, for the log. */
  readonly zoneBytes: number
  /** The zone as another node publishes it; only ever a whole one. */
  readonly onZone: (change: ZoneChange) => void
  /** Whether this node's own master leads now. */
  readonly leads: () => boolean
  /** Does something once, that much later; what it returns calls it off. */
  readonly after: (ms: number, work: () => void) => () => void
}

/** A zone of the gossip as this node sees it. */
export type SharedZoneStatus = {
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

/** Two masters that both believe they lead outbid each other at this pace, then half as often each time. */
const RECLAIM_MS = 1_000
const RECLAIM_MOST_MS = 64_000

export class SharedZone {
  readonly apex: string
  readonly #options: SharedZoneOptions
  readonly #reader: ZoneReader
  #writer: ZoneWriter | undefined
  #claim: Claim | undefined
  #reclaimMs = RECLAIM_MS
  /** Calls the next reclaim off. */
  #reclaim: (() => void) | undefined
  /** It was said that the zone does not fit. */
  #saidOver = false

  constructor(apex: string, options: SharedZoneOptions) {
    this.apex = apex
    this.#options = options
    const { lookup, onZone, log } = options
    this.#reader = new ZoneReader({ apex, lookup, onZone, log })
  }

  close(): void {
    this.#reader.close()
    this.#writer?.close()
    this.#reclaim?.()
  }

  get status(): SharedZoneStatus {
    const claim = this.#claim
    const writer = this.#writer
    const ours = writer !== undefined && claim?.owner === this.#options.node
    const { from, term, ...status } = this.#reader.status
    return {
      apex: this.apex,
      from: claim?.owner ?? from,
      term: claim?.head.term ?? term,
      ours,
      pieces: claim?.head.hashes.size ?? 0,
      missing: ours ? 0 : status.missing,
      whole: ours || status.whole,
      octets: writer ? writer.octets : status.octets,
      over: writer?.over ?? false,
      refused: this.#reader.refused,
    }
  }

  /** Octets that this node publishes of it. */
  get publishedOctets(): number {
    return this.#writer?.publishedOctets ?? 0
  }

  /** Whether this node is the one that publishes it now. */
  get publishes(): boolean {
    return this.#writer !== undefined
  }

  /** What this node's master says. This node publishes it until another claims the zone later. */
  publish(change: ZoneChange): void {
    const { publish, withdraw, fits } = this.#options
    this.#writer ??= new ZoneWriter({
      apex: this.apex,
      publish,
      withdraw,
      fits,
      nextTerm: () => this.#nextTerm(),
      onPublished: () => this.#published(),
    })
    this.#writer.change(change)
  }

  /** Serves what the node with the best claim says; these pieces have changed. */
  follow(pieces: readonly number[]): void {
    const { node, leads } = this.#options
    const writer = this.#writer
    const claim = (this.#claim = this.#bestClaim())
    // We are about to claim it: the others hear of that when they can have all of it.
    if (writer && writer.term === 0) return
    if (writer && (!claim || claim.owner === node)) {
      // It is served from its source, not by way of the gossip.
      if (claim) this.#reclaimMs = RECLAIM_MS
      return this.#reader.rest()
    }
    if (writer && leads()) return this.#reclaimLater()
    if (writer) this.#yield()
    this.#reader.take(claim, pieces)
  }

  #bestClaim(): Claim | undefined {
    return claimOf(this.apex, this.#options.lookup)
  }

  /** The term that is best now if it is ours, else one above it. */
  #nextTerm(): number {
    const best = this.#bestClaim()
    if (!best) return (this.#writer?.term ?? 0) || 1
    return best.owner === this.#options.node ? best.head.term : best.head.term + 1
  }

  #published(): void {
    const { log, zoneBytes } = this.#options
    const writer = this.#writer
    if (!writer) return
    if (writer.over && !this.#saidOver)
      log.warn('a zone has no room in the gossip: other nodes keep the last one that had', {
        zone: this.apex,
        octets: writer.octets,
        most: zoneBytes,
      })
    if (!writer.over && this.#saidOver)
      log.info('the zone has room in the gossip again', { zone: this.apex })
    this.#saidOver = writer.over
  }

  /** Somebody has a claim above ours although our master leads: goes above it. */
  #reclaimLater(): void {
    if (this.#reclaim) return
    const { node, leads, after } = this.#options
    this.#reclaim = after(this.#reclaimMs, () => {
      this.#reclaim = undefined
      const claim = this.#bestClaim()
      if (claim && claim.owner !== node && leads()) this.#writer?.reclaim()
      else this.follow([])
    })
    this.#reclaimMs = Math.min(RECLAIM_MOST_MS, this.#reclaimMs * 2)
  }

  /** Another publishes it now: what we said of it goes. */
  #yield(): void {
    this.#writer?.withdraw()
    this.#writer = undefined
    this.#saidOver = false
  }
}
