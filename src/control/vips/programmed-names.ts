/**
 * Withholds the address of a new VIP name until this agent's kernel has its rules, at most for a short time: clients
 * must not get an address that does not work yet, and a hanging balancer must not make a name disappear. An address
 * that was answered before stays until the new one is programmed.
 */
import type { RRset } from '../../boundary/messages.ts'
import type { ZoneMap } from '../../boundary/zone.ts'

/** Longest time that a name is withheld. */
const HOLD_MS = 1_000

type Waiting = { readonly addresses: string; readonly number: number; readonly since: number }

const addressesOf = (rrsets: readonly RRset[] | undefined): string =>
  rrsets?.map(({ data }) => data.join(' ')).join(' ') ?? ''

export class ProgrammedNames {
  #served: ZoneMap = new Map()
  readonly #waiting = new Map<string, Waiting>()

  /**
   * The zone to answer from. `number` is that of the zone's table; `acked` is the table in the kernel, undefined
   * without a balancer.
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

  /** Number of withheld names. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Milliseconds until a name has waited long enough; Infinity if none waits. */
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
