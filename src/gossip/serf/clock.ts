/**
 * Serf's Lamport clocks: one each for join and leave intents, events and
 * queries. A time from the wire is trusted only so far: one close to the end
 * of counting would freeze the clock of the whole ring.
 */
import type { LamportTime } from '../wire/serf.ts'

/** Times from here on are refused; no ring counts that far. */
export const LTIME_MOST: LamportTime = 2 ** 52

export class LamportClock {
  // 1, since 0 is the time of a member of whom no intent is known
  #time: LamportTime = 1

  /** The time of the next message. */
  get time(): LamportTime {
    return this.#time
  }

  /** Gives the time and goes on by one. */
  tick(): LamportTime {
    return this.#time++
  }

  /** A time was seen: ours must be later. False for one that is beyond belief. */
  witness(seen: LamportTime): boolean {
    if (seen >= LTIME_MOST) return false
    if (seen >= this.#time) this.#time = seen + 1
    return true
  }
}
