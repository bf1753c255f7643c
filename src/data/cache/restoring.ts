/**
 * The time between the start and the end of the restore of the last run's cache. Queries are answered meanwhile. A
 * question that upstreams cannot answer waits for the end, because its answer may be in the part that is not
 * restored yet.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Timed, Timers } from '../timers.ts'

/** The restore counts as ended after this time; a file system may hang. Clients wait longer for an answer. */
const MOST_MS: Milliseconds = 3_000

export class Restoring implements Timed {
  due = 0
  place = -1
  readonly #timers: Timers
  #waiting: (() => void)[] = []
  #ended = false

  constructor(timers: Timers, now: Milliseconds) {
    this.#timers = timers
    timers.schedule(this, now + MOST_MS)
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Calls `then` at the end of the restore. False, without a call, if it has ended. */
  wait(then: () => void): boolean {
    if (!this.#ended) this.#waiting.push(then)
    return !this.#ended
  }

  end(): void {
    this.#timers.cancel(this)
    this.#ended = true
    const waiting = this.#waiting
    this.#waiting = []
    for (const then of waiting) then()
  }

  fire(): void {
    this.end()
  }
}
