/**
 * How healthy this node thinks it is itself: 0 is well, every failed probe
 * without a nack, every accusation and every stall of its own event loop is a
 * point. The worse it is, the longer it waits before it accuses others
 * (Lifeguard's local health multiplier).
 */

/** Highest score: probes then take eight times as long (memberlist's AwarenessMaxMultiplier). */
const WORST = 7

export class Health {
  #score = 0

  /** From 0, well, to 7. */
  get score(): number {
    return this.#score
  }

  /** Points for the worse or, negative, for the better. */
  change(by: number): void {
    this.#score = Math.max(0, Math.min(WORST, this.#score + by))
  }

  /** A time, stretched by the score. */
  stretched(ms: number): number {
    return ms * (this.#score + 1)
  }
}
