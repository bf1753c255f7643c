/**
 * Whether an upstream understands EDNS. That it does not is learnt only from a
 * server that refused a query with OPT and then answered the same query
 * without it (RFC 6891 §7). Silence teaches nothing: a packet may have been lost.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import { RCODE } from '../../wire/codes.ts'

/** Servers get repaired and addresses get new servers, so the lesson is forgotten after a while. */
const REMEMBER_MS = 60_000

export class EdnsSupport {
  #againAt = -Infinity

  /** Whether the next query should carry an OPT. */
  wanted(now: Milliseconds): boolean {
    return now >= this.#againAt
  }

  /** It refused a query with OPT and answered it without. */
  lacking(now: Milliseconds): void {
    this.#againAt = now + REMEMBER_MS
  }
}

/** Whether a response to a query with OPT may mean that the server cannot read OPT. */
export const refusesEdns = (rcode: number): boolean =>
  rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP
