/**
 * Publishes a zone of this node: converts changed names to changed pieces, a few per turn, and then publishes all of
 * them together with the head, so that a joining node gets a complete zone. A zone that exceeds its limit is not
 * published: the last complete one stays in the records.
 */
import type { RRset } from '../../boundary/messages.ts'
import type { ZoneChange, ZoneMap } from '../../boundary/zone.ts'
import type { Key } from '../../gossip/records/types.ts'
import { encodeHead } from './zone-head.ts'
import {
  chunkKeys,
  chunksOf,
  encodePiece,
  headKey,
  type Piece,
  pieceOf,
  PIECES,
  relative,
} from './zone-piece.ts'

/** Pieces encoded in one turn: about a millisecond each with 10,000 tasks. */
const PIECES_A_TURN = 4

export type ZoneWriterOptions = {
  readonly apex: string
  readonly publish: (key: Key, value: Uint8Array) => void
  readonly withdraw: (key: Key) => void
  /** Whether the zone may take this many octets. */
  readonly fits: (octets: number) => boolean
  /** A term above all known ones. */
  readonly nextTerm: () => number
  /** Called after the zone was published, or was found not to fit. */
  readonly onPublished: () => void
}

type Encoded = {
  readonly hash: string
  readonly octets: number
  readonly chunks: readonly (readonly [Key, Buffer])[]
}
type Published = { readonly hash: string; readonly octets: number; readonly chunks: number }

export class ZoneWriter {
  readonly #options: ZoneWriterOptions
  /** The current content: a live zone, or a copy that is updated by the changes. */
  #source: ZoneMap = new Map<string, readonly RRset[]>()
  #live = false
  /** Names of each piece, relative to the apex. */
  readonly #names = new Map<number, Set<string>>()
  readonly #dirty = new Set<number>()
  /** Pieces that are encoded but not published; undefined is an empty piece. */
  readonly #encoded = new Map<number, Encoded | undefined>()
  readonly #published = new Map<number, Published>()
  #turn: NodeJS.Immediate | undefined
  /** 0 until other nodes know that we publish the zone. */
  term = 0
  /** Octets of keys and values: of the wanted zone, and of the published one. */
  octets = 0
  publishedOctets = 0
  /** Whether the zone exceeds its limit. */
  over = false

  constructor(options: ZoneWriterOptions) {
    this.#options = options
  }

  change(change: ZoneChange): void {
    if (change.kind === 'full') {
      this.#live = change.live === true
      this.#source = this.#live ? change.zone : new Map(change.zone)
      for (const [piece, names] of this.#names)
        for (const rel of names) if (!this.#source.has(this.#absolute(rel))) this.#drop(piece, rel)
      for (const name of this.#source.keys()) this.#set(name)
    } else {
      const copy = this.#live ? undefined : (this.#source as Map<string, readonly RRset[]>)
      for (const [name, rrsets] of change.set) {
        copy?.set(name, rrsets)
        this.#set(name)
      }
      for (const name of change.drop) {
        copy?.delete(name)
        const rel = relative(name, this.#options.apex)
        if (rel !== undefined) this.#drop(pieceOf(rel), rel)
      }
    }
    if (!this.#turn) this.#encode()
  }

  /** Claims the zone again, because another node has a higher term although our master leads. */
  reclaim(): void {
    if (this.term > 0) this.#publishHead()
  }

  /** Another node publishes the zone now: removes our version. */
  withdraw(): void {
    const { apex, withdraw } = this.#options
    this.close()
    for (const [piece, { chunks }] of this.#published)
      for (const key of chunkKeys(apex, piece, 0, chunks)) withdraw(key)
    if (this.term > 0) withdraw(headKey(apex))
  }

  close(): void {
    clearImmediate(this.#turn)
  }

  #absolute(rel: string): string {
    return rel === '@' ? this.#options.apex : `${rel}.${this.#options.apex}`
  }

  #set(name: string): void {
    const rel = relative(name, this.#options.apex)
    if (rel === undefined) return
    const piece = pieceOf(rel)
    const names = this.#names.get(piece)
    if (names) names.add(rel)
    else this.#names.set(piece, new Set([rel]))
    this.#dirty.add(piece)
  }

  #drop(piece: number, rel: string): void {
    if (this.#names.get(piece)?.delete(rel)) this.#dirty.add(piece)
  }

  /** Encodes some of the changed pieces now and others in the next turns; then publishes all of them. */
  #encode(): void {
    let left = PIECES_A_TURN
    for (const piece of this.#dirty) {
      if (left-- === 0) {
        this.#turn = setImmediate(() => {
          this.#turn = undefined
          this.#encode()
        })
        return
      }
      this.#dirty.delete(piece)
      this.#encodeOne(piece)
    }
    this.#publish()
  }

  #encodeOne(piece: number): void {
    const { apex } = this.#options
    const owners = [...(this.#names.get(piece) ?? [])].flatMap(rel => {
      const rrsets = this.#source.get(this.#absolute(rel))
      return rrsets ? [[rel, rrsets] as const] : []
    })
    if (owners.length === 0) {
      this.#names.delete(piece)
      this.#encoded.set(piece, undefined)
      return
    }
    const made: Piece = encodePiece(owners, apex)
    const chunks = chunksOf(made, apex, piece)
    const octets = chunks
      ? chunks.reduce((sum, [key, value]) => sum + 1 + key.name.length + value.length, 0)
      : Infinity
    this.#encoded.set(piece, { hash: made.hash, octets, chunks: chunks ?? [] })
  }

  #octets(): number {
    let octets = 0
    for (let piece = 0; piece < PIECES; piece++)
      octets +=
        (this.#encoded.has(piece) ? this.#encoded.get(piece) : this.#published.get(piece))
          ?.octets ?? 0
    return octets
  }

  #publish(): void {
    const { apex, publish, withdraw, fits, onPublished } = this.#options
    this.octets = this.#octets()
    this.over = !fits(this.octets)
    if (this.over) {
      // Other nodes must learn that the zone exists even if it was never published; otherwise they would answer
      // NXDOMAIN for its names.
      if (this.term === 0) this.#publishHead()
      return onPublished()
    }
    for (const [piece, encoded] of this.#encoded) {
      const before = this.#published.get(piece)?.chunks ?? 0
      const chunks = encoded?.chunks.length ?? 0
      for (const key of chunkKeys(apex, piece, chunks, before)) withdraw(key)
      if (encoded) {
        if (encoded.hash !== this.#published.get(piece)?.hash)
          for (const [key, value] of encoded.chunks) publish(key, value)
        this.#published.set(piece, { hash: encoded.hash, octets: encoded.octets, chunks })
      } else this.#published.delete(piece)
    }
    this.#encoded.clear()
    this.publishedOctets = this.octets
    this.#publishHead()
    onPublished()
  }

  #publishHead(): void {
    const { apex, publish, nextTerm } = this.#options
    this.term = Math.max(this.term, nextTerm())
    const hashes = new Map<number, string>()
    for (let piece = 0; piece < PIECES; piece++) {
      const one =
        this.over && this.#published.size === 0
          ? this.#encoded.get(piece)
          : this.#published.get(piece)
      if (one) hashes.set(piece, one.hash)
    }
    publish(headKey(apex), encodeHead({ term: this.term, hashes }))
  }
}
