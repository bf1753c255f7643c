/**
 * The wait before each retry: it doubles between two bounds. Jitter keeps a thousand agents that lost the
 * same master from returning at the same moment.
 */

export type BackoffOptions = {
  /** First wait. */
  readonly minMs: number
  /** Longest wait. */
  readonly maxMs: number
  /** 0 ≤ random() < 1. */
  readonly random: () => number
}

export class Backoff {
  readonly #options: BackoffOptions
  #step = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** The next wait in milliseconds: between half and all of min × 2ⁿ, at most max. */
  next(): number {
    const { minMs, maxMs, random } = this.#options
    const full = Math.min(maxMs, minMs * 2 ** this.#step)
    if (full < maxMs) this.#step++
    return Math.round(full * (0.5 + random() / 2))
  }

  /** After a success the next wait is a short one again. */
  reset(): void {
    this.#step = 0
  }
}
