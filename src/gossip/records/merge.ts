/**
 * Applies a delta to a replica. Merging is idempotent and order does not matter: an old delta is ignored, and one
 * that leaves a gap is only reported. A newer epoch of an owner replaces the older one completely.
 */
import { capOf, type Held, ZONE_KIND } from './caps.ts'
import { type Delta, NOTICE, Ops, WHOLE } from './delta.ts'
import { ownerHash } from './hash.ts'
import { isNewer, type Owner } from './owner.ts'
import type { Replica, Work } from './replica.ts'
import { DELETED, MARKED, type Table } from './table.ts'
import type { Cap, Counts, Limits } from './types.ts'

/** The result of merging. gap: the delta is newer than what we hold, but does not continue it. */
export type Verdict = 'applied' | 'old' | 'gap' | 'refused'

/** How long an owner that reached a cap is not requested again, in ms. */
const BLOCK_MS = 30_000

export class Merger {
  readonly #replica: Replica
  readonly #table: Table
  readonly #limits: Limits
  readonly #counts: Counts
  readonly #onRefused: (owner: string, cap: Cap) => void

  /** `onRefused` is called for an owner that reached a cap and is now ignored for 30 s. */
  constructor(
    replica: Replica,
    limits: Limits,
    counts: Counts,
    onRefused: (owner: string, cap: Cap) => void = () => {},
  ) {
    this.#replica = replica
    this.#table = replica.table
    this.#limits = limits
    this.#counts = counts
    this.#onRefused = onRefused
  }

  /** Merges a delta, entry by entry. */
  *merge(delta: Delta, now: number): Work<Verdict> {
    const owner = this.#admit(delta, now)
    if (typeof owner === 'string') return owner
    owner.restored = false
    const whole = (delta.flags & WHOLE) !== 0
    if (whole && (delta.epoch > owner.epoch || owner.version < delta.gc))
      return yield* this.#replace(owner, delta, now)
    if (owner.version === 0) this.#replica.advance(owner, delta.epoch, 0, 0)
    let cap = yield* this.#join(owner, delta, now)
    if (cap && (yield* this.#makeRoom(owner, delta))) cap = yield* this.#join(owner, delta, now)
    if (cap) return this.#block(owner, cap, now)
    if (owner.epoch === delta.epoch && owner.version < delta.to)
      this.#replica.advance(owner, delta.epoch, delta.to)
    return 'applied'
  }

  /** Applies the ops of a delta that continues what we hold. Returns the cap that stopped it, if one did. */
  *#join(owner: Owner, delta: Delta, now: number): Work<Cap | undefined> {
    const ops = new Ops(delta)
    while (ops.next()) {
      // The owner may have changed since the last turn.
      if (owner.epoch !== delta.epoch || owner.busy || this.#replica.byId(owner.id) !== owner)
        return undefined
      if (ops.version <= owner.version) continue
      const cap = this.#put(owner, ops, now, 0, owner, 0)
      if (cap) return cap
      this.#replica.advance(owner, delta.epoch, ops.version)
      yield
    }
    return undefined
  }

  /** At a cap: applies the deletions that come later in the delta. Returns whether there were any. */
  *#makeRoom(owner: Owner, delta: Delta): Work<boolean> {
    let freed = false
    const ops = new Ops(delta)
    while (ops.next()) {
      if (owner.epoch !== delta.epoch || owner.busy || this.#replica.byId(owner.id) !== owner)
        return false
      if (ops.valueLength >= 0 || ops.version <= owner.version) continue
      const k = this.#table.keys.find(ops.reader.bytes, ops.keyAt, ops.keyLength)
      const e = k === 0 ? 0 : this.#table.find(k, owner.id)
      if (e === 0 || (this.#table.flags[e] as number) & DELETED) continue
      this.#replica.discard(owner, e)
      freed = true
      yield
    }
    return freed
  }

  #block(owner: Owner, cap: Cap, now: number): Verdict {
    this.#counts.refused[cap]++
    owner.blockedUntil = now + BLOCK_MS
    this.#onRefused(owner.name, cap)
    return 'refused'
  }

  #admit(delta: Delta, now: number): Owner | Verdict {
    const owner = this.#replica.owners.get(delta.owner)
    const notice = (delta.flags & NOTICE) !== 0
    if (!owner || owner.version === 0) {
      if (delta.from !== 0 || notice) return 'gap'
      const gone = this.#replica.dropped.get(ownerHash(delta.owner))
      if (gone && delta.epoch <= gone.epoch) {
        this.#counts.refused.dropped++
        return 'refused'
      }
      const created = this.#replica.ensure(delta.owner, now)
      if (!created) this.#counts.refused['total-cap']++
      return created ?? 'refused'
    }
    if (!isNewer(owner, delta.epoch, delta.to)) return 'old'
    if (owner.blockedUntil > now) return 'refused'
    if (notice || owner.busy) return 'gap'
    const whole = (delta.flags & WHOLE) !== 0
    return whole || (delta.epoch === owner.epoch && delta.from <= owner.version) ? owner : 'gap'
  }

  /** Replaces an owner's state by a complete one. Meanwhile each name shows its old or its new value. */
  *#replace(owner: Owner, delta: Delta, now: number): Work<Verdict> {
    owner.busy = true
    const table = this.#table
    let reached = delta.to
    const held: Held = { count: 0, bytes: 0, zoneCount: 0, zoneBytes: 0 }
    let leftovers = owner.count + owner.tombs
    let stuck: Cap | undefined
    const ops = new Ops(delta)
    while (ops.next()) {
      const rows = table.rows
      stuck = this.#put(owner, ops, now, MARKED, held, leftovers)
      if (stuck) {
        reached = ops.version - 1
        break
      }
      if (table.rows === rows) leftovers--
      if (ops.valueLength >= 0) grow(held, ops)
      yield
    }
    for (let e = owner.head, next = 0; e !== 0; e = next) {
      next = table.after[e] as number
      const flags = table.flags[e] as number
      if (flags & MARKED) table.flags[e] = flags & ~MARKED
      else this.#replica.discard(owner, e)
      yield
    }
    owner.busy = false
    owner.gc = delta.gc
    this.#replica.shrink(owner)
    // If a cap stopped it, the state is complete up to the last op applied.
    const version = Math.max(1, reached)
    this.#replica.advance(owner, delta.epoch, version, Math.min(owner.gc, version))
    return stuck ? this.#block(owner, stuck, now) : 'applied'
  }

  /**
   * Applies one op; returns the cap that forbids it, if one does. `held` and `leftovers` are what the caps are
   * compared with. In a delta a value may grow before another one shrinks, so new values may temporarily double an
   * owner's size.
   */
  #put(
    owner: Owner,
    ops: Ops,
    now: number,
    mark: number,
    held: Held,
    leftovers: number,
  ): Cap | undefined {
    const octets = ops.reader.bytes
    const k = this.#table.keys.find(octets, ops.keyAt, ops.keyLength)
    if (ops.valueLength >= 0) {
      const table = this.#table
      const limits = this.#limits
      const e = k === 0 ? 0 : table.find(k, owner.id)
      const known = held === owner && e !== 0
      const had = e === 0 ? 0 : ops.keyLength + (table.length[e] as number)
      const size = ops.keyLength + ops.valueLength
      const cap = capOf(
        limits,
        held,
        octets[ops.keyAt] as number,
        known ? 0 : 1,
        known ? size - had : size,
        held === owner ? 2 : 1,
      )
      if (cap) return cap
      if (e === 0 && table.rows - leftovers >= limits.entries) return 'total-cap'
      if (size > had && table.bytes + size - had > limits.bytes) return 'total-cap'
    }
    this.#counts.opsIn++
    this.#replica.write(
      owner,
      ops.version,
      octets,
      ops.keyAt,
      ops.keyLength,
      ops.valueAt,
      ops.valueLength,
      now,
      mark,
    )
    return undefined
  }
}

/** Adds one entry to the size of the new state. */
const grow = (held: Held, ops: Ops): void => {
  const octets = ops.keyLength + ops.valueLength
  held.count++
  held.bytes += octets
  if (ops.reader.bytes[ops.keyAt] !== ZONE_KIND) return
  held.zoneCount++
  held.zoneBytes += octets
}
