/**
 * The questions in flight and the askers that wait for them, both limited. If there are too many, the client with the
 * most waiting questions loses its oldest one. A flight whose last asker is lost ends.
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
  readonly limits: {
    /** The most questions that upstreams may still reply to, including answered ones whose race is not over. */
    readonly maxInFlight: number
  }
}

/** Average number of askers per flight that the limit allows. */
const WAITERS_PER_FLIGHT = 2

export class InFlight {
  readonly #context: InFlightContext
  readonly #onShed: (flight: Flight, asker: Asker) => void
  readonly #flights: Flights
  readonly #waiting = new Waiting()

  /** @param onShed answers an asker whose question is given up */
  constructor(context: InFlightContext, onShed: (flight: Flight, asker: Asker) => void) {
    this.#context = context
    this.#onShed = onShed
    this.#flights = new Flights(context.limits.maxInFlight)
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

  /** Whether there is room for a refresh besides the clients' questions. */
  get hasRoomForRefresh(): boolean {
    return this.#flights.size * 2 <= this.#context.limits.maxInFlight
  }

  find(question: Question, route: Route): Flight | undefined {
    return this.#flights.find(question, route)
  }

  /** Adds a flight with a waiting asker; false if no room can be made. */
  add(flight: Flight, asker: Asker): boolean {
    const { lingering, limits } = this.#context
    const { maxInFlight } = limits
    // A question without an answer is more important than an answered one that only waits to measure its losers.
    while (this.inTheAir >= maxInFlight && lingering.endOldest());
    // Each turn removes one asker, and the flight too if that was its last one.
    for (let turns = 0; this.#flights.size >= maxInFlight; turns++)
      if (turns > WAITERS_PER_FLIGHT * maxInFlight || !this.#shedOne()) return false
    this.#flights.add(flight)
    this.#waiting.add(asker, flight)
    return true
  }

  /** Adds a flight without a waiting asker. */
  addRefresh(flight: Flight): void {
    this.#flights.add(flight)
  }

  join(flight: Flight, asker: Asker): void {
    // The asker is added first. Otherwise the flight could lose its only asker, and end, before this one is in it.
    this.#waiting.add(asker, flight)
    while (this.#waiting.size > this.#context.limits.maxInFlight * WAITERS_PER_FLIGHT)
      this.#shedOne()
  }

  /** Removes all askers of a flight, which continues. */
  takeAll(flight: Flight): Asker[] {
    return this.#waiting.takeAll(flight)
  }

  /** Ends a flight; returns all who waited for it. */
  end(flight: Flight): Asker[] {
    flight.done = true
    this.#context.timers.cancel(flight)
    this.#flights.delete(flight)
    return this.#waiting.takeAll(flight)
  }

  #shedOne(): boolean {
    const waiter = this.#waiting.takeFromHeaviest()
    // Without a waiting asker, all flights are refreshes, or questions whose askers got a stale answer.
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
