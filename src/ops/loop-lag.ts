/**
 * How late this thread's timers fire: what its event loop keeps everybody else
 * waiting. Read from a timer that fires anyway; a histogram of Node's would
 * wake the thread a hundred times a second.
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

  /** The timer has been set. */
  begin(now: Milliseconds): void {
    this.#due = now + this.#everyMs
  }

  /** The timer has fired. Node sets its next time by this one, so no lag counts twice. */
  fired(now: Milliseconds): void {
    this.#last = Math.max(0, now - this.#due)
    this.#most = Math.max(this.#most, this.#last)
    this.#due = now + this.#everyMs
  }

  /** The latest lag, and the longest since this was last asked. */
  take(): { readonly last: Milliseconds; readonly most: Milliseconds } {
    const most = this.#most
    this.#most = this.#last
    return { last: this.#last, most }
  }
}
