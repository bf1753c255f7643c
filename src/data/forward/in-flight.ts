/**
 * The questions in flight and who waits for each of them, both bounded. Where
 * there are too many, the client that waits for most gives up its oldest
 * question; a flight ends with the last who waited for it.
 */
import { SLOT } from '../../boundary/counters.ts'
import type { Asker } from '../answer/answerer.ts'
import type { Route } from '../answer/router.ts'
import type { Timers } from '../timers.ts'
import type { Lingering } from './lingering.ts'
import type { Flight } from './flight.ts'
import { Flights } from './flights.ts'
import type { Question } from './query.ts'
import { Waiting } from './waiting.ts'

export type InFlightContext = {
  readonly timers: Timers
  readonly counters: Float64Array
  readonly lingering: Lingering
  /** Questions in the air at once, those included that are answered and wait for slower upstreams. */
  readonly maxInFlight: number
}

/** Askers that may wait for each flight, on average. */
const WAITERS_PER_FLIGHT = 2

export class InFlight {
  readonly #context: InFlightContext
  readonly #onShed: (flight: Flight, asker: Asker) => void
  readonly #flights: Flights
  readonly #waiting = new Waiting()

  /** @param onShed answers an asker who has to give up */
  constructor(context: InFlightContext, onShed: (flight: Flight, asker: Asker) => void) {
    this.#context = context
    this.#onShed = onShed
    this.#flights = new Flights(context.maxInFlight)
  }

  /** Questions without an answer. */
  get size(): number {
    return this.#flights.size
  }

  /** Questions that upstreams may still reply to. */
  get inTheAir(): number {
    return this.#flights.size + this.#context.lingering.count
  }

  /** Askers who wait for them. */
  get waiting(): number {
    return this.#waiting.size
  }

  get oldest(): Flight | undefined {
    return this.#flights.oldest
  }

  /** Whether there is room for a refresh beside the questions that somebody waits for. */
  get hasRoomForRefresh(): boolean {
    return this.#flights.size * 2 <= this.#context.maxInFlight
  }

  find(question: Question, route: Route): Flight | undefined {
    return this.#flights.find(question, route)
  }

  /** Adds a flight that somebody waits for; false if no room can be made for it. */
  add(flight: Flight, asker: Asker): boolean {
    const { lingering, maxInFlight } = this.#context
    // Whoever waits for an answer goes before those who only wait to learn.
    while (this.inTheAir >= maxInFlight && lingering.endOldest());
    // Each turn gives up one asker, and with the last of a flight the flight.
    for (let turns = 0; this.#flights.size >= maxInFlight; turns++)
      if (turns > WAITERS_PER_FLIGHT * maxInFlight || !this.#shedOne()) return false
    this.#flights.add(flight)
    this.#waiting.add(asker, flight)
    return true
  }

  /** Adds a flight that nobody waits for yet. */
  addRefresh(flight: Flight): void {
    this.#flights.add(flight)
  }

  join(flight: Flight, asker: Asker): void {
    while (this.#waiting.size >= this.#context.maxInFlight * WAITERS_PER_FLIGHT) this.#shedOne()
    this.#waiting.add(asker, flight)
  }

  /** Takes out all who wait for a flight, which goes on. */
  takeAll(flight: Flight): Asker[] {
    return this.#waiting.takeAll(flight)
  }

  /** Ends a flight; all who waited for it. */
  end(flight: Flight): Asker[] {
    flight.done = true
    this.#context.timers.cancel(flight)
    this.#flights.delete(flight)
    return this.#waiting.takeAll(flight)
  }

  #shedOne(): boolean {
    const waiter = this.#waiting.takeFromHeaviest()
    // Nobody waits: all that is in flight are refreshes, and questions that were answered otherwise.
    const flight = waiter?.flight ?? this.#flights.oldest
    if (!flight) return false
    this.#context.counters[SLOT.shed]! += 1
    if (flight.waiters.length === 0) {
      this.end(flight)
      flight.race?.cancel()
    }
    if (waiter) this.#onShed(flight, waiter.asker)
    return true
  }
}
