/** A question in flight and all who wait for its answer. */
import type { Asker } from '../answer/answerer.ts'
import type { Route } from '../answer/router.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Timed } from '../timers.ts'
import { Held, type Share } from './shares.ts'
import type { StandIn } from './stale.ts'
import type { Question } from './query.ts'
import type { Outcome, RaceOwner } from './race-context.ts'

/** The object that launched it and handles its events. */
export interface FlightOwner {
  finished(flight: Flight, outcome: Outcome): void
  late(flight: Flight, outcome: Outcome): void
  /** The answer is late: those who wait should get a stand-in. */
  overdue(flight: Flight): void
}

/** Shared by all flights for which nobody waits: most have one asker, and an array that grows has room for 17. */
export const NOBODY: Waiter[] = []

export class Flight implements Timed, RaceOwner {
  due = 0
  place = -1
  done = false
  /** The answer is late: an asker that joins now gets the stand-in at once. */
  isOverdue = false
  /** Used by Flights: its chain, its neighbours there, and its neighbours by age. */
  chain = -1
  next: Flight | undefined
  older: Flight | undefined
  newer: Flight | undefined
  /** Only Waiting changes it. */
  waiters: Waiter[] = NOBODY
  readonly question: Question
  /** The route at the time of the launch. */
  readonly route: Route
  /** A stale answer that may be given if no fresh one arrives in time. */
  standIn: StandIn | undefined
  /** Number of failures of this question in a row. */
  readonly failures: number
  /** The race between the upstreams. */
  race: { cancel(): void } | undefined
  readonly launchedAt: Milliseconds
  /** The epoch of routes and zones at that time (cache/validity.ts). */
  readonly epoch: number
  readonly #owner: FlightOwner

  constructor(
    question: Question,
    route: Route,
    standIn: StandIn | undefined,
    failures: number,
    launchedAt: Milliseconds,
    epoch: number,
    owner: FlightOwner,
  ) {
    this.question = question
    this.route = route
    this.standIn = standIn
    this.failures = failures
    this.launchedAt = launchedAt
    this.epoch = epoch
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
