/**
 * Queries that missed the cache and for which the thread has no time yet. The rule for overload, in one place:
 *
 *     Datagrams are read faster than they are answered, so that the kernel, which knows no clients, drops none.
 *     In one turn only so many misses are worked on. The others wait here, in one queue for each client.
 *     The clients are served in turn (deficit round robin with equal costs).
 *     If there is no room, the client that holds most gives way: it loses its new query, or its oldest to another.
 *
 * A long burst may wait here. A backlog that lasts is not a burst, and its limit becomes low: a long queue would only
 * make every answer late. It lasts if both much time and much work have not emptied it: on a busy host, where the thread
 * hardly runs, the queries that came during a restart take seconds, and they are no flood. Hits do not come here. Pure:
 * the time is handed in.
 */
import type { Client } from '../../base/ip.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import { Held, Shares, type Share } from '../forward/shares.ts'

/**
 * Misses worked on in one turn. Few, because the hits and the other clients' misses wait for the turn to end: beside a
 * flood of 60,000 new names a second, 128 made an honest client wait 63 to 118 ms at p99, 64 made it 28.
 */
const MISSES_PER_TURN = 64
/** Limit of waiting queries in a burst: more than a socket's receive buffer holds. */
const BURST = 4_096
/** The same when the backlog lasts. */
const LASTING = 512
/** How long a backlog has not been empty, and how many queries were worked on meanwhile. */
type Work = { readonly ms: Milliseconds; readonly queries: number }
/** After this it lasts: the time is what a client that waits hardly notices. */
const PATIENCE: Work = { ms: 1_000, queries: BURST }
/** After this it is a flood. */
const FLOOD: Work = { ms: 100, queries: LASTING }

/** A query that waits. */
class Late<Query> extends Held<Late<Query>> {
  readonly query: Query

  constructor(share: Share<Late<Query>>, query: Query) {
    super(share)
    this.query = query
  }
}

export class Backlog<Query> {
  readonly #shares = new Shares<Late<Query>>()
  /** The shares of clients that wait, in the order in which they are served; one whose last query was shed may be in it. */
  #turns: Share<Late<Query>>[] = []
  #room = MISSES_PER_TURN
  /** Since when it has not been empty. */
  #since: Milliseconds = 0
  /** How many queries were taken since then. */
  #taken = 0
  /** Whether the query that was taken last came from a client that holds more than others, in a backlog that lasts. */
  isFromHeaviest = false

  get size(): number {
    return this.#shares.size
  }

  /** Whether a query that just came may be worked on at once. If so, it counts as worked on. */
  admits(): boolean {
    if (this.#room === 0 || this.#shares.size > 0) return false
    this.#room--
    return true
  }

  /** Whether there is no room for another query of this client, because it holds as much as any other. */
  refuses(client: Client, now: Milliseconds): boolean {
    const { most, size } = this.#shares
    return size >= this.#limit(now) && this.#shares.countOf(client) >= most
  }

  /** Adds a query that was not refused. Returns the one that must go for it. */
  add(client: Client, query: Query, now: Milliseconds): Query | undefined {
    const full = this.#shares.size >= this.#limit(now)
    if (this.#shares.size === 0) {
      this.#since = now
      this.#taken = 0
    }
    const gone = full ? this.#shares.takeFromHeaviest() : undefined
    const share = this.#shares.of(client)
    if (share.count === 0) this.#turns.push(share)
    this.#shares.add(new Late(share, query))
    return gone?.query
  }

  /** The next query to work on in this turn; undefined if there is none, or no room for it. */
  take(now: Milliseconds): Query | undefined {
    if (this.#room === 0) return undefined
    const share = this.#next()
    const late = share?.oldest
    if (!share || !late) return undefined
    this.#room--
    this.#taken++
    this.isFromHeaviest = this.#lasts(now, FLOOD) && share.count === this.#shares.most
    this.#shares.remove(late)
    if (share.count > 0) this.#turns.push(share)
    return late.query
  }

  /** A turn of the thread is over. */
  endTurn(): void {
    this.#room = MISSES_PER_TURN
  }

  #next(): Share<Late<Query>> | undefined {
    for (;;) {
      const share = this.#turns.shift()
      if (!share || share.count > 0) return share
    }
  }

  #limit(now: Milliseconds): number {
    return this.#lasts(now, PATIENCE) ? LASTING : BURST
  }

  #lasts(now: Milliseconds, { ms, queries }: Work): boolean {
    return this.#shares.size > 0 && now - this.#since >= ms && this.#taken >= queries
  }
}
