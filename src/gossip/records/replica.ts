/**
 * The states of all owners: which owners there are, what each holds, the digest over all of it, and the basic
 * changes to it. merge.ts applies deltas. This file knows nothing about peers and packets, and time only as an
 * argument.
 */
import { BUCKET_COUNT, Digest } from './digest.ts'
import { bucketOf } from './hash.ts'
import { newOwner, type Owner } from './owner.ts'
import { DELETED, INHERITED, REFUSED, Table } from './table.ts'
import type { Counts, Limits } from './types.ts'

/** Long work: it yields after every entry, so that the caller can stop when its turn has lasted long enough. */
export type Work<T = void> = Generator<undefined, T, undefined>

/** Limit of tombstones of one owner; beyond it the older half is forgotten early. */
const MAX_TOMBS = 256

/** An owner that was dropped after its grace time. It is remembered so that old messages cannot revive it. */
export type Dropped = {
  readonly hash: number
  readonly epoch: number
  readonly version: number
  readonly since: number
  readonly left: boolean
  readonly until: number
}

/** Whether a key (its kind octet and its name) of this owner may be shown. */
export type Allow = (kind: number, name: string, owner: string) => boolean

export class Replica {
  readonly table: Table
  readonly digest = new Digest()
  readonly owners = new Map<string, Owner>()
  readonly dropped = new Map<number, Dropped>()
  readonly #byHash = new Map<number, Owner>()
  readonly #byId: (Owner | undefined)[] = [undefined]
  readonly #freeIds: number[] = []
  readonly #buckets: Owner[][] = Array.from({ length: BUCKET_COUNT }, () => [])
  readonly #limits: Limits
  readonly #counts: Counts
  readonly #allow: Allow
  /** Called for each new owner, so that its membership state is set. */
  readonly #onOwner: (owner: Owner) => void
  /** Owner id, entry, version and time of each tombstone, oldest first, four numbers each. */
  #tombs: number[] = []
  #tombsAt = 0
  /** Entries without tombstones. */
  entries = 0

  constructor(options: {
    limits: Limits
    counts: Counts
    allow: Allow
    seed: number
    onOwner: (owner: Owner) => void
  }) {
    this.#limits = options.limits
    this.#counts = options.counts
    this.#allow = options.allow
    this.#onOwner = options.onOwner
    this.table = new Table(options.seed, options.limits.entries)
  }

  byHash(hash: number): Owner | undefined {
    return this.#byHash.get(hash)
  }

  byId(id: number): Owner | undefined {
    return this.#byId[id]
  }

  /** Owners of one digest bucket, unordered. */
  bucket(i: number): readonly Owner[] {
    return this.#buckets[i] as Owner[]
  }

  /** The owner of a name; created if there is none and there is room. */
  ensure(name: string, now: number): Owner | undefined {
    const known = this.owners.get(name)
    if (known) return known
    if (this.owners.size >= this.#limits.owners) return undefined
    const owner = newOwner(this.#freeIds.pop() ?? this.#byId.length, name, now)
    if (this.#byHash.has(owner.hash)) {
      this.#freeIds.push(owner.id)
      return undefined
    }
    this.#byId[owner.id] = owner
    this.owners.set(name, owner)
    this.#byHash.set(owner.hash, owner)
    ;(this.#buckets[bucketOf(owner.hash)] as Owner[]).push(owner)
    this.#onOwner(owner)
    return owner
  }

  /** Moves an owner to a state and updates the digest. */
  advance(owner: Owner, epoch: number, version: number, gc = owner.gc): void {
    this.#toggle(owner)
    owner.epoch = epoch
    owner.version = version
    owner.gc = gc
    this.#toggle(owner)
  }

  /** Removes an owner from the digest, or adds it again. */
  hush(owner: Owner, quiet: boolean): void {
    if (owner.quiet === quiet) return
    this.#toggle(owner)
    owner.quiet = quiet
    this.#toggle(owner)
  }

  #toggle(owner: Owner): void {
    if (owner.version === 0 || owner.quiet) return
    this.digest.toggle(owner.hash, owner.epoch, owner.version)
  }

  /** Sets a key as the owner's newest entry; length -1 deletes it. The caller checks the caps. */
  write(
    owner: Owner,
    version: number,
    octets: Uint8Array,
    keyAt: number,
    keyLength: number,
    valueAt: number,
    valueLength: number,
    now: number,
    mark = 0,
  ): void {
    const { table } = this
    const k = table.keys.intern(octets, keyAt, keyLength)
    const had = table.find(k, owner.id)
    const hadLive = had !== 0 && ((table.flags[had] as number) & DELETED) === 0
    if (valueLength < 0) {
      const e = table.put(owner, k, version, octets, 0, -1, mark)
      if (hadLive) this.entries--
      this.#tombs.push(owner.id, e, version, now)
      if (mark === 0 && (owner.tombs > MAX_TOMBS || table.rows > 2 * this.#limits.entries))
        this.#forgetHalf(owner)
      if (this.#tombs.length - this.#tombsAt > 4 * this.#limits.entries) this.#forgetOldest()
      return
    }
    if (!hadLive) this.entries++
    if (hadLive && table.sameValue(had, octets, valueAt, valueLength)) {
      table.renew(owner, had, version, mark)
      return
    }
    let refused = had !== 0 && hadLive ? (table.flags[had] as number) & REFUSED : 0
    if (!hadLive && !this.#allow(table.keys.octet(k, 0), table.keys.name(k), owner.name)) {
      refused = REFUSED
      this.#counts.refused.zone++
    }
    table.put(owner, k, version, octets, valueAt, valueLength, mark | refused)
  }

  /** Removes an entry without a tombstone. */
  discard(owner: Owner, e: number): void {
    if (((this.table.flags[e] as number) & DELETED) === 0) this.entries--
    this.table.remove(owner, e)
  }

  /** Forgets an owner's oldest tombstones until it has no more than allowed. */
  shrink(owner: Owner): void {
    while (owner.tombs > MAX_TOMBS) this.#forgetHalf(owner)
  }

  /** Forgets the older half of an owner's tombstones. */
  #forgetHalf(owner: Owner): void {
    const { table } = this
    let spare = (owner.tombs + 1) >> 1
    for (let e = owner.head, next = 0; e !== 0 && spare > 0; e = next) {
      next = table.after[e] as number
      if (((table.flags[e] as number) & DELETED) === 0) continue
      this.#forget(owner, e)
      spare--
    }
  }

  #forget(owner: Owner, e: number): void {
    owner.gc = Math.max(owner.gc, this.table.version[e] as number)
    this.discard(owner, e)
  }

  /** Forgets tombstones that are old enough. Looks at `most` of them at most. */
  forgetOld(now: number, most: number): void {
    for (let i = 0; i < most && this.#tombsAt < this.#tombs.length; i++) {
      if ((this.#tombs[this.#tombsAt + 3] as number) + this.#limits.tombstoneMs > now) return
      this.#forgetOldest()
    }
  }

  #forgetOldest(): void {
    const { table } = this
    const at = this.#tombsAt
    const e = this.#tombs[at + 1] as number
    const owner = this.#byId[this.#tombs[at] as number]
    // The row may be reused, or its key may be set again.
    const same =
      owner &&
      !owner.busy &&
      table.owner[e] === owner.id &&
      table.version[e] === this.#tombs[at + 2]
    if (same && (table.flags[e] as number) & DELETED) this.#forget(owner, e)
    this.#tombsAt += 4
    if (this.#tombsAt === this.#tombs.length) {
      this.#tombs = []
      this.#tombsAt = 0
    } else if (this.#tombsAt > 65_536) {
      this.#tombs.splice(0, this.#tombsAt)
      this.#tombsAt = 0
    }
  }

  /** Drops an owner with all its entries. Reads no longer see it at once; its entries are removed in turns. */
  *drop(owner: Owner, now: number, remember: boolean): Work {
    if (!owner.quiet) this.hush(owner, true)
    this.owners.delete(owner.name)
    this.#byHash.delete(owner.hash)
    const bucket = this.#buckets[bucketOf(owner.hash)] as Owner[]
    bucket.splice(bucket.indexOf(owner), 1)
    if (remember && owner.version > 0)
      this.dropped.set(owner.hash, {
        hash: owner.hash,
        epoch: owner.epoch,
        version: owner.version,
        since: owner.since,
        left: owner.presence === 'left',
        until: now + this.#limits.dropMemoryMs,
      })
    owner.busy = true
    while (owner.head !== 0) {
      this.discard(owner, owner.head)
      yield
    }
    this.#byId[owner.id] = undefined
    this.#freeIds.push(owner.id)
  }

  /** Marks all keys of this owner as changed; takes 1 µs for a hundred keys. */
  touch(owner: Owner): void {
    const { table } = this
    for (let e = owner.head; e !== 0; e = table.after[e] as number)
      if (((table.flags[e] as number) & DELETED) === 0) table.keys.touch(table.key[e] as number)
  }

  /**
   * Gives all entries of an owner new versions from 1 on, under a new epoch; deletions are forgotten. Used for our
   * own namespace.
   */
  renumber(owner: Owner, epoch: number, inherit: boolean): void {
    const { table } = this
    let version = 0
    for (let e = owner.head, next = 0; e !== 0; e = next) {
      next = table.after[e] as number
      if ((table.flags[e] as number) & DELETED) {
        this.discard(owner, e)
        continue
      }
      table.version[e] = ++version
      if (inherit) table.flags[e] = (table.flags[e] as number) | INHERITED
    }
    this.advance(owner, epoch, Math.max(1, version), 0)
  }
}
