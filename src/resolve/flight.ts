/** One question in flight and everybody who waits for its answer. */
import type { Entry } from '../fast/entry.ts'
import type { Question } from './query.ts'
import type { Route } from './router.ts'
import type { Timed } from './timers.ts'

/** Told the answer; `ede` is 0, or the extended error that says it is stale. */
export type Asker = (entry: Entry, ede: number) => void

export class Flight implements Timed {
  due = 0
  place = -1
  done = false
  readonly key: string
  readonly askers: Asker[] = []
  readonly question: Question
  readonly route: Route
  /** What may be served if nothing fresh comes in time. */
  readonly stale: Entry | undefined
  /** Failures of this question in a row so far. */
  readonly failures: number
  readonly #waited: (flight: Flight) => void

  constructor(
    question: Question,
    route: Route,
    stale: Entry | undefined,
    failures: number,
    waited: (flight: Flight) => void,
  ) {
    this.key = flightKey(question)
    this.question = question
    this.route = route
    this.stale = stale
    this.failures = failures
    this.#waited = waited
  }

  fire(): void {
    this.#waited(this)
  }
}

/** The folded question and the bits that change a response, as a map's key. */
export const flightKey = (q: Question): string =>
  `${q.name} ${q.qtype} ${(q.dnssecOk ? 1 : 0) | (q.checkingDisabled ? 2 : 0)}`
