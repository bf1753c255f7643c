/**
 * What membership reports about owners, and the effect on their entries. Suspect and gone owners rank behind live
 * ones. Gone owners are hidden from peers after half of their grace time and dropped at its end. If too many vanish
 * at once, this node was probably cut off, so nothing is dropped for a while ("hold").
 */
import type { MemberEvent } from '../rider.ts'
import type { Gone } from './answers.ts'
import { ownerHash } from './hash.ts'
import { isGone, type Owner, type Presence as State, rankOf } from './owner.ts'
import type { Peers } from './peers.ts'
import type { Replica, Work } from './replica.ts'
import type { Counts, Limits } from './types.ts'

/** Vanished members are counted over this time, in ms. */
const WINDOW_MS = 60_000
/** Below this count, vanished members are treated as crashes, not as a partition: one of three agents may die. */
const FEWEST = 3
/** How long an owner without a member is kept, in ms: it may still join. */
const UNKNOWN_MS = 30_000
const SWEEP_MS = 1_000
/** How long, in ms, reports about owners that we are about to fetch are kept, and how many. */
const EXPECTED_MS = 10_000
const MAX_EXPECTED = 4_096

type Options = {
  self: string
  replica: () => Replica
  peers: Peers
  limits: Limits
  counts: Counts
}

export class Presence {
  readonly #self: string
  readonly #replica: () => Replica
  readonly #peers: Peers
  readonly #limits: Limits
  readonly #counts: Counts
  /** Members that are not alive, whether or not we hold their records. */
  readonly #absent = new Map<string, { presence: State; since: number }>()
  /** Reports about owners that we do not hold yet, by hash. */
  readonly #expected = new Map<number, { presence: State; since: number }>()
  #expectedAt = 0
  /** Owners that are not simply alive: only these are visited by a sweep. */
  readonly #watched = new Set<Owner>()
  /**
   * When members went from alive to suspect or dead. Members without records count, too: all of them vanish if we
   * are cut off.
   */
  readonly #vanished = new Map<string, number>()
  /** Until when vanished owners are shown as alive; 0 if there is no hold. */
  #holdUntil = 0
  #sweepAt = 0
  /** When the next owner's age requires an action; 0 after a change. */
  #ageAt = 0
  /** How many had vanished when the hold was last reviewed. */
  #reviewed = Infinity

  constructor({ self, replica, peers, limits, counts }: Options) {
    this.#self = self
    this.#replica = replica
    this.#peers = peers
    this.#limits = limits
    this.#counts = counts
  }

  get holding(): boolean {
    return this.#holdUntil !== 0
  }

  /** Called for a new owner: applies what is known about it. */
  onOwner(owner: Owner): void {
    const absent = this.#absent.get(owner.name)
    const expected = this.#expected.get(owner.hash)
    this.#expected.delete(owner.hash)
    const known = absent ?? (this.#peers.has(owner.name) ? undefined : expected)
    if (known) {
      owner.presence = known.presence
      owner.since = known.since
      if (expected && isGone(owner)) owner.since = Math.min(owner.since, expected.since)
    } else if (owner.name === this.#self || this.#peers.has(owner.name)) owner.presence = 'alive'
    if (owner.presence === 'alive') return
    this.#watched.add(owner)
    this.#ageAt = 0
  }

  onMember({ type, member }: MemberEvent, now: number): void {
    const { name } = member
    if (name === this.#self) return
    const state: State =
      type === 'leave' ? 'left' : type === 'dead' || type === 'reap' ? 'dead' : member.state
    const usable = member.capable && (state === 'alive' || state === 'suspect')
    if (usable) this.#peers.add(name)
    else this.#peers.remove(name)
    const wasHere = !this.#absent.has(name)
    if (state === 'alive') {
      this.#absent.delete(name)
      this.#vanished.delete(name)
      // It may come back with the epoch that is refused for dropped owners.
      this.#replica().dropped.delete(ownerHash(name))
    } else if (type === 'reap') this.#absent.delete(name)
    else if (this.#absent.get(name)?.presence !== state)
      this.#absent.set(name, { presence: state, since: now })
    const owner = this.#replica().owners.get(name)
    if (owner) this.#become(owner, state, now)
    if (state === 'left') this.#vanished.delete(name)
    else if (state !== 'alive' && type !== 'join' && wasHere) this.#vanish(name, now)
  }

  #become(owner: Owner, state: State, now: number): void {
    const before = owner.presence
    if (before === state) return
    const rank = rankOf(owner)
    const wasGone = isGone(owner)
    owner.presence = state
    this.#ageAt = 0
    // An owner that was dead before it was reaped or left has been gone since then.
    if (!(wasGone && isGone(owner))) owner.since = now
    if (state === 'alive') {
      if (before === 'suspect' || before === 'dead') this.#counts.flaps++
      this.#watched.delete(owner)
      owner.held = false
      this.#replica().hush(owner, false)
    } else {
      this.#watched.add(owner)
      if (state === 'left') owner.held = false
    }
    if (rankOf(owner) !== rank) {
      if (rankOf(owner) > rank) this.#counts.hidden++
      this.#replica().touch(owner)
    }
  }

  #vanish(name: string, now: number): void {
    this.#vanished.set(name, now)
    if (this.holding) {
      this.#hold(name)
      return
    }
    for (const [old, at] of this.#vanished) {
      if (at + WINDOW_MS >= now) break
      this.#vanished.delete(old)
    }
    const { size } = this.#vanished
    if (size < FEWEST || size <= this.#members() * this.#limits.holdShare) return
    this.#holdUntil = now + this.#limits.holdMs
    this.#reviewed = Infinity
    this.#counts.holds++
    for (const vanished of this.#vanished.keys()) this.#hold(vanished)
  }

  /** Number of members before the latest vanished, ourselves included. */
  #members(): number {
    let gone = 0
    for (const name of this.#vanished.keys()) if (!this.#peers.has(name)) gone++
    return this.#peers.count + gone + 1
  }

  #hold(name: string): void {
    const owner = this.#replica().owners.get(name)
    if (!owner || owner.presence === 'alive' || owner.presence === 'left') return
    owner.held = true
    this.#replica().touch(owner)
  }

  /** How long an owner has been gone, in ms, -1 if it is not; and whether it said goodbye. */
  gone(owner: Owner, now: number): Gone {
    return {
      goneMs: isGone(owner) ? Math.max(0, now - owner.since) : -1,
      left: owner.presence === 'left',
    }
  }

  /**
   * A peer knows that an owner has been gone for longer. All nodes use the earliest time, so that they drop it
   * together.
   */
  learnGone(owner: Owner, goneMs: number, left: boolean, now: number): void {
    if (!isGone(owner) || goneMs < 0) return
    this.#ageAt = 0
    if (left && owner.presence === 'dead') owner.presence = 'left'
    owner.since = Math.min(owner.since, now - goneMs)
  }

  /** The peer that offers an owner reports that it is gone already. */
  expectGone(hash: number, goneMs: number, left: boolean, now: number): void {
    this.#expectedAt = now
    if (this.#expected.size < MAX_EXPECTED)
      this.#expected.set(hash, { presence: left ? 'left' : 'dead', since: now - goneMs })
  }

  /** An owner that was gone before we were restarted. */
  restore(owner: Owner, goneMs: number, left: boolean, now: number): void {
    owner.presence = left ? 'left' : 'dead'
    owner.since = now - goneMs
    this.#watched.add(owner)
    this.#ageAt = 0
  }

  /** Handles owners that are not alive; long work is passed to `work`. */
  sweep(now: number, work: (job: Work) => void): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = now + SWEEP_MS
    const replica = this.#replica()
    if (now - this.#expectedAt > EXPECTED_MS) this.#expected.clear()
    for (const [hash, gone] of replica.dropped) if (gone.until <= now) replica.dropped.delete(hash)
    if (this.holding) this.#reviewHold(now)
    if (now < this.#ageAt) return
    let next = Infinity
    for (const owner of this.#watched) {
      if (replica.owners.get(owner.name) !== owner) this.#watched.delete(owner)
      else next = Math.min(next, owner.busy ? now : this.#age(owner, now, work))
    }
    this.#ageAt = next
  }

  /** Does what an owner's age requires; returns when the next action is due. */
  #age(owner: Owner, now: number, work: (job: Work) => void): number {
    if (owner.presence === 'unknown') {
      if (now - owner.since < UNKNOWN_MS) return owner.since + UNKNOWN_MS
      // Without peers no one else needs its records, so it can be dropped at once.
      if (this.#peers.count === 0) return now
      this.#become(owner, 'dead', now)
    }
    if (!isGone(owner)) return Infinity
    const grace = owner.presence === 'left' ? this.#limits.leftMs : this.#limits.deadMs
    const gone = now - owner.since
    if (gone < grace / 2) return owner.since + grace / 2
    this.#replica().hush(owner, true)
    if (gone < grace) return owner.since + grace
    this.#watched.delete(owner)
    this.#counts.dropped++
    work(this.#replica().drop(owner, now, true))
    return Infinity
  }

  /** Ends the hold when its time is over or most of the vanished are back. */
  #reviewHold(now: number): void {
    const replica = this.#replica()
    // No member came back since the last review.
    if (now < this.#holdUntil && this.#vanished.size >= this.#reviewed) return
    this.#reviewed = this.#vanished.size
    if (now < this.#holdUntil && this.#reviewed > this.#members() * this.#limits.holdShare) return
    this.#holdUntil = 0
    this.#vanished.clear()
    for (const owner of this.#watched) {
      if (!owner.held) continue
      owner.held = false
      this.#counts.hidden++
      replica.touch(owner)
    }
  }
}
