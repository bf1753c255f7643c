/**
 * Which client waits for which flight. If there are too many, the client that waits for most loses its oldest
 * question, so that a flood from one client does not affect others.
 */
import { clientOf } from '../../base/ip.ts'
import type { Asker } from '../answer/answerer.ts'
import { Share, Waiter, type Flight } from './flight.ts'

/** Limit of remembered clients that wait for nothing. */
const MOST_IDLE = 1024

export class Waiting {
  readonly #shares = new Map<string, Share>()
  /** A list of clients' shares for each count. */
  readonly #byCount: (Share | undefined)[] = [undefined]
  #most = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  add(asker: Asker, flight: Flight): void {
    const share = this.#shareOf(clientOf(asker.client))
    const waiter = new Waiter(asker, flight, share)
    flight.waiters.push(waiter)
    waiter.older = share.newest
    if (share.newest) share.newest.newer = waiter
    else share.oldest = waiter
    share.newest = waiter
    this.#size++
    this.#move(share, 1)
  }

  /** Removes all who wait for a flight. */
  takeAll(flight: Flight): Asker[] {
    const askers = flight.waiters.map(waiter => waiter.asker)
    for (const waiter of flight.waiters) this.#leave(waiter)
    flight.waiters.length = 0
    return askers
  }

  /** Removes the oldest question of the client that waits for most; undefined if no client waits. */
  takeFromHeaviest(): Waiter | undefined {
    const waiter = this.#byCount[this.#most]?.oldest
    if (!waiter) return undefined
    const { waiters } = waiter.flight
    waiters.splice(waiters.indexOf(waiter), 1)
    this.#leave(waiter)
    return waiter
  }

  #leave(waiter: Waiter): void {
    const { share, older, newer } = waiter
    if (older) older.newer = newer
    else share.oldest = newer
    if (newer) newer.older = older
    else share.newest = older
    waiter.older = waiter.newer = undefined
    this.#size--
    this.#move(share, -1)
  }

  #shareOf(client: string): Share {
    let share = this.#shares.get(client)
    if (share) return share
    if (this.#shares.size >= MOST_IDLE)
      for (const [name, idle] of this.#shares) if (idle.count === 0) this.#shares.delete(name)
    share = new Share()
    this.#shares.set(client, share)
    return share
  }

  /** Moves a share to the list for its new count. */
  #move(share: Share, step: 1 | -1): void {
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
