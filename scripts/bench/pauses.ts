/**
 * Measures how often the machine itself stops a thread: on a shared machine the hypervisor takes cores away for
 * milliseconds. A p99.9 of any server includes such pauses.
 */
import type { Milliseconds } from '../../src/boundary/messages.ts'

/** A longer gap is not explained by other threads or by garbage collection. */
const OVER_MS: Milliseconds = 1

export type Pauses = {
  readonly count: number
  readonly overMs: Milliseconds
  readonly longestMs: Milliseconds
  readonly totalMs: Milliseconds
  /** How long it measured. */
  readonly lookedMs: Milliseconds
}

/** Reads the clock for this long and reports gaps. */
export const pauses = (forMs: Milliseconds, clock = () => performance.now()): Pauses => {
  const began = clock()
  let count = 0
  let longestMs = 0
  let totalMs = 0
  for (let last = began; last - began < forMs;) {
    const now = clock()
    const gap = now - last
    last = now
    if (gap <= OVER_MS) continue
    count++
    totalMs += gap
    longestMs = Math.max(longestMs, gap)
  }
  return { count, overMs: OVER_MS, longestMs, totalMs, lookedMs: clock() - began }
}

/** Combines two measurements. */
export const together = (a: Pauses, b: Pauses): Pauses => ({
  count: a.count + b.count,
  overMs: OVER_MS,
  longestMs: Math.max(a.longestMs, b.longestMs),
  totalMs: a.totalMs + b.totalMs,
  lookedMs: a.lookedMs + b.lookedMs,
})
