/**
 * Between the control plane and the gossip's records: our VIPs, the zones the
 * leading master's node makes, and facts of this node go out; everybody's
 * come back as owners and zones.
 *
 * A zone travels in pieces, names sorted into them by hash, so that a change
 * sends one piece. Its `head` says since when its owner has been making it:
 * after a failover two nodes may claim one zone, and the later one counts.
 * The head goes out after the pieces, so that nobody follows a maker who has
 * said nothing yet; and pieces are made and read a few a turn.
 */
import type { Owner, RRset } from '../../boundary/messages.ts'
import type { Log } from '../../base/log.ts'
import type { Entry, Key } from '../../gossip/records/types.ts'
import { Pace } from '../../base/pace.ts'
import {
  decodeNode,
  decodeOwners,
  encodeNode,
  encodeOwners,
  encodeVip,
  type NodeFacts,
} from './shared-codec.ts'
import { SharedVips } from './shared-vips.ts'
import type { OwnerVips } from '../../vip/table.ts'
import { vipKey, type VipRecord } from '../../vip/record.ts'
import type { ZoneChange, ZoneMap } from '../../boundary/zone.ts'

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
  readonly log: Log
  readonly onVips: (owners: readonly OwnerVips[]) => void
  /** A zone as another node makes it. */
  readonly onZone: (apex: string, change: ZoneChange) => void
  /** Unix milliseconds. */
  readonly now: () => number
}

const PIECES = 256
/** VIPs are merged at once, and at most this often while changes come in. */
const PACE_MS = 50

/** Pieces made or read in one turn: 240 names each of 10,000 tasks' zone, a millisecond apiece. */
const PIECES_A_TURN = 4

type OwnZone = {
  readonly pieces: Map<number, Map<string, readonly RRset[]>>
  readonly since: number
  /** Pieces that changed and were not published since. */
  readonly dirty: Set<number>
  /** Whether the others know that we make it. */
  headed: boolean
  turn: NodeJS.Immediate | undefined
}

/** What is being read of a zone that another makes. */
type Reading = {
  /** It was somebody else's before: all of it is new. */
  readonly whole: boolean
  readonly maker: string
  readonly pieces: Set<number>
  readonly set: Map<string, readonly RRset[]>
  readonly drop: Set<string>
  turn: NodeJS.Immediate | undefined
}

export class Shared {
  readonly #options: SharedOptions
  readonly #vips: SharedVips
  readonly #ownVips = new Map<string, string>()
  readonly #ownZones = new Map<string, OwnZone>()
  /** Who makes each zone, as last served. */
  readonly #makers = new Map<string, string>()
  readonly #served = new Map<string, Map<number, readonly Owner[]>>()
  readonly #reading = new Map<string, Reading>()
  readonly #stop: () => void
  readonly #pace = new Pace(PACE_MS)
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: SharedOptions) {
    this.#options = options
    this.#vips = new SharedVips(options.records)
    this.#stop = options.records.onChange(keys => this.#changed(keys))
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const { turn } of [...this.#ownZones.values(), ...this.#reading.values()])
      clearImmediate(turn)
    this.#stop()
  }

  /** Serves all that is known now, as after a restart with records from disk. */
  refresh(): void {
    this.#vips.allChanged()
    this.#timer ??= setTimeout(() => this.#mergeVips(), 0)
    for (const apex of this.#options.apexes) this.#follow(apex, [])
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

  /** What this node makes of the leading master's state. It is the zone's maker until another is, later. */
  publishZone(apex: string, change: ZoneChange): void {
    const zone = this.#own(apex)
    const put = (name: string, rrsets: readonly RRset[] | undefined): void => {
      const piece = pieceOf(name)
      const names = zone.pieces.get(piece) ?? new Map<string, readonly RRset[]>()
      if (rrsets) names.set(name, rrsets)
      else names.delete(name)
      zone.pieces.set(piece, names)
      zone.dirty.add(piece)
    }
    if (change.kind === 'full') {
      for (const names of zone.pieces.values())
        for (const name of names.keys()) if (!change.zone.has(name)) put(name, undefined)
      for (const [name, rrsets] of change.zone) put(name, rrsets)
    } else {
      for (const [name, rrsets] of change.set) put(name, rrsets)
      for (const name of change.drop) put(name, undefined)
    }
    if (!zone.turn) this.#publishPieces(apex, zone)
  }

  /** Some of what changed now, the rest in the next turns; then that we make it. */
  #publishPieces(apex: string, zone: OwnZone): void {
    let left = PIECES_A_TURN
    for (const piece of zone.dirty) {
      if (left-- === 0) {
        zone.turn = setImmediate(() => {
          zone.turn = undefined
          this.#publishPieces(apex, zone)
        })
        return
      }
      zone.dirty.delete(piece)
      const names = zone.pieces.get(piece)!
      if (names.size > 0) this.#publish(pieceKey(apex, piece), encodeOwners(names))
      else this.#options.records.withdraw(pieceKey(apex, piece))
    }
    if (zone.headed) return
    zone.headed = true
    this.#publish(headKey(apex), Buffer.from(String(zone.since)))
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

  /** Whether this node is the one that makes a zone now. */
  makes(apex: string): boolean {
    return this.#ownZones.has(apex)
  }

  #own(apex: string): OwnZone {
    const had = this.#ownZones.get(apex)
    if (had) return had
    const zone: OwnZone = {
      pieces: new Map(),
      since: this.#options.now(),
      dirty: new Set(),
      headed: false,
      turn: undefined,
    }
    this.#ownZones.set(apex, zone)
    return zone
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
      // a wall clock that goes back must not hold it up
      const wait = Math.min(PACE_MS, this.#pace.wait(this.#options.now()))
      this.#timer ??= setTimeout(() => this.#mergeVips(), wait)
    }
    for (const apex of this.#options.apexes) {
      const touched = keys
        .flatMap(key => (key.kind === 'zone' ? [pieceIn(key.name, apex)] : []))
        .filter(piece => piece !== undefined)
      if (touched.length > 0) this.#follow(apex, touched)
    }
  }

  #mergeVips(): void {
    this.#timer = undefined
    if (this.#closed) return
    this.#pace.done(this.#options.now())
    this.#options.onVips(this.#vips.owners())
  }

  /** Serves what the zone's maker says; -1 among the pieces is its head. */
  #follow(apex: string, pieces: readonly number[]): void {
    const { node } = this.#options
    // About to be ours: the others hear of it when they can have all of it.
    if (this.#ownZones.get(apex)?.headed === false) return
    const maker = this.#makerOf(apex)
    if (maker === undefined) return
    let reading = this.#reading.get(apex)
    if (reading && reading.maker !== maker) {
      // Half of it is read already: whoever makes it now is read from the start.
      clearImmediate(reading.turn)
      this.#reading.delete(apex)
      this.#makers.delete(apex)
      reading = undefined
    }
    if (maker === node) {
      // We serve it from its source, not by way of the gossip.
      this.#makers.set(apex, maker)
      return
    }
    this.#yield(apex)
    if (!reading) {
      const whole = this.#makers.get(apex) !== maker
      if (whole) this.#served.set(apex, new Map())
      const all = whole ? Array.from({ length: PIECES }, (_, i) => i) : []
      reading = {
        whole,
        maker,
        pieces: new Set(all),
        set: new Map(),
        drop: new Set(),
        turn: undefined,
      }
      this.#reading.set(apex, reading)
    }
    for (const piece of pieces) if (piece >= 0) reading.pieces.add(piece)
    if (!reading.turn) this.#read(apex, reading)
  }

  /** Some of what is to be read now, the rest in the next turns; then it is served. */
  #read(apex: string, reading: Reading): void {
    const { records, onZone } = this.#options
    const served = this.#served.get(apex) ?? new Map<number, readonly Owner[]>()
    this.#served.set(apex, served)
    let left = PIECES_A_TURN
    for (const piece of reading.pieces) {
      const entry = records.lookup(pieceKey(apex, piece)).find(e => e.owner === reading.maker)
      if (entry && left-- === 0) {
        reading.turn = setImmediate(() => {
          reading.turn = undefined
          this.#read(apex, reading)
        })
        return
      }
      reading.pieces.delete(piece)
      const owners = (entry && decodeOwners(entry.value, apex)) ?? []
      for (const [name] of served.get(piece) ?? []) {
        reading.set.delete(name)
        reading.drop.add(name)
      }
      for (const [name, rrsets] of owners) {
        reading.drop.delete(name)
        reading.set.set(name, rrsets)
      }
      if (owners.length > 0) served.set(piece, owners)
      else served.delete(piece)
    }
    this.#reading.delete(apex)
    this.#makers.set(apex, reading.maker)
    if (reading.whole) onZone(apex, { kind: 'full', zone: wholeOf(served) })
    else onZone(apex, { kind: 'patch', set: [...reading.set], drop: [...reading.drop] })
  }

  /** The owner of the latest head; by name between equals, so that all nodes agree. */
  #makerOf(apex: string): string | undefined {
    let best: { owner: string; since: number } | undefined
    for (const { owner, value } of this.#options.records.lookup(headKey(apex))) {
      const since = Number(Buffer.from(value).toString())
      if (!Number.isFinite(since)) continue
      if (!best || since > best.since || (since === best.since && owner > best.owner))
        best = { owner, since }
    }
    return best?.owner
  }

  /** Another makes it now: what we said of it goes. */
  #yield(apex: string): void {
    const zone = this.#ownZones.get(apex)
    if (!zone) return
    this.#ownZones.delete(apex)
    clearImmediate(zone.turn)
    const { records } = this.#options
    for (const piece of zone.pieces.keys()) records.withdraw(pieceKey(apex, piece))
    records.withdraw(headKey(apex))
  }
}

const wholeOf = (served: ReadonlyMap<number, readonly Owner[]>): ZoneMap =>
  new Map([...served.values()].flat())

const headKey = (apex: string): Key => ({ kind: 'zone', name: `${apex} head` })
const pieceKey = (apex: string, piece: number): Key => ({ kind: 'zone', name: `${apex} ${piece}` })

/** The piece of `apex` that a key is, -1 for its head, undefined for another's. */
const pieceIn = (name: string, apex: string): number | undefined => {
  if (!name.startsWith(`${apex} `)) return undefined
  const rest = name.slice(apex.length + 1)
  if (rest === 'head') return -1
  const piece = Number(rest)
  return Number.isInteger(piece) && piece >= 0 && piece < PIECES ? piece : undefined
}

/** Whether gossip may fill a key: VIPs and nodes, and pieces of the zones named. */
export const mayShare =
  (apexes: readonly string[]) =>
  (key: Key): boolean =>
    key.kind !== 'zone' || apexes.some(apex => pieceIn(key.name, apex) !== undefined)

const pieceOf = (name: string): number => {
  let h = 0x811c9dc5
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193)
  return (h ^ (h >>> 16)) & (PIECES - 1)
}
