/**
 * The usual response time of one upstream: a smoothed time and its mean deviation, computed like TCP's round-trip
 * time (RFC 6298 §2).
 */
import type { Milliseconds } from '../../boundary/messages.ts'

/** Weights of a new sample for the smoothed time and the deviation. */
const GAIN = 1 / 8
const DEVIATION_GAIN = 1 / 4
/** A resolver that must ask other servers needs some hundred milliseconds, so a shorter wait proves nothing. */
const LEAST_PATIENCE_MS = 400

export class Latency {
  /** 0 before the first reply. */
  smoothedMs = 0
  #deviationMs = 0
  #atLeastMs = 0

  get known(): boolean {
    return this.smoothedMs > 0
  }

  /** Expected time of the next reply; 0 if unknown. */
  get expectedMs(): Milliseconds {
    return Math.max(this.smoothedMs, this.#atLeastMs)
  }

  /** A reply took this long, counted from the sending that it answers. */
  sample(tookMs: Milliseconds): void {
    // 0 means unknown, so a reply within one tick of the clock counts as slightly more.
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
   * An upstream that was asked later has answered first. The missing reply takes at least this long, which is the
   * expected time until it arrives.
   */
  overtaken(silentMs: Milliseconds): void {
    this.#atLeastMs = Math.max(this.#atLeastMs, silentMs)
  }

  /** A longer silence counts as a failure. */
  get patienceMs(): Milliseconds {
    return Math.max(LEAST_PATIENCE_MS, 2 * (this.smoothedMs + 4 * this.#deviationMs))
  }
}
