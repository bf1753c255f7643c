/**
 * Our own namespace, the only one that this node writes. Changes are collected for 20 ms, or 100 ms after a recent
 * batch; then they get versions and are sent together.
 *
 * After a restart our old entries are still known, from disk or from peers. They stay unchanged until we publish.
 * Then a new epoch begins, and old entries of kinds that we have not published yet are carried over into it. They
 * are withdrawn when their kind is published without them, or 30 s after the start. The disk may be older than what
 * peers hold, so the epoch only begins after a whole exchange with one of them, or when nobody has answered for 10 s:
 * what is missing in it disappears from every node.
 *
 * Changes that a cap refuses wait until other changes make room.
 *
 * This file is long, because batches, caps and restarts decide together what of a change is written.
 */
import { capOf } from './caps.ts'
import { MAX_EPOCH } from './delta.ts'
import { isNewer, type Owner } from './owner.ts'
import type { Replica } from './replica.ts'
import { DELETED, INHERITED } from './table.ts'
import { type Cap, type Counts, type Key, keyOctets, type Limits } from './types.ts'

/** Interval of batches in ms. The first batch after a quiet time is sent sooner. */
const BATCH_MS = 100
const FIRST_MS = 20
/** How long entries from before the restart are kept without being published again. */
export const INHERIT_MS = 30_000
/** Two nodes with one name would outbid each other without end; this limits the rate. */
const OUTBID_MS = 10_000
/** Above this version a new epoch begins, because versions have 32 bits. */
const VERSION_RESERVE = 2 ** 32 - 2 ** 20

type Options = {
  name: string
  /** First epoch to use: seconds since 1970 at start, unless a higher one of ours is known. */
  epoch: number
  replica: Replica
  limits: Limits
  counts: Counts
  now: number
  /** Whether a peer has told all that it holds, our earlier entries included, or none is waited for any more. */
  heard: (now: number) => boolean
  /** Called with each epoch before anything of it is sent. */
  onEpoch: (epoch: number) => void
  /** Called when the first change is put: `poll` must be called sooner than planned. */
  onPut: () => void
  /** Called when what we changed in (from, to] can be sent. */
  onBatch: (owner: Owner, from: number, to: number) => void
  /** Called when a cap refuses a change for the first time. */
  onRefused: (cap: Cap) => void
}

/** A change to one key; an undefined value withdraws it. */
type Change = { readonly octets: Buffer; readonly value: Uint8Array | undefined }
/** A change that a cap refuses. */
type Refused = Change & { readonly cap: Cap }

export class Own {
  readonly #name: string
  readonly #replica: Replica
  readonly #limits: Limits
  readonly #counts: Counts
  readonly #heard: (now: number) => boolean
  readonly #onEpoch: (epoch: number) => void
  readonly #onPut: () => void
  readonly #onBatch: Options['onBatch']
  readonly #onRefused: Options['onRefused']
  /** Keyed by the key's octets as latin1. */
  #pending = new Map<string, Change>()
  #waiting = new Map<string, Refused>()
  #dueAt = Infinity
  #sentAt = -Infinity
  #settleAt: number
  #epoch: number
  #opened = false
  #kinds = new Set<number>()
  #outbidAt = -Infinity

  constructor(options: Options) {
    const { name, epoch, replica, limits, counts, now } = options
    this.#name = name
    this.#epoch = Math.min(Math.max(1, Math.floor(epoch)), MAX_EPOCH - 1)
    this.#replica = replica
    this.#limits = limits
    this.#counts = counts
    this.#heard = options.heard
    this.#onEpoch = options.onEpoch
    this.#onPut = options.onPut
    this.#onBatch = options.onBatch
    this.#onRefused = options.onRefused
    this.#settleAt = now + INHERIT_MS
  }

  /** The epoch of our current or next entries. */
  get epoch(): number {
    return this.#epoch
  }

  /** Whether the namespace of this process exists; before that our old one is merged like any other owner's. */
  get opened(): boolean {
    return this.#opened
  }

  get dueAt(): number {
    return this.#dueAt
  }

  /** Our records that the caps refuse, and that therefore no node sees. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Sets a key, or withdraws it if the value is undefined; false if either is impossible. */
  put(key: Key, value: Uint8Array | undefined, now: number): boolean {
    const octets = keyOctets(key)
    if (!octets || (value && value.length > this.#limits.valueBytes)) {
      this.#counts.refused.value++
      return false
    }
    this.#pending.set(octets.toString('latin1'), { octets, value: value && Uint8Array.from(value) })
    if (this.#dueAt < Infinity) return true
    this.#dueAt = Math.max(now + FIRST_MS, this.#sentAt + BATCH_MS)
    this.#onPut()
    return true
  }

  poll(now: number): void {
    if (now >= this.#dueAt) this.#flush(now)
    if (now < this.#settleAt) return
    const owner = this.#replica.owners.get(this.#name)
    // Entries from before the restart may still arrive from peers.
    if (!owner || owner.version === 0 || owner.busy) return
    this.#settleAt = Infinity
    const from = this.#open(owner)
    this.#withdrawInherited(owner, undefined, now)
    this.#writeAll(owner, this.#waiting, now)
    this.#send(owner, from)
  }

  #flush(now: number): void {
    const owner = this.#replica.ensure(this.#name, now)
    if (!owner || owner.busy) return
    if (!this.#opened && !this.#heard(now)) {
      this.#dueAt = now + BATCH_MS
      return
    }
    this.#dueAt = Infinity
    this.#sentAt = now
    const pending = this.#pending
    this.#pending = new Map()
    // With nothing to publish, entries from before the restart may still arrive, and are merged like any other
    // owner's.
    if (owner.version === 0 && [...pending.values()].every(({ value }) => !value)) return
    const from = this.#open(owner)
    // Withdrawals come first because they make room; then the changes that waited.
    const wanted = new Map<string, Change>(this.#waiting)
    const fresh = new Set<number>()
    for (const [id, change] of pending) {
      wanted.delete(id)
      if (!change.value) {
        this.#write(owner, change.octets, undefined, now)
        continue
      }
      wanted.set(id, change)
      const kind = change.octets[0] as number
      if (!this.#kinds.has(kind)) fresh.add(kind)
    }
    this.#writeAll(owner, wanted, now)
    // An entry that grew may have reached a cap before another one shrank.
    if (this.#waiting.size > 0) this.#writeAll(owner, this.#waiting, now)
    for (const kind of fresh) {
      this.#kinds.add(kind)
      this.#withdrawInherited(owner, kind, now)
    }
    // Entries from before the restart may have taken the room.
    if (fresh.size > 0) this.#writeAll(owner, this.#waiting, now)
    this.#tellRefused(pending.keys())
    // Even if the caps refuse every entry, this process's state replaces the old one.
    if (owner.version === 0) this.#next(owner)
    this.#send(owner, from)
  }

  /** Begins this process's epoch if necessary; returns the last version in use. */
  #open(owner: Owner): number {
    if (this.#opened && owner.version < VERSION_RESERVE) return owner.version
    this.#opened = true
    this.#begin(Math.min(MAX_EPOCH - 1, Math.max(this.#epoch, owner.epoch + 1)))
    if (owner.version > 0) this.#replica.renumber(owner, this.#epoch, true)
    else this.#replica.advance(owner, this.#epoch, 0, 0)
    return 0
  }

  #begin(epoch: number): void {
    this.#epoch = epoch
    this.#onEpoch(epoch)
  }

  /** Writes what the caps allow; the rest waits. */
  #writeAll(owner: Owner, wanted: ReadonlyMap<string, Change>, now: number): void {
    const waiting = new Map<string, Refused>()
    for (const [id, { octets, value }] of wanted) {
      const cap = this.#write(owner, octets, value, now)
      if (cap) waiting.set(id, { octets, value, cap })
    }
    this.#waiting = waiting
  }

  /** Reports which caps refuse any of these keys. */
  #tellRefused(ids: Iterable<string>): void {
    const refused: Record<Cap, number> = { 'owner-cap': 0, 'zone-cap': 0, 'total-cap': 0 }
    for (const id of ids) {
      const cap = this.#waiting.get(id)?.cap
      if (cap) refused[cap]++
    }
    for (const cap of ['owner-cap', 'zone-cap', 'total-cap'] as const) {
      if (refused[cap] === 0) continue
      this.#counts.refused[cap] += refused[cap]
      this.#onRefused(cap)
    }
  }

  /** Writes one key; returns the cap that forbids it, if one does. */
  #write(
    owner: Owner,
    octets: Buffer,
    value: Uint8Array | undefined,
    now: number,
  ): Cap | undefined {
    const { table } = this.#replica
    const k = table.keys.find(octets, 0, octets.length)
    const e = k === 0 ? 0 : table.find(k, owner.id)
    const live = e !== 0 && ((table.flags[e] as number) & DELETED) === 0
    if (!value) {
      if (live) this.#replica.write(owner, this.#next(owner), octets, 0, octets.length, 0, -1, now)
      return undefined
    }
    if (live && table.sameValue(e, value, 0, value.length)) {
      table.flags[e] = (table.flags[e] as number) & ~INHERITED
      return undefined
    }
    const had = live ? (table.length[e] as number) + octets.length : 0
    const limits = this.#limits
    const more = octets.length + value.length - had
    const cap = capOf(limits, owner, octets[0] as number, live ? 0 : 1, more)
    if (cap) return cap
    if (!live && table.rows >= limits.entries) return 'total-cap'
    if (more > 0 && table.bytes + more > limits.bytes) return 'total-cap'
    const both = Buffer.concat([octets, value])
    this.#replica.write(
      owner,
      this.#next(owner),
      both,
      0,
      octets.length,
      octets.length,
      value.length,
      now,
    )
    return undefined
  }

  #next(owner: Owner): number {
    this.#replica.advance(owner, this.#epoch, owner.version + 1)
    return owner.version
  }

  /** Withdraws entries from before the restart, of one kind or of all. */
  #withdrawInherited(owner: Owner, kind: number | undefined, now: number): void {
    const { table } = this.#replica
    const old: Buffer[] = []
    for (let e = owner.head; e !== 0; e = table.after[e] as number) {
      if (((table.flags[e] as number) & (INHERITED | DELETED)) !== INHERITED) continue
      const k = table.key[e] as number
      if (kind !== undefined && table.keys.octet(k, 0) !== kind) continue
      old.push(table.keys.octets(k))
    }
    for (const octets of old) this.#write(owner, octets, undefined, now)
  }

  #send(owner: Owner, from: number): void {
    if (owner.version > from) this.#onBatch(owner, from, owner.version)
  }

  /**
   * Begins this epoch, or the next one, because another node wrote in our name. If it began in the same second as we,
   * its epoch and versions equal ours, and nobody would see a difference and ask for our records.
   */
  renew(epoch: number): void {
    const owner = this.#replica.owners.get(this.#name)
    if (!this.#opened || !owner) return
    this.#begin(Math.min(MAX_EPOCH - 1, Math.max(epoch, this.#epoch + 1)))
    this.#replica.renumber(owner, this.#epoch, false)
    this.#send(owner, 0)
  }

  /**
   * A peer has more of our namespace than we wrote: from our earlier process with a faster clock, from a restored
   * disk, or forged. Our own entries must win, so we continue above that version.
   */
  outbid(epoch: number, version: number, now: number): void {
    const owner = this.#replica.owners.get(this.#name)
    if (!this.#opened || !owner || !isNewer(owner, epoch, version) || epoch >= MAX_EPOCH - 1) return
    this.#counts.refused.epoch++
    if (now - this.#outbidAt < OUTBID_MS) return
    this.#outbidAt = now
    this.#begin(epoch + 1)
    this.#replica.renumber(owner, this.#epoch, false)
    this.#send(owner, 0)
  }
}
