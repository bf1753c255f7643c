/**
 * Something limited that clients hold parts of: who holds what, and who holds most. If there is no room, the client
 * that holds most gives way, so that a flood from one client does not affect others.
 */
import type { Client } from '../../base/ip.ts'

/** Limit of remembered clients that hold nothing. */
const MOST_IDLE = 1024

/** One thing that a client holds, in a list of all that it holds. The links belong to Shares. */
export class Held<Self> {
  readonly share: Share<Self>
  older: Self | undefined
  newer: Self | undefined

  constructor(share: Share<Self>) {
    this.share = share
  }
}

/** All that one client holds, oldest first, and its neighbours among clients that hold as much. */
export class Share<H> {
  count = 0
  oldest: H | undefined
  newest: H | undefined
  before: Share<H> | undefined
  after: Share<H> | undefined
}

export class Shares<H extends Held<H>> {
  readonly #shares = new Map<Client, Share<H>>()
  /** A list of shares for each count. */
  readonly #byCount: (Share<H> | undefined)[] = [undefined]
  #most = 0
  #size = 0

  /** Number of things that are held. */
  get size(): number {
    return this.#size
  }

  /** How much the client with the most holds. */
  get most(): number {
    return this.#most
  }

  /** How much a client holds. */
  countOf(client: Client): number {
    return this.#shares.get(client)?.count ?? 0
  }

  /** The share of a client, to create something that it holds. */
  of(client: Client): Share<H> {
    let share = this.#shares.get(client)
    if (share) return share
    if (this.#shares.size >= MOST_IDLE)
      for (const [other, idle] of this.#shares) if (idle.count === 0) this.#shares.delete(other)
    share = new Share()
    this.#shares.set(client, share)
    return share
  }

  add(held: H): void {
    const { share } = held
    held.older = share.newest
    if (share.newest) share.newest.newer = held
    else share.oldest = held
    share.newest = held
    this.#size++
    this.#move(share, 1)
  }

  remove(held: H): void {
    const { share, older, newer } = held
    if (older) older.newer = newer
    else share.oldest = newer
    if (newer) newer.older = older
    else share.newest = older
    held.older = held.newer = undefined
    this.#size--
    this.#move(share, -1)
  }

  /** Removes the oldest thing of the client that holds most; undefined if nobody holds anything. */
  takeFromHeaviest(): H | undefined {
    const held = this.#byCount[this.#most]?.oldest
    if (held) this.remove(held)
    return held
  }

  /** Moves a share to the list for its new count. */
  #move(share: Share<H>, step: 1 | -1): void {
    const { before, after } = share
    if (share.count > 0) {
      if (before) before.after = after
      else this.#byCount[share.count] = after
      if (after) after.before = before
    }
    share.count += step
    share.before = undefined
    share.after = share.count > 0 ? this.#byCount[share.count] : undefined
    if (share.count > 0) {
      if (share.after) share.after.before = share
      this.#byCount[share.count] = share
    }
    if (share.count > this.#most) this.#most = share.count
    while (this.#most > 0 && this.#byCount[this.#most] === undefined) this.#most--
  }
}
