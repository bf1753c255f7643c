/**
 * Serves a zone that another node publishes. The head lists the hash of every piece; the served zone only changes
 * when all pieces have arrived, from one complete zone to the next. Until then the last complete zone stays, and
 * `status` reports how much is missing.
 */
import type { Owner } from '../../boundary/messages.ts'
import type { ZoneChange } from '../../boundary/zone.ts'
import type { Log } from '../../base/log.ts'
import type { Entry, Key } from '../../gossip/records/types.ts'
import { PieceZone, type ServedPiece } from './piece-zone.ts'
import { bestClaim, type Claim } from './zone-head.ts'
import {
  countLines,
  headKey,
  joined,
  linesOf,
  ownerOf,
  type Piece,
  textOf,
  wholeName,
} from './zone-piece.ts'

/** Pieces checked or inflated in one turn: about two milliseconds with 10,000 tasks. */
const PIECES_A_TURN = 16
/** Limit of an inflated zone in octets; with 10,000 tasks the two zones take 20 and 30 MB. */
const ZONE_TEXT_MOST = 96 * 1024 * 1024
/** A zone that lacks pieces for longer than this is reported. */
const LATE_MS = 10_000

export type ZoneReaderOptions = {
  readonly apex: string
  readonly lookup: (key: Key) => readonly Entry[]
  readonly onZone: (change: ZoneChange) => void
  readonly log: Log
}

export type ZoneStatus = {
  /** The node that publishes the zone, '' if none does; and its term. */
  readonly from: string
  readonly term: number
  /** Number of pieces in the head, and of missing ones. */
  readonly pieces: number
  readonly missing: number
  /** Whether a complete zone is served. */
  readonly whole: boolean
  /** Octets of the served pieces. */
  readonly octets: number
}

export class ZoneReader {
  readonly #options: ZoneReaderOptions
  /** Undefined before the first complete zone. */
  #served: PieceZone | undefined
  #servedOctets = 0
  #claim: Claim | undefined
  /** Hash of each arrived piece of the publishing node. */
  readonly #here = new Map<number, string>()
  readonly #toLook = new Set<number>()
  #missing = 0
  /** Whether missing pieces have been logged. */
  #said = false
  /** Hashes of invalid pieces: a zone that contains one is refused. */
  readonly #bad = new Set<string>()
  #work: Generator<void> | undefined
  /** Something arrived during the work. */
  #again = false
  #turn: NodeJS.Immediate | undefined
  #late: NodeJS.Timeout | undefined
  /** Number of zones refused because a piece is invalid or inflates to too much. */
  refused = 0

  constructor(options: ZoneReaderOptions) {
    this.#options = options
  }

  close(): void {
    clearImmediate(this.#turn)
    clearTimeout(this.#late)
    this.#work = undefined
  }

  get status(): ZoneStatus {
    return {
      from: this.#claim?.owner ?? '',
      term: this.#claim?.head.term ?? 0,
      pieces: this.#claim?.head.hashes.size ?? 0,
      missing: this.#missing,
      whole: this.#served !== undefined,
      octets: this.#servedOctets,
    }
  }

  /** This node now serves the zone from its own source; afterwards this reader starts from the beginning. */
  rest(): void {
    this.close()
    this.#turn = undefined
    this.#served = undefined
    this.#servedOctets = 0
    this.#follow(undefined)
  }

  /** Serves the zone of this claim; these pieces of it may have changed. */
  take(claim: Claim | undefined, pieces: Iterable<number>): void {
    if (claim?.owner !== this.#claim?.owner) this.#follow(claim)
    else this.#claim = claim
    for (const piece of pieces) this.#toLook.add(piece)
    this.#again = true
    if (!this.#work) this.#begin()
  }

  #follow(claim: Claim | undefined): void {
    this.#claim = claim
    this.#here.clear()
    this.#toLook.clear()
    this.#tellMissing(0)
    for (const piece of claim?.head.hashes.keys() ?? []) this.#toLook.add(piece)
  }

  #begin(): void {
    this.#again = false
    this.#work = this.#reading()
    this.#step()
  }

  #step(): void {
    this.#turn = undefined
    const work = this.#work
    if (!work) return
    if (!work.next().done) {
      this.#turn = setImmediate(() => this.#step())
      return
    }
    this.#work = undefined
    // Handles what arrived meanwhile.
    if (this.#again) this.#begin()
  }

  #piece(piece: number, owner: string): Piece | undefined {
    const { lookup, apex } = this.#options
    return joined(key => lookup(key).find(entry => entry.owner === owner)?.value, apex, piece)
  }

  *#reading(): Generator<void> {
    let turn = 0
    for (const piece of this.#toLook) {
      this.#toLook.delete(piece)
      const owner = this.#claim?.owner
      const found = owner === undefined ? undefined : this.#piece(piece, owner)
      if (found) this.#here.set(piece, found.hash)
      else this.#here.delete(piece)
      if (++turn % PIECES_A_TURN === 0) yield
    }
    const claim = this.#claim
    if (!claim) return
    let missing = 0
    for (const [piece, hash] of claim.head.hashes) if (this.#here.get(piece) !== hash) missing++
    this.#tellMissing(missing)
    if (missing === 0) yield* this.#switch(claim)
  }

  /** Pieces of the claim that differ from the served ones, parsed and checked; undefined if one is invalid. */
  *#changed({ owner, head }: Claim): Generator<void, Map<number, ServedPiece> | undefined> {
    const changed = new Map<number, ServedPiece>()
    let octets = 0
    let turn = 0
    for (const [piece, hash] of head.hashes) {
      if (this.#served?.piece(piece)?.hash === hash) continue
      if (this.#bad.has(hash)) return undefined
      const found = this.#piece(piece, owner)
      // The piece has changed meanwhile; its new head will follow.
      if (found?.hash !== hash) return undefined
      const text = textOf(found.bytes)
      octets += text?.length ?? 0
      if (text === undefined || octets > ZONE_TEXT_MOST) {
        this.#refuse(owner, piece, hash)
        return undefined
      }
      changed.set(piece, { ...found, names: countLines(text) })
      if (++turn % PIECES_A_TURN === 0) yield
    }
    return changed
  }

  #refuse(owner: string, piece: number, hash: string): void {
    const { log, apex } = this.#options
    if (this.#bad.size >= 64) this.#bad.clear()
    this.#bad.add(hash)
    this.refused++
    log.warn('a zone in the gossip cannot be read, the last one stays', {
      zone: apex,
      owner,
      piece,
    })
  }

  *#switch(claim: Claim): Generator<void> {
    const changed = yield* this.#changed(claim)
    if (!changed) return
    const first = this.#served === undefined
    const zone = (this.#served ??= new PieceZone(this.#options.apex))
    const gone = [...zone.pieces].filter(piece => !claim.head.hashes.has(piece))
    if (!first && changed.size === 0 && gone.length === 0) return
    const set: Owner[] = []
    const drop: string[] = []
    let turn = 0
    if (!first) {
      for (const piece of [...changed.keys(), ...gone]) {
        this.#differences(zone.piece(piece), changed.get(piece), set, drop)
        if (++turn % PIECES_A_TURN === 0) yield
      }
    }
    // From here on in one turn, because the pieces and the reported changes must match.
    for (const [piece, now] of changed) zone.put(piece, now)
    for (const piece of gone) zone.put(piece, undefined)
    this.#servedOctets = 0
    for (const piece of zone.pieces) this.#servedOctets += zone.piece(piece)?.bytes.length ?? 0
    if (first) this.#options.onZone({ kind: 'full', zone, live: true })
    else if (set.length + drop.length > 0)
      this.#options.onZone({ kind: 'patch', set, drop, of: zone })
  }

  /** The changed names of a piece. */
  #differences(
    before: ServedPiece | undefined,
    now: ServedPiece | undefined,
    set: Owner[],
    drop: string[],
  ): void {
    const { apex } = this.#options
    const was = linesOf((before && textOf(before.bytes)) ?? '')
    const is = linesOf((now && textOf(now.bytes)) ?? '')
    for (const [rel, line] of is) {
      if (was.get(rel) === line) continue
      const owner = ownerOf(rel, line, apex)
      if (owner) set.push(owner)
      else if (was.has(rel)) drop.push(wholeName(rel, apex))
    }
    for (const rel of was.keys()) if (!is.has(rel)) drop.push(wholeName(rel, apex))
  }

  #tellMissing(missing: number): void {
    const { log, apex } = this.#options
    this.#missing = missing
    if (missing === 0) {
      clearTimeout(this.#late)
      this.#late = undefined
      if (this.#said) log.info('a zone in the gossip is whole again', { zone: apex })
      this.#said = false
      return
    }
    this.#late ??= setTimeout(() => {
      this.#said = true
      log.warn('pieces of a zone in the gossip are missing, the last whole one is served', {
        zone: apex,
        owner: this.#claim?.owner ?? '',
        missing: this.#missing,
        whole: this.#served !== undefined,
      })
    }, LATE_MS).unref()
  }
}

/** The best claim for a zone. */
export const claimOf = (apex: string, lookup: ZoneReaderOptions['lookup']): Claim | undefined =>
  bestClaim(lookup(headKey(apex)))
