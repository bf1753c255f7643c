/**
 * How often the machine itself keeps a thread from running: on a shared one
 * the hypervisor takes cores away for milliseconds. A p99.9 holds that too,
 * whichever server it is measured of.
 */
import type { Milliseconds } from '../../src/boundary/messages.ts'

/** Longer than a thread that goes before all others should see, or than its own collector takes. */
const OVER_MS: Milliseconds = 1

export type Pauses = {
  readonly count: number
  readonly overMs: Milliseconds
  readonly longestMs: Milliseconds
  readonly totalMs: Milliseconds
  /** How long was looked. */
  readonly lookedMs: Milliseconds
}

/** Reads the clock for so long and tells of the gaps. */
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

/** Two looks as one. */
export const together = (a: Pauses, b: Pauses): Pauses => ({
  count: a.count + b.count,
  overMs: OVER_MS,
  longestMs: Math.max(a.longestMs, b.longestMs),
  totalMs: a.totalMs + b.totalMs,
  lookedMs: a.lookedMs + b.lookedMs,
})
