/** Which client waits for which flight. */
import type { Asker } from '../answer/answerer.ts'
import type { Flight } from './flight.ts'
import { Held, Shares, type Share } from './shares.ts'

/** One asker that waits for one flight. */
export class Waiter extends Held<Waiter> {
  readonly asker: Asker
  readonly flight: Flight

  constructor(share: Share<Waiter>, asker: Asker, flight: Flight) {
    super(share)
    this.asker = asker
    this.flight = flight
  }
}

export class Waiting {
  readonly #shares = new Shares<Waiter>()

  get size(): number {
    return this.#shares.size
  }

  add(asker: Asker, flight: Flight): void {
    const waiter = new Waiter(this.#shares.of(asker.client), asker, flight)
    flight.waiters.push(waiter)
    this.#shares.add(waiter)
  }

  /** Removes all who wait for a flight. */
  takeAll(flight: Flight): Asker[] {
    const askers = flight.waiters.map(waiter => waiter.asker)
    for (const waiter of flight.waiters) this.#shares.remove(waiter)
    flight.waiters.length = 0
    return askers
  }

  /** Removes the oldest question of the client that waits for most; undefined if no client waits. */
  takeFromHeaviest(): Waiter | undefined {
    const waiter = this.#shares.takeFromHeaviest()
    const waiters = waiter?.flight.waiters
    waiters?.splice(waiters.indexOf(waiter!), 1)
    return waiter
  }
}
