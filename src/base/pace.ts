/**
 * The first change at once, the next ones together: an isolated event is
 * published without delay, a storm of them once per interval. Pure; the owner
 * keeps the timer.
 */
export class Pace {
  readonly #everyMs: number
  #last = -Infinity

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** Milliseconds until something may be published; 0 is now. */
  wait(now: number): number {
    return Math.max(0, this.#last + this.#everyMs - now)
  }

  /** Something was published. */
  done(now: number): void {
    this.#last = now
  }
}
