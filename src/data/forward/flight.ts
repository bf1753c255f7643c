/** One question in flight and everybody who waits for its answer. */
import type { Entry } from '../cache/entry.ts'
import type { Question } from './query.ts'
import type { Outcome, RaceOwner } from './race.ts'
import type { Route } from '../answer/router.ts'
import type { Timed } from '../timers.ts'

/** Told the answer; `ede` is 0, or the extended error that says it is stale. */
export type Asker = (entry: Entry, ede: number) => void

/** Who flies it: what happens to a flight is told there. */
export interface Tower {
  landed(flight: Flight, outcome: Outcome): void
  late(flight: Flight, outcome: Outcome): void
  /** It has taken so long that a stale answer is better than waiting on. */
  overdue(flight: Flight): void
}

export class Flight implements Timed, RaceOwner {
  due = 0
  place = -1
  done = false
  /** It has taken too long: whoever joins now gets the stale answer. */
  overdue = false
  /** Flights' own: its chain, and its neighbours there and in time. */
  chain = -1
  next: Flight | undefined
  older: Flight | undefined
  newer: Flight | undefined
  readonly askers: Asker[]
  readonly question: Question
  readonly route: Route
  /** What may be served if nothing fresh comes in time. */
  readonly stale: Entry | undefined
  /** Failures of this question in a row so far. */
  readonly failures: number
  readonly #tower: Tower

  constructor(
    question: Question,
    route: Route,
    asker: Asker | undefined,
    stale: Entry | undefined,
    failures: number,
    tower: Tower,
  ) {
    this.question = question
    this.route = route
    // Nearly always the only one; pushed into an empty array it would take room for seventeen.
    this.askers = asker ? [asker] : []
    this.stale = stale
    this.failures = failures
    this.#tower = tower
  }

  fire(): void {
    this.overdue = true
    this.#tower.overdue(this)
  }

  finish(outcome: Outcome): void {
    this.#tower.landed(this, outcome)
  }

  late(outcome: Outcome): void {
    this.#tower.late(this, outcome)
  }
}
