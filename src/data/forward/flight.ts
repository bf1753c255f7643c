/** One question in flight and everybody who waits for its answer. */
import type { Asker } from '../answer/answerer.ts'
import type { Route } from '../answer/router.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Timed } from '../timers.ts'
import type { StandIn } from './stale.ts'
import type { Question } from './query.ts'
import type { Outcome, RaceOwner } from './race-context.ts'

/** Who launched it: what happens to a flight is said there. */
export interface FlightOwner {
  finished(flight: Flight, outcome: Outcome): void
  late(flight: Flight, outcome: Outcome): void
  /** It has taken so long that those who wait get what stands in for the answer. */
  overdue(flight: Flight): void
}

export class Flight implements Timed, RaceOwner {
  due = 0
  place = -1
  done = false
  /** It has taken too long: whoever joins now gets what stands in. */
  isOverdue = false
  /** Flights' own: its chain, and its neighbours there and in time. */
  chain = -1
  next: Flight | undefined
  older: Flight | undefined
  newer: Flight | undefined
  readonly waiters: Waiter[] = []
  readonly question: Question
  /** As it was when the flight was launched. */
  readonly route: Route
  /** What may be given if nothing fresh comes in time. */
  readonly standIn: StandIn | undefined
  /** Failures of this question in a row so far. */
  readonly failures: number
  /** Asks the upstreams. */
  race: { cancel(): void } | undefined
  readonly launchedAt: Milliseconds
  readonly #owner: FlightOwner

  constructor(
    question: Question,
    route: Route,
    standIn: StandIn | undefined,
    failures: number,
    launchedAt: Milliseconds,
    owner: FlightOwner,
  ) {
    this.question = question
    this.route = route
    this.standIn = standIn
    this.failures = failures
    this.launchedAt = launchedAt
    this.#owner = owner
  }

  fire(): void {
    this.isOverdue = true
    this.#owner.overdue(this)
  }

  finish(outcome: Outcome): void {
    this.#owner.finished(this, outcome)
  }

  late(outcome: Outcome): void {
    this.#owner.late(this, outcome)
  }
}

/** One asker that waits for one flight. Its links belong to Waiting. */
export class Waiter {
  readonly asker: Asker
  readonly flight: Flight
  readonly share: Share
  older: Waiter | undefined
  newer: Waiter | undefined

  constructor(asker: Asker, flight: Flight, share: Share) {
    this.asker = asker
    this.flight = flight
    this.share = share
  }
}

/** What one client waits for, the oldest first, and its neighbours among those who wait for as much. */
export class Share {
  count = 0
  oldest: Waiter | undefined
  newest: Waiter | undefined
  before: Share | undefined
  after: Share | undefined
}
