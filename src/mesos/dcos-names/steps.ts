/**
 * Runs long work in steps, so that other work of the main thread (gossip probes, scrapes) can run in between. The
 * work is a generator that yields where it may be interrupted.
 */
import { setImmediate as turn } from 'node:timers/promises'

/** Tasks in one step: about three milliseconds. */
export const STEP = 200

/** Runs the work to its end at once; returns its result. */
export const inOneGo = <T>(work: Generator<void, T>): T => {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

/** Runs one step per turn of the event loop; returns the result, or undefined if `ended` becomes true before. */
export const inSteps = async <T>(
  work: Generator<void, T>,
  ended: () => boolean,
): Promise<T | undefined> => {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
    await turn()
    if (ended()) return undefined
  }
}
