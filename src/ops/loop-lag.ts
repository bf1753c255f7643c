/**
 * Measures how late this thread's timers fire, which shows how long its event loop is blocked. It uses a timer that
 * runs anyway; Node's own histogram would wake the thread a hundred times a second.
 */
import type { Milliseconds } from '../boundary/messages.ts'

export class LoopLag {
  #due: Milliseconds = Infinity
  #last: Milliseconds = 0
  #most: Milliseconds = 0

  /** To be called when the timer is set, with the time at which it should fire. */
  begin(due: Milliseconds): void {
    this.#due = due
  }

  /** To be called when the timer fires. */
  fired(now: Milliseconds): void {
    this.#last = Math.max(0, now - this.#due)
    this.#most = Math.max(this.#most, this.#last)
    this.#due = Infinity
  }

  /** The latest lag, and the longest since the last call. */
  take(): { readonly last: Milliseconds; readonly most: Milliseconds } {
    const most = this.#most
    this.#most = this.#last
    return { last: this.#last, most }
  }
}
