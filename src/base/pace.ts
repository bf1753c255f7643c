/**
 * Limits how often something is published: an isolated change without delay, a series of changes once per
 * interval. Pure; the owner keeps the timer.
 */
export class Pace {
  readonly #everyMs: number
  #last = -Infinity

  constructor(everyMs: number) {
    this.#everyMs = everyMs
  }

  /** Milliseconds until the next publication may happen; 0 means now. */
  wait(now: number): number {
    return Math.max(0, this.#last + this.#everyMs - now)
  }

  /** To be called after each publication. */
  done(now: number): void {
    this.#last = now
  }
}
