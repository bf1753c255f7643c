/**
 * Our own namespace: the only one we write. Changes are gathered for 20 ms,
 * and for 100 ms when we spoke just before; then they get versions and go out
 * together.
 *
 * After a restart our old entries are still known, here from disk or from
 * peers. They stay as they are until we publish: then a new epoch begins,
 * old entries of kinds not published yet are carried over into it, and are
 * withdrawn when their kind is published without them, or 30 s after the start.
 *
 * What the caps keep out waits: whatever we change or withdraw may make room.
 */
import { capOf } from './caps.ts'
import { MAX_EPOCH } from './delta.ts'
import { isNewer, type Owner } from './owner.ts'
import type { Replica } from './replica.ts'
import { DELETED, INHERITED } from './table.ts'
import { type Cap, type Counts, type Key, keyOctets, type Limits } from './types.ts'

/** One batch in this time, in ms, but the first of a quiet owner goes sooner: it is what people wait for. */
const BATCH_MS = 100
const FIRST_MS = 20
/** How long entries of the life before are kept without being published again. */
export const INHERIT_MS = 30_000
/** Two nodes of one name would outbid each other for ever: this slows the war down to a murmur. */
const OUTBID_MS = 10_000
/** Versions left before a new epoch is begun rather than running over 32 bits. */
const VERSION_RESERVE = 2 ** 32 - 2 ** 20

type Options = {
  name: string
  /** First epoch to use: seconds since 1970 at start, unless what we know of ourselves is higher. */
  epoch: number
  replica: Replica
  limits: Limits
  counts: Counts
  now: number
  /** Something was put where nothing waited: `poll` is wanted sooner than it was. */
  onPut: () => void
  /** What we changed in (from, to] is ready to go out. */
  onBatch: (owner: Owner, from: number, to: number) => void
  /** A cap keeps out what was put since it was last asked. */
  onRefused: (cap: Cap) => void
}

/** A change to one key; undefined withdraws. */
type Change = { readonly octets: Buffer; readonly value: Uint8Array | undefined }
/** One that a cap keeps out. */
type Refused = Change & { readonly cap: Cap }

export class Own {
  readonly #name: string
  readonly #replica: Replica
  readonly #limits: Limits
  readonly #counts: Counts
  readonly #onPut: () => void
  readonly #onBatch: Options['onBatch']
  readonly #onRefused: Options['onRefused']
  /** By the key's octets as latin1. */
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
    this.#onPut = options.onPut
    this.#onBatch = options.onBatch
    this.#onRefused = options.onRefused
    this.#settleAt = now + INHERIT_MS
  }

  /** The epoch our next or present entries are published under. */
  get epoch(): number {
    return this.#epoch
  }

  /** Whether this life's namespace exists; before that our old one is merged like anybody's. */
  get opened(): boolean {
    return this.#opened
  }

  get dueAt(): number {
    return this.#dueAt
  }

  /** Records of ours that the caps keep out: nobody sees them. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Set a key, or with undefined withdraw it; false if it can be neither. */
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
    // Our last life may yet be heard of.
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
    this.#dueAt = Infinity
    this.#sentAt = now
    const pending = this.#pending
    this.#pending = new Map()
    // Nothing said before and nothing to say: our last life may yet be heard of, and is then merged like anybody's.
    if (owner.version === 0 && [...pending.values()].every(({ value }) => !value)) return
    const from = this.#open(owner)
    // Withdrawals first, for they make room; then what waited for it.
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
    // One that grew may have met a cap before another shrank.
    if (this.#waiting.size > 0) this.#writeAll(owner, this.#waiting, now)
    for (const kind of fresh) {
      this.#kinds.add(kind)
      this.#withdrawInherited(owner, kind, now)
    }
    // The room may have been taken by what the life before left.
    if (fresh.size > 0) this.#writeAll(owner, this.#waiting, now)
    this.#tellRefused(pending.keys())
    // Even if no entry was let in by the caps, this life's state replaces the last one's.
    if (owner.version === 0) this.#next(owner)
    this.#send(owner, from)
  }

  /** Begin this life's epoch if it has not begun; the version what follows comes after. */
  #open(owner: Owner): number {
    if (this.#opened && owner.version < VERSION_RESERVE) return owner.version
    this.#opened = true
    this.#epoch = Math.min(MAX_EPOCH - 1, Math.max(this.#epoch, owner.epoch + 1))
    if (owner.version > 0) this.#replica.renumber(owner, this.#epoch, true)
    else this.#replica.advance(owner, this.#epoch, 0, 0)
    return 0
  }

  /** Write what the caps let in; the rest waits. */
  #writeAll(owner: Owner, wanted: ReadonlyMap<string, Change>, now: number): void {
    const waiting = new Map<string, Refused>()
    for (const [id, { octets, value }] of wanted) {
      const cap = this.#write(owner, octets, value, now)
      if (cap) waiting.set(id, { octets, value, cap })
    }
    this.#waiting = waiting
  }

  /** Say which caps keep out something of these keys. */
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

  /** Write one key; the cap that forbids it, if one does. */
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

  /** Withdraw what the life before left, of one kind or of all. */
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
   * Somebody has more of our namespace than we wrote: our own last life with
   * a clock ahead of ours, a disk restored from a copy, or a forger. Whatever
   * it is, what we publish now must win, so we go past it.
   */
  outbid(epoch: number, version: number, now: number): void {
    const owner = this.#replica.owners.get(this.#name)
    if (!this.#opened || !owner || !isNewer(owner, epoch, version) || epoch >= MAX_EPOCH - 1) return
    this.#counts.refused.epoch++
    if (now - this.#outbidAt < OUTBID_MS) return
    this.#outbidAt = now
    this.#epoch = epoch + 1
    this.#replica.renumber(owner, this.#epoch, false)
    this.#send(owner, 0)
  }
}
