/**
 * All owners' states and the rules by which a delta changes them. Nothing
 * here knows of peers, packets or time beyond the `now` it is given. Merging
 * is idempotent and needs no order: a delta that is old does nothing, one
 * that leaves a gap does nothing but say so.
 *
 * Long merges are generators that yield after every entry, so that whoever
 * runs them can stop when a turn has lasted long enough.
 */
import { type Delta, NOTICE, Ops, WHOLE } from './delta.ts'
import { BUCKET_COUNT, Digest } from './digest.ts'
import { bucketOf, ownerHash } from './hash.ts'
import { isNewer, newOwner, type Owner } from './owner.ts'
import { DELETED, INHERITED, MARKED, REFUSED, Table } from './table.ts'
import type { Counts, Limits } from './types.ts'

/** What became of a delta. gap: it is newer than what we hold, but does not join on to it. */
export type Verdict = 'applied' | 'old' | 'gap' | 'refused'
export type Work<T = void> = Generator<undefined, T, undefined>

/** How long an owner that met a cap is left alone, in ms: room does not come back in a second. */
const BLOCK_MS = 30_000
/** Tombstones one owner may have; beyond it the older half is forgotten early. */
const MAX_TOMBS = 256

/** An owner dropped after its grace, remembered so that it stays dropped. */
export type Dropped = { readonly hash: number; readonly epoch: number; readonly version: number; readonly since: number; readonly left: boolean; readonly until: number }

/** Which cap forbids an entry. */
type Cap = 'owner-cap' | 'total-cap'

/** Whether a key (its kind octet and its name) may be shown; `owner` claims it. */
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
  /** Told of each owner made, so that membership can say how it is. */
  readonly #onOwner: (owner: Owner) => void
  /** Owner id, entry, version and time of tombstones, oldest first, four numbers each. */
  #tombs: number[] = []
  #tombsAt = 0
  /** Entries shown or showable, without tombstones. */
  entries = 0

  constructor(options: { limits: Limits; counts: Counts; allow: Allow; seed: number; onOwner: (owner: Owner) => void }) {
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

  /** Owners of one digest bucket, in no order. */
  bucket(i: number): readonly Owner[] {
    return this.#buckets[i] as Owner[]
  }

  /** The owner of a name, made if there is none and room for one. */
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

  /** Move an owner to a state, keeping the digest true. */
  advance(owner: Owner, epoch: number, version: number, gc = owner.gc): void {
    this.#toggle(owner)
    owner.epoch = epoch
    owner.version = version
    owner.gc = gc
    this.#toggle(owner)
  }

  /** Leave an owner out of the digest, or take it in again. */
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

  /** Take a delta in, entry by entry. */
  *merge(delta: Delta, now: number): Work<Verdict> {
    const owner = this.#admit(delta, now)
    if (typeof owner === 'string') return owner
    owner.restored = false
    const whole = (delta.flags & WHOLE) !== 0
    if (whole && (delta.epoch > owner.epoch || owner.version < delta.gc)) return yield* this.#replace(owner, delta, now)
    if (owner.version === 0) this.advance(owner, delta.epoch, 0, 0)
    let cap = yield* this.#join(owner, delta, now)
    if (cap && (yield* this.#makeRoom(owner, delta))) cap = yield* this.#join(owner, delta, now)
    if (cap) return this.#block(owner, cap, now)
    if (owner.epoch === delta.epoch && owner.version < delta.to) this.advance(owner, delta.epoch, delta.to)
    return 'applied'
  }

  /** Take the ops of a delta that joins on to what we hold; the cap that stopped us, if one did. */
  *#join(owner: Owner, delta: Delta, now: number): Work<Cap | undefined> {
    const ops = new Ops(delta)
    while (ops.next()) {
      // Others may have moved the owner on since the last turn.
      if (owner.epoch !== delta.epoch || owner.busy || this.#byId[owner.id] !== owner) return undefined
      if (ops.version <= owner.version) continue
      const cap = this.#put(owner, ops, now, 0, owner.count, owner.bytes, 0)
      if (cap) return cap
      this.advance(owner, delta.epoch, ops.version)
      yield
    }
    return undefined
  }

  /** At a cap: take away now what the delta deletes further on. Whether that was anything. */
  *#makeRoom(owner: Owner, delta: Delta): Work<boolean> {
    let freed = false
    const ops = new Ops(delta)
    while (ops.next()) {
      if (owner.epoch !== delta.epoch || owner.busy || this.#byId[owner.id] !== owner) return false
      if (ops.valueLength >= 0 || ops.version <= owner.version) continue
      const k = this.table.findKey(ops.reader.bytes, ops.keyAt, ops.keyLength)
      const e = k === 0 ? 0 : this.table.find(k, owner.id)
      if (e === 0 || (this.table.flags[e] as number) & DELETED) continue
      this.discard(owner, e)
      freed = true
      yield
    }
    return freed
  }

  #block(owner: Owner, cap: Cap, now: number): Verdict {
    this.#counts.refused[cap]++
    owner.blockedUntil = now + BLOCK_MS
    return 'refused'
  }

  #admit(delta: Delta, now: number): Owner | Verdict {
    const owner = this.owners.get(delta.owner)
    const notice = (delta.flags & NOTICE) !== 0
    if (!owner || owner.version === 0) {
      if (delta.from !== 0 || notice) return 'gap'
      const gone = this.dropped.get(ownerHash(delta.owner))
      if (gone && delta.epoch <= gone.epoch) {
        this.#counts.refused.dropped++
        return 'refused'
      }
      const made = this.ensure(delta.owner, now)
      if (!made) this.#counts.refused['total-cap']++
      return made ?? 'refused'
    }
    if (!isNewer(owner, delta.epoch, delta.to)) return 'old'
    if (owner.blockedUntil > now) return 'refused'
    if (notice || owner.busy) return 'gap'
    const whole = (delta.flags & WHOLE) !== 0
    return whole || (delta.epoch === owner.epoch && delta.from <= owner.version) ? owner : 'gap'
  }

  /** Put a whole state in the place of what we hold; each name shows its old or its new value meanwhile. */
  *#replace(owner: Owner, delta: Delta, now: number): Work<Verdict> {
    owner.busy = true
    const { table } = this
    let reached = delta.to
    let count = 0
    let bytes = 0
    let leftovers = owner.count + owner.tombs
    let stuck: Cap | undefined
    const ops = new Ops(delta)
    while (ops.next()) {
      const rows = table.rows
      stuck = this.#put(owner, ops, now, MARKED, count, bytes, leftovers)
      if (stuck) {
        reached = ops.version - 1
        break
      }
      if (table.rows === rows) leftovers--
      if (ops.valueLength >= 0) {
        count++
        bytes += ops.keyLength + ops.valueLength
      }
      yield
    }
    for (let e = owner.head, next = 0; e !== 0; e = next) {
      next = table.after[e] as number
      const flags = table.flags[e] as number
      if (flags & MARKED) table.flags[e] = flags & ~MARKED
      else this.discard(owner, e)
      yield
    }
    owner.busy = false
    owner.gc = delta.gc
    while (owner.tombs > MAX_TOMBS) this.#forgetHalf(owner)
    // Cut short by a cap this is the state as of the last op taken, which is a state too.
    const version = Math.max(1, reached)
    this.advance(owner, delta.epoch, version, Math.min(owner.gc, version))
    return stuck ? this.#block(owner, stuck, now) : 'applied'
  }

  /** One op; the cap that forbids it, if one does. `count`, `bytes` and `leftovers` are what the caps are judged by. */
  #put(owner: Owner, ops: Ops, now: number, mark: number, count: number, bytes: number, leftovers: number): Cap | undefined {
    const octets = ops.reader.bytes
    const k = this.table.findKey(octets, ops.keyAt, ops.keyLength)
    if (ops.valueLength >= 0 && (k === 0 || this.table.find(k, owner.id) === 0)) {
      const limits = this.#limits
      if (count >= limits.ownerEntries || bytes + ops.keyLength + ops.valueLength > limits.ownerBytes) return 'owner-cap'
      if (this.table.rows - leftovers >= limits.entries) return 'total-cap'
    }
    this.#counts.opsIn++
    this.write(owner, ops.version, octets, ops.keyAt, ops.keyLength, ops.valueAt, ops.valueLength, now, mark)
    return undefined
  }

  /** Make a key's octets the owner's newest entry; length -1 deletes. Caps are the caller's to mind. */
  write(owner: Owner, version: number, octets: Uint8Array, keyAt: number, keyLength: number, valueAt: number, valueLength: number, now: number, mark = 0): void {
    const { table } = this
    const k = table.internKey(octets, keyAt, keyLength)
    const had = table.find(k, owner.id)
    const hadLive = had !== 0 && ((table.flags[had] as number) & DELETED) === 0
    if (valueLength < 0) {
      const e = table.put(owner, k, version, octets, 0, -1, mark)
      if (hadLive) this.entries--
      this.#tombs.push(owner.id, e, version, now)
      if (mark === 0 && (owner.tombs > MAX_TOMBS || table.rows > 2 * this.#limits.entries)) this.#forgetHalf(owner)
      if (this.#tombs.length - this.#tombsAt > 4 * this.#limits.entries) this.#forgetOldest()
      return
    }
    if (!hadLive) this.entries++
    if (hadLive && table.sameValue(had, octets, valueAt, valueLength)) {
      table.renew(owner, had, version, mark)
      return
    }
    let refused = had !== 0 && hadLive ? (table.flags[had] as number) & REFUSED : 0
    if (!hadLive && !this.#allow(table.keyOctet(k, 0), table.keyName(k), owner.name)) {
      refused = REFUSED
      this.#counts.refused.zone++
    }
    table.put(owner, k, version, octets, valueAt, valueLength, mark | refused)
  }

  /** Take an entry away without a trace. */
  discard(owner: Owner, e: number): void {
    if (((this.table.flags[e] as number) & DELETED) === 0) this.entries--
    this.table.remove(owner, e)
  }

  /** Forget the older half of an owner's tombstones. */
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

  /** Forget tombstones older than they need be. At most `most` are looked at. */
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
    // The row may be another's by now, or its key given again.
    const same = owner && !owner.busy && table.owner[e] === owner.id && table.version[e] === this.#tombs[at + 2]
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

  /** Drop an owner and all it gave. It is gone at once for whoever asks; its entries are cleared away in turns. */
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

  /** Note that all this owner's keys may look different now; a microsecond for a hundred. */
  touch(owner: Owner): void {
    const { table } = this
    for (let e = owner.head; e !== 0; e = table.after[e] as number)
      if (((table.flags[e] as number) & DELETED) === 0) table.touch(table.key[e] as number)
  }

  /** Give all an owner's entries new versions from 1 on, under a new epoch; deletions are forgotten. For our own namespace. */
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
