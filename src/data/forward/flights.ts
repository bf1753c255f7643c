/**
 * The questions in flight: a hash table by question, and a list in order of their start. A Map is not used, because
 * V8 keeps old tables of a rehashed Map alive together with their content once one is in the old generation; that
 * made a miss 15 % slower.
 */
import type { Route } from '../answer/router.ts'
import type { Flight } from './flight.ts'
import type { Question } from './query.ts'

export class Flights {
  /** Chains by hash, newest first, so that no ended flight refers to a living one. */
  readonly #chains: (Flight | undefined)[]
  readonly #mask: number
  #oldest: Flight | undefined
  #newest: Flight | undefined
  #size = 0

  /** @param expected expected number of flights; more are possible but slower */
  constructor(expected: number) {
    let chains = 64
    while (chains < expected && chains < 1 << 16) chains *= 2
    this.#chains = new Array<Flight | undefined>(chains).fill(undefined)
    this.#mask = chains - 1
  }

  get size(): number {
    return this.#size
  }
  /** The oldest flight. */
  get oldest(): Flight | undefined {
    return this.#oldest
  }

  /**
   * The flight for the same question over the same route. A flight from before a change of the route does not match.
   */
  find(question: Question, route: Route): Flight | undefined {
    let flight = this.#chains[question.hash & this.#mask]
    while (flight && (flight.route !== route || !same(flight.question, question)))
      flight = flight.next
    return flight
  }

  add(flight: Flight): void {
    const chain = flight.question.hash & this.#mask
    flight.chain = chain
    flight.next = this.#chains[chain]
    this.#chains[chain] = flight
    flight.older = this.#newest
    if (this.#newest) this.#newest.newer = flight
    else this.#oldest = flight
    this.#newest = flight
    this.#size++
  }

  /** Removes a flight. */
  delete(flight: Flight): void {
    const { chain } = flight
    let before = this.#chains[chain]
    if (before === flight) this.#chains[chain] = flight.next
    else {
      while (before!.next !== flight) before = before!.next
      before!.next = flight.next
    }
    const { older, newer } = flight
    if (older) older.newer = newer
    else this.#oldest = newer
    if (newer) newer.older = older
    else this.#newest = older
    flight.next = flight.older = flight.newer = undefined
    this.#size--
  }
}

const same = (a: Question, b: Question): boolean =>
  a.qtype === b.qtype &&
  a.dnssecOk === b.dnssecOk &&
  a.checkingDisabled === b.checkingDisabled &&
  a.name === b.name
