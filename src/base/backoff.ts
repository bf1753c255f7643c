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

/**
 * The wait before a retry when a server has asked for `askedMs` (0: it has not): no shorter than that, if that is no more
 * than the longest wait `mostMs` of whoever waits. Lengthened by up to a half, because it tells all agents the same.
 */
export const atLeast = (ownMs: number, askedMs: number, mostMs: number, random: number): number =>
  Math.round(Math.max(ownMs, Math.min(mostMs, askedMs * (1 + random / 2))))

export class Backoff {
  readonly #options: BackoffOptions
  #step = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /**
   * The next wait in milliseconds: between half and all of min × 2ⁿ, at most max. `askedMs` as in `atLeast`, of the
   * server that just failed.
   */
  next(askedMs = 0): number {
    const { minMs, maxMs, random } = this.#options
    const full = Math.min(maxMs, minMs * 2 ** this.#step)
    if (full < maxMs) this.#step++
    const r = random()
    return atLeast(full * (0.5 + r / 2), askedMs, maxMs, r)
  }

  /** After a success the next wait is a short one again. */
  reset(): void {
    this.#step = 0
  }
}
