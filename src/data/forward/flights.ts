/**
 * The questions in flight, found by what they ask and kept in the order of
 * their start. Not a Map: when V8 rehashes one, the table it leaves points at
 * the next and at all that was in it. Once one such table is old, every later
 * one and the flights in it are taken for alive and grow old too: a miss cost
 * 19.3 µs of processor time instead of 16.5, and there were seven full
 * collections for each that there is now.
 */
import { keyBits } from '../cache/entry.ts'
import { hashQuestion } from '../cache/hash.ts'
import { HEADER } from '../../wire/header.ts'
import type { Route } from '../answer/router.ts'
import type { Flight } from './flight.ts'
import type { Question } from './query.ts'

export class Flights {
  /** Chains by hash, each the newest first: nothing that has ended leads to what lives. */
  readonly #chains: (Flight | undefined)[]
  readonly #mask: number
  #oldest: Flight | undefined
  #newest: Flight | undefined
  #size = 0

  /** @param expected how many there may be; more only make it slower */
  constructor(expected: number) {
    let chains = 64
    while (chains < expected && chains < 1 << 16) chains *= 2
    this.#chains = new Array<Flight | undefined>(chains).fill(undefined)
    this.#mask = chains - 1
  }

  get size(): number {
    return this.#size
  }
  /** The one that has been in the air longest. */
  get oldest(): Flight | undefined {
    return this.#oldest
  }

  /** The flight for the same question over the same route: one that began before a change is none of them. */
  find(question: Question, route: Route): Flight | undefined {
    let flight = this.#chains[chainOf(question) & this.#mask]
    while (flight && (flight.route !== route || !same(flight.question, question)))
      flight = flight.next
    return flight
  }

  add(flight: Flight): void {
    const chain = chainOf(flight.question) & this.#mask
    flight.chain = chain
    flight.next = this.#chains[chain]
    this.#chains[chain] = flight
    flight.older = this.#newest
    if (this.#newest) this.#newest.newer = flight
    else this.#oldest = flight
    this.#newest = flight
    this.#size++
  }

  /** Takes out a flight that is in. */
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

const chainOf = ({ wire, qnameEnd, qtype, dnssecOk, checkingDisabled }: Question): number =>
  hashQuestion(wire, HEADER, qnameEnd, qtype, keyBits(dnssecOk, checkingDisabled))

const same = (a: Question, b: Question): boolean =>
  a.qtype === b.qtype &&
  a.dnssecOk === b.dnssecOk &&
  a.checkingDisabled === b.checkingDisabled &&
  a.name === b.name
