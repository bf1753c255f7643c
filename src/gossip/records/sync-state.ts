/**
 * Decides whether a name that is missing from the records does not exist. This needs one complete exchange with a peer
 * that is synced itself. A node that finds no peer (wrong key, other cluster name, all seeds dead) stays unsynced,
 * because a name that it does not know may exist. A node without seeds is synced at once: its configuration says that
 * there are no peers.
 */
import type { Road } from './answers.ts'

/** If no exchange completes within this time, records that peers have pushed are enough. A firewall may block TCP. */
const HOPELESS_MS = 60_000
const RETRY_MS = 500
/** After this many exchanges with peers that are not synced either, the whole ring is taken to have just started. */
const NEWBORN_PEERS = 3

export class SyncState {
  #done: boolean
  readonly #startedAt: number
  #newborn = 0
  #failures = 0
  #nextAt: number
  /** Set after an exchange with a second peer. The first one may have lacked records. */
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
