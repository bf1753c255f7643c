/**
 * Queries: those of other members, each handled once, and our own, whose responses are collected until a deadline.
 */
import type { LamportTime, Query, QueryResponse } from '../wire/serf.ts'
import type { Env } from '../swim/env.ts'
import type { Timer } from '../swim/timers.ts'

/** Slots, one per Lamport time (Serf's QueryBuffer), and the limit of queries in one slot. */
const SLOTS = 512
const SLOT_MOST = 64
/** Limit of our own queries under way. */
const OWN_MOST = 16
/** A query's time limit: gossip interval, times 16, times the logarithm of the ring's size. */
export const queryTimeout = (n: number): number =>
  200 * 16 * Math.max(1, Math.ceil(Math.log10(n + 1)))

export type Answer = { readonly from: string; readonly payload: Uint8Array }
type Own = {
  readonly id: number
  readonly wanted: number
  readonly answers: Map<string, Uint8Array>
  readonly done: (answers: Answer[]) => void
  timer: Timer
}

export class Queries {
  readonly #env: Env
  #seen = new Map<number, { readonly ltime: LamportTime; readonly ids: Set<number> }>()
  #own = new Map<LamportTime, Own>()

  constructor(env: Env) {
    this.#env = env
  }

  /** Whether a query is new; it is then marked as seen. */
  isNew(query: Query, time: LamportTime): boolean {
    if (time > SLOTS && query.ltime < time - SLOTS) return false
    const slot = query.ltime % SLOTS
    const had = this.#seen.get(slot)
    if (had && had.ltime > query.ltime) return false
    if (had?.ltime !== query.ltime) {
      this.#seen.set(slot, { ltime: query.ltime, ids: new Set([query.id]) })
      return true
    }
    if (had.ids.has(query.id) || had.ids.size >= SLOT_MOST) return false
    had.ids.add(query.id)
    return true
  }

  /** Whether another query of our own may begin. */
  get free(): boolean {
    return this.#own.size < OWN_MOST
  }

  /** Collects answers to our query until `wanted` have come or its time is over. */
  collect(query: Query, wanted: number, done: (answers: Answer[]) => void): void {
    const timer = this.#env.timers.at(this.#env.now + query.timeout, () =>
      this.#finish(query.ltime),
    )
    this.#own.set(query.ltime, { id: query.id, wanted, answers: new Map(), done, timer })
  }

  /** An answer came. */
  answered(response: QueryResponse): void {
    const own = this.#own.get(response.ltime)
    if (!own || own.id !== response.id || own.answers.has(response.from)) return
    own.answers.set(response.from, Uint8Array.from(response.payload))
    if (own.answers.size >= own.wanted) this.#finish(response.ltime)
  }

  #finish(ltime: LamportTime): void {
    const own = this.#own.get(ltime)
    if (!own) return
    this.#own.delete(ltime)
    this.#env.timers.cancel(own.timer)
    own.done([...own.answers].map(([from, payload]) => ({ from, payload })))
  }

  /** Ends all our queries with the answers so far. */
  close(): void {
    for (const ltime of [...this.#own.keys()]) this.#finish(ltime)
  }
}
