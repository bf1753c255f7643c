/**
 * Holds the address of a new VIP name back until this agent's kernel has its
 * rules, or until a short time has passed: a client must not find an address
 * that leads nowhere yet, and a balancer that hangs must not cost a name. An
 * address that was answered before stays until its successor is programmed.
 */
import type { RRset } from '../../boundary/messages.ts'
import type { ZoneMap } from '../../boundary/zone.ts'

/** Longest time that a name is held back. */
const HOLD_MS = 1_000

type Waiting = { readonly addresses: string; readonly number: number; readonly since: number }

const addressesOf = (rrsets: readonly RRset[] | undefined): string =>
  rrsets?.map(({ data }) => data.join(' ')).join(' ') ?? ''

export class ProgrammedNames {
  #served: ZoneMap = new Map()
  readonly #waiting = new Map<string, Waiting>()

  /**
   * The zone to answer from. `number` is that of the table the zone was made
   * of, `acked` what the kernel has, undefined without a balancer.
   */
  filter(zone: ZoneMap, number: number, acked: number | undefined, now: number): ZoneMap {
    if (acked === undefined) {
      this.#waiting.clear()
      this.#served = zone
      return zone
    }
    const served = new Map<string, readonly RRset[]>()
    for (const [name, rrsets] of zone) {
      const before = this.#served.get(name)
      const addresses = addressesOf(rrsets)
      if (
        addresses === '' ||
        addresses === addressesOf(before) ||
        this.#released(name, addresses, number, acked, now)
      ) {
        this.#waiting.delete(name)
        served.set(name, rrsets)
      } else if (before) served.set(name, before)
    }
    for (const name of this.#waiting.keys()) if (!zone.has(name)) this.#waiting.delete(name)
    this.#served = served
    return served
  }

  /** Names that are held back. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Milliseconds until a name has waited long enough; Infinity while none waits. */
  nextMs(now: number): number {
    let next = Infinity
    for (const { since } of this.#waiting.values())
      next = Math.min(next, Math.max(0, since + HOLD_MS - now))
    return next
  }

  #released(name: string, addresses: string, number: number, acked: number, now: number): boolean {
    let waiting = this.#waiting.get(name)
    if (waiting?.addresses !== addresses) {
      waiting = { addresses, number, since: waiting?.since ?? now }
      this.#waiting.set(name, waiting)
    }
    return acked >= waiting.number || now - waiting.since >= HOLD_MS
  }
}
