/**
 * Measures how late this thread's timers fire, which shows how long its event loop is blocked. It uses a timer that
 * runs anyway; Node's own histogram would wake the thread a hundred times a second.
 */
import type { Milliseconds } from '../boundary/messages.ts'

export class LoopLag {
  readonly #everyMs: Milliseconds
  #due: Milliseconds
  #last: Milliseconds = 0
  #most: Milliseconds = 0

  /** @param everyMs period of the timer that calls `fired` */
  constructor(everyMs: Milliseconds, now: Milliseconds) {
    this.#everyMs = everyMs
    this.#due = now + everyMs
  }

  /** To be called when the timer is set. */
  begin(now: Milliseconds): void {
    this.#due = now + this.#everyMs
  }

  /** To be called when the timer fires. Node sets its next time from this moment, so no lag counts twice. */
  fired(now: Milliseconds): void {
    this.#last = Math.max(0, now - this.#due)
    this.#most = Math.max(this.#most, this.#last)
    this.#due = now + this.#everyMs
  }

  /** The latest lag, and the longest since the last call. */
  take(): { readonly last: Milliseconds; readonly most: Milliseconds } {
    const most = this.#most
    this.#most = this.#last
    return { last: this.#last, most }
  }
}
