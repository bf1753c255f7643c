/**
 * One zone in the gossip. The node with the best claim publishes it; all others serve what that node publishes. A node
 * whose own master leads makes a better claim if another node has the best one. If both do so, they alternate at
 * growing intervals.
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
  /** Whether the budget has room for this many octets of the zone. */
  readonly fits: (octets: number) => boolean
  /** Limit of octets for the zones of one node, for the log. */
  readonly zoneBytes: number
  /** Called with a complete zone of another node, or with changes that lead to another complete one. */
  readonly onZone: (change: ZoneChange) => void
  /** Whether this node's own master leads now. */
  readonly leads: () => boolean
  /** Runs `work` once, after `ms`. The returned function cancels it. */
  readonly after: (ms: number, work: () => void) => () => void
}

/** A zone of the gossip as this node sees it. */
export type SharedZoneStatus = {
  readonly apex: string
  /** The publishing node, '' if there is none; its term; and whether it is this node. */
  readonly from: string
  readonly term: number
  readonly ours: boolean
  /** The number of pieces in its head, and of those that have not arrived. */
  readonly pieces: number
  readonly missing: number
  /** Whether this node serves a complete zone. */
  readonly whole: boolean
  /** Octets of the zone in the records. */
  readonly octets: number
  /** Whether it exceeds the budget and is therefore not published. */
  readonly over: boolean
  /** The number of zones of other nodes that could not be decoded. */
  readonly refused: number
}

/** The first pause before a better claim, and the longest one: the pause doubles each time. */
const RECLAIM_MS = 1_000
const RECLAIM_MOST_MS = 64_000

export class SharedZone {
  readonly apex: string
  readonly #options: SharedZoneOptions
  readonly #reader: ZoneReader
  #writer: ZoneWriter | undefined
  #claim: Claim | undefined
  #reclaimMs = RECLAIM_MS
  /** Cancels the pending claim. */
  #reclaim: (() => void) | undefined
  /** Whether the log mentions already that the zone exceeds the budget. */
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

  /** Octets of the zone that this node publishes. */
  get publishedOctets(): number {
    return this.#writer?.publishedOctets ?? 0
  }

  /** Whether this node currently publishes it. */
  get publishes(): boolean {
    return this.#writer !== undefined
  }

  /** Publishes a change from this node's master, until another node makes a better claim. */
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

  /** Serves the zone of the node with the best claim. `pieces` have changed. */
  follow(pieces: readonly number[]): void {
    const { node, leads } = this.#options
    const writer = this.#writer
    const claim = (this.#claim = this.#bestClaim())
    // This node is about to claim the zone, and will do so when all pieces are published.
    if (writer && writer.term === 0) return
    if (writer && (!claim || claim.owner === node)) {
      // This node serves its own zone from its master, not from the gossip.
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

  /** The best term if it is ours, otherwise one above it. */
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

  /** Another node has a better claim although our master leads: makes a better one after a pause. */
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

  /** Another node publishes the zone now: withdraws ours. */
  #yield(): void {
    this.#writer?.withdraw()
    this.#writer = undefined
    this.#saidOver = false
  }
}
