/**
 * What the replies of a race amount to while none of them is positive.
 *
 *     NXDOMAIN, NODATA     held; given when a majority says the same, when
 *                          all have answered, or after the grace
 *     SERVFAIL, REFUSED... given only if nothing better came
 *
 * A positive reply needs no verdict: it wins at once. Pure.
 */
import { RCODE } from '../../wire/codes.ts'
import type { Classified } from './classify.ts'
import { NODATA, NXDOMAIN } from './lane.ts'

export class Verdict {
  /** Number of equal negative replies that end the wait. */
  readonly #majority: number
  #nxdomain = 0
  #nodata = 0
  /** A copy of the negative reply that would be given now, and its lane. */
  held: Buffer | undefined
  heldLane = -1
  #heldState = 0
  /** The most informative failure and its lane; -1 if there is none. */
  softRcode = -1
  softLane = -1
  softBecause: string | undefined

  /** @param voters number of upstreams that are asked and not known to be dead */
  constructor(voters: number) {
    this.#majority = Math.floor(voters / 2) + 1
  }

  /** Whether a majority has the same negative reply. */
  get agreed(): boolean {
    return Math.max(this.#nxdomain, this.#nodata) >= this.#majority
  }

  /** Adds a negative reply b[0, end). */
  negative(lane: number, state: typeof NXDOMAIN | typeof NODATA, b: Buffer, end: number): void {
    if (state === NXDOMAIN) this.#nxdomain++
    else this.#nodata++
    // NODATA is preferred to NXDOMAIN, because it does less harm if it is wrong; a majority decides either way.
    const better =
      this.held === undefined ||
      (this.agreed
        ? this.#heldState !== this.#majorityState
        : state === NODATA && this.#heldState === NXDOMAIN)
    if (!better) return
    this.held = Buffer.from(b.subarray(0, end))
    this.heldLane = lane
    this.#heldState = state
  }

  get #majorityState(): number {
    return this.#nxdomain >= this.#majority ? NXDOMAIN : NODATA
  }

  /** Adds an unusable reply. SERVFAIL is the most informative: the server tried. */
  soft(lane: number, { rcode, because }: Classified): void {
    if (this.softRcode === RCODE.SERVFAIL) return
    if (this.softRcode >= 0 && rcode !== RCODE.SERVFAIL) return
    this.softRcode = rcode
    this.softLane = lane
    this.softBecause = because
  }
}
