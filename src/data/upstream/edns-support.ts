/**
 * Whether an upstream supports EDNS. It does not if it refused a query with OPT and answered the same query without
 * it (RFC 6891 §7). Silence proves nothing, because packets may be lost.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import { RCODE } from '../../wire/codes.ts'

/** The result is forgotten after this time, because a server may be repaired or replaced. */
const REMEMBER_MS = 60_000

export class EdnsSupport {
  #againAt = -Infinity

  /** Whether the next query should carry an OPT. */
  wanted(now: Milliseconds): boolean {
    return now >= this.#againAt
  }

  /** The upstream refused a query with OPT and answered it without. */
  lacking(now: Milliseconds): void {
    this.#againAt = now + REMEMBER_MS
  }
}

/** Whether this RCODE in a response to a query with OPT may show that the server cannot read OPT. */
export const refusesEdns = (rcode: number): boolean =>
  rcode === RCODE.FORMERR || rcode === RCODE.NOTIMP
