/**
 * Whether what is not in the records may be said not to exist. Not before one
 * whole exchange with a peer that is synced itself. A node that finds nobody
 * (wrong key, other cluster name, all seeds dead) stays unsynced for as long
 * as that lasts: what it does not know may well exist. Only a node without
 * seeds was told that it is alone.
 */
import type { Road } from './answers.ts'

/** After this time pushed records count as enough where no exchange comes to an end: a firewall that blocks TCP, say. */
const HOPELESS_MS = 60_000
const RETRY_MS = 500
/** Peers asked that were not synced themselves before we take it that the whole ring has just started. */
const NEWBORN_PEERS = 3

export class SyncState {
  #done: boolean
  readonly #startedAt: number
  #newborn = 0
  #failures = 0
  #nextAt: number
  /** After the first exchange a second peer is asked what it has: the first may have been behind. */
  #confirmed = false
  lastPeer = ''

  constructor(seeds: boolean, now: number) {
    this.#done = !seeds
    this.#startedAt = now
    this.#nextAt = now
  }

  get done(): boolean {
    return this.#done
  }

  /** By which road an exchange is to begin now, if one is. */
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
    if (peerSynced || ++this.#newborn >= NEWBORN_PEERS) this.#done = true
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
