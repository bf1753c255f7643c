/**
 * Long work in steps, so that whatever else the main thread has to do (gossip
 * probes, scrapes) comes in between: a generator that yields where it may be
 * interrupted.
 */
import { setImmediate as turn } from 'node:timers/promises'

/** Tasks in one step: some three milliseconds of making records. */
export const STEP = 200

/** To its end at once; what it returns. */
export const inOneGo = <T>(work: Generator<void, T>): T => {
  for (;;) {
    const { done, value } = work.next()
    if (done) return value
  }
}

/** A step a turn; what it returns, or undefined if `ended` says so before. */
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
