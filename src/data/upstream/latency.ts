/**
 * How long one upstream usually takes to answer: a smoothed time and its mean
 * deviation, as TCP estimates its round trips (RFC 6298 §2).
 */
import type { Milliseconds } from '../../boundary/messages.ts'

/** Weights of a new sample in the smoothed time and in the deviation. */
const GAIN = 1 / 8
const DEVIATION_GAIN = 1 / 4
/** A resolver that has to ask others takes some hundred milliseconds for a name; less is no reason to worry. */
const LEAST_PATIENCE_MS = 400

export class Latency {
  /** 0 before the first reply. */
  smoothedMs = 0
  #deviationMs = 0
  #atLeastMs = 0

  get known(): boolean {
    return this.smoothedMs > 0
  }

  /** What the next reply is expected to take; 0 when nothing is known. */
  get expectedMs(): Milliseconds {
    return Math.max(this.smoothedMs, this.#atLeastMs)
  }

  /** A reply took this long, counted from the send that it answers. */
  sample(tookMs: Milliseconds): void {
    // A reply within one tick of the clock is still a reply: zero stands for "unknown".
    const ms = Math.max(tookMs, 0.001)
    if (this.smoothedMs === 0) {
      this.smoothedMs = ms
      this.#deviationMs = ms / 2
    } else {
      this.#deviationMs += DEVIATION_GAIN * (Math.abs(ms - this.smoothedMs) - this.#deviationMs)
      this.smoothedMs += GAIN * (ms - this.smoothedMs)
    }
    this.#atLeastMs = 0
  }

  /**
   * An upstream that was asked later answered first. The reply that is still
   * missing takes at least this long, and until it comes nothing shorter is expected.
   */
  overtaken(silentMs: Milliseconds): void {
    this.#atLeastMs = Math.max(this.#atLeastMs, silentMs)
  }

  /** Silence that is longer than this is a failure: well past the usual time. */
  get patienceMs(): Milliseconds {
    return Math.max(LEAST_PATIENCE_MS, 2 * (this.smoothedMs + 4 * this.#deviationMs))
  }
}
