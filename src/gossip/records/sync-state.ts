/**
 * Whether we may speak for the cluster yet. Not before one whole exchange
 * with a peer that may itself; but a node without seeds, or whose seeds have
 * all been silent for 30 s, goes by what it has, for ever refusing to answer
 * being worse than answering from little.
 */
import type { Road } from './answers.ts'

/** With nobody heard for this long we are on our own. */
const SILENT_MS = 30_000
/** With peers there, but no exchange coming to an end (a firewall between, say): answer all the same. */
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

  poll(now: number, peers: number): void {
    if (this.#done) return
    if (now - this.#startedAt >= (peers === 0 ? SILENT_MS : HOPELESS_MS)) this.#done = true
  }
}
