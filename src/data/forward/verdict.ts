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
  /** How many equal negatives end the wait. */
  readonly #majority: number
  #nxdomain = 0
  #nodata = 0
  /** The negative that would be given now, in octets of its own, and the lane it came from. */
  held: Buffer | undefined
  heldLane = -1
  #heldState = 0
  /** The most telling failure and its lane; -1 while there is none. */
  softRcode = -1
  softLane = -1
  softBecause: string | undefined

  /** @param voters how many upstreams have a say: those that are asked and not known to be dead */
  constructor(voters: number) {
    this.#majority = Math.floor(voters / 2) + 1
  }

  /** A majority says the same no. */
  get agreed(): boolean {
    return Math.max(this.#nxdomain, this.#nodata) >= this.#majority
  }

  /** A negative reply b[0, end). */
  negative(lane: number, state: typeof NXDOMAIN | typeof NODATA, b: Buffer, end: number): void {
    if (state === NXDOMAIN) this.#nxdomain++
    else this.#nodata++
    // Of two kinds of no, NODATA says less and so harms less when it is wrong; a majority is right either way.
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

  /** A reply that helps nobody. SERVFAIL tells most: the server tried. */
  soft(lane: number, { rcode, because }: Classified): void {
    if (this.softRcode === RCODE.SERVFAIL) return
    if (this.softRcode >= 0 && rcode !== RCODE.SERVFAIL) return
    this.softRcode = rcode
    this.softLane = lane
    this.softBecause = because
  }
}
