/**
 * Decides whether a name that is missing from the records does not exist. This needs one complete exchange with a peer
 * that is synced itself. A node that finds no peer (wrong key, other cluster name, all seeds dead) stays unsynced,
 * because a name that it does not know may exist. A node without seeds is synced at once: its configuration says that
 * there are no peers.
 *
 * If no peer is synced, the whole ring has just started. Then nobody can say what exists until every node has published
 * what it has; so it must have had some time for that, and several peers must have been asked, not one repeatedly.
 */
import type { Road } from './answers.ts'

/** If no exchange completes within this time, records that peers have pushed are enough. A firewall may block TCP. */
const HOPELESS_MS = 60_000
const RETRY_MS = 500
/** Before a first exchange our own records are not replaced (own.ts). If there is none within this time, they are. */
const UNHEARD_MS = 10_000
/** A ring has just started if this many of its nodes, or all, are not synced either, this long after our own start. */
const NEWBORN_PEERS = 8
const NEWBORN_MS = 5_000

export class SyncState {
  #done: boolean
  readonly #startedAt: number
  /** Number of peers that could be asked now. */
  readonly #peers: () => number
  /** Peers that were not synced when they were asked. */
  readonly #newborn = new Set<string>()
  #failures = 0
  #nextAt: number
  /** Set after an exchange with a second peer. The first one may have lacked records. */
  #confirmed = false
  lastPeer = ''

  constructor(seeds: boolean, now: number, peers: () => number) {
    this.#done = !seeds
    this.#peers = peers
    this.#startedAt = now
    this.#nextAt = now
  }

  get done(): boolean {
    return this.#done
  }

  /** Whether any peer, synced or not, has told all that it holds, or has been waited for long enough. */
  heard(now: number): boolean {
    return this.#done || this.#newborn.size > 0 || now - this.#startedAt >= UNHEARD_MS
  }

  /** How to start an exchange now (packets or a stream); undefined if none is due. */
  wanted(now: number): Road | undefined {
    if (this.#confirmed || now < this.#nextAt) return undefined
    return this.#done ? 'packet' : 'stream'
  }

  get dueAt(): number {
    return this.#confirmed ? Infinity : this.#nextAt
  }

  onExchange(peer: string, ok: boolean, peerSynced: boolean, now: number): void {
    if (this.#confirmed) return
    this.lastPeer = peer
    if (!ok) {
      this.#nextAt = now + Math.min(8_000, RETRY_MS * 2 ** this.#failures++)
      return
    }
    if (this.#done) {
      this.#confirmed = true
      return
    }
    this.#nextAt = now + (peerSynced ? 1_000 : RETRY_MS)
    if (!peerSynced) this.#newborn.add(peer)
    this.#done = peerSynced || this.#hasJustStarted(now)
    if (this.#done) this.#newborn.clear()
  }

  #hasJustStarted(now: number): boolean {
    const enough = Math.min(NEWBORN_PEERS, this.#peers())
    return now - this.#startedAt >= NEWBORN_MS && this.#newborn.size >= enough
  }

  /** @param learnt whether live peers have told us records, outside of an exchange that came to its end */
  poll(now: number, learnt: () => boolean): void {
    if (this.#done || now - this.#startedAt < HOPELESS_MS) return
    this.#done = learnt()
  }

  /** There is nobody to wait for. */
  alone(): void {
    this.#done = true
  }
}
