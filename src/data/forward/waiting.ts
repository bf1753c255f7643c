/** Which client waits for which flight. */
import type { Asker } from '../answer/answerer.ts'
import { NOBODY, Waiter, type Flight } from './flight.ts'
import { Shares } from './shares.ts'

export class Waiting {
  readonly #shares = new Shares<Waiter>()

  get size(): number {
    return this.#shares.size
  }

  add(asker: Asker, flight: Flight): void {
    const waiter = new Waiter(this.#shares.of(asker.client), asker, flight)
    if (flight.waiters === NOBODY) flight.waiters = [waiter]
    else flight.waiters.push(waiter)
    this.#shares.add(waiter)
  }

  /** Removes all who wait for a flight. */
  takeAll(flight: Flight): Asker[] {
    const { waiters } = flight
    for (const waiter of waiters) this.#shares.remove(waiter)
    flight.waiters = NOBODY
    return waiters.length === 1 ? [waiters[0]!.asker] : waiters.map(({ asker }) => asker)
  }

  /** Removes the oldest question of the client that waits for most; undefined if no client waits. */
  takeFromHeaviest(): Waiter | undefined {
    const waiter = this.#shares.takeFromHeaviest()
    const waiters = waiter?.flight.waiters
    waiters?.splice(waiters.indexOf(waiter!), 1)
    return waiter
  }
}
