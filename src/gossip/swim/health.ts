/**
 * Our estimate of this node's own health. 0 is good; every failed probe without a nack, every accusation against us
 * and every stall of our event loop adds a point. With a worse score we wait longer before we accuse others
 * (Lifeguard's local health multiplier).
 */

/** Highest score; probes then take eight times as long (memberlist's AwarenessMaxMultiplier). */
const WORST = 7

export class Health {
  #score = 0

  /** 0 is good, 7 is the worst. */
  get score(): number {
    return this.#score
  }

  /** Adds points; a negative number improves the score. */
  change(by: number): void {
    this.#score = Math.max(0, Math.min(WORST, this.#score + by))
  }

  /** A duration multiplied according to the score. */
  stretched(ms: number): number {
    return ms * (this.#score + 1)
  }
}
