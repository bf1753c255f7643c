/**
 * The time between the start and the end of the restore of the last run's cache. Queries are answered meanwhile. A
 * question that upstreams cannot answer waits for the end, because its answer may be in the part that is not
 * restored yet.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Timed, Timers } from '../timers.ts'

/**
 * If the restore has not begun after this time, it counts as ended: a file system may hang. A busy host needs several
 * seconds to load the program and the file, in which every client waits rather than hear SERVFAIL.
 */
const MOST_MS: Milliseconds = 15_000

export class Restoring implements Timed {
  due = 0
  place = -1
  readonly #timers: Timers
  #waiting: (() => void)[] = []
  #next = 0
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

  /** The file has been read: from now on the end is certain, however long other work delays it. */
  begin(): void {
    this.#timers.cancel(this)
  }

  /** Calls all who wait. If one throws, this throws, too, and the timer goes on with those after it. */
  end(): void {
    this.#ended = true
    this.#timers.schedule(this, 0)
    while (this.#next < this.#waiting.length) this.#waiting[this.#next++]!()
    this.#timers.cancel(this)
    this.#waiting = []
    this.#next = 0
  }

  fire(): void {
    this.end()
  }
}
