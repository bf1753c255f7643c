/**
 * Serf's Lamport clocks: one each for intents, events and queries. Times near the maximum are refused, because they
 * would stop the clock of the whole ring.
 */
import type { LamportTime } from '../wire/serf.ts'

/** Times from here on are refused; no real ring reaches them. */
export const LTIME_MOST: LamportTime = 2 ** 52

export class LamportClock {
  // starts at 1, because 0 is the time of a member without an intent
  #time: LamportTime = 1

  /** The time for the next message. */
  get time(): LamportTime {
    return this.#time
  }

  /** Returns the time and advances it by one. */
  tick(): LamportTime {
    return this.#time++
  }

  /** Advances our time past a time that was received; false if the time is refused. */
  witness(seen: LamportTime): boolean {
    if (seen >= LTIME_MOST) return false
    if (seen >= this.#time) this.#time = seen + 1
    return true
  }
}
