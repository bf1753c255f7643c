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

/** Lets one report through in each interval; the next tells how many were held back. */
export class Reports {
  readonly #pace: Pace
  #heldBack = 0

  constructor(everyMs: number) {
    this.#pace = new Pace(everyMs)
  }

  /** How many reports were held back before this one; undefined to hold it back too. */
  next(now: number): number | undefined {
    if (this.#pace.wait(now) > 0) {
      this.#heldBack++
      return undefined
    }
    this.#pace.done(now)
    const heldBack = this.#heldBack
    this.#heldBack = 0
    return heldBack
  }
}
