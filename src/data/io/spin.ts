/**
 * Decides whether the thread polls its sockets for a moment before it sleeps, after a question was sent to an upstream
 * or a reply of one was passed on. On a virtual machine, putting a core to sleep and waking it takes 30 to 50 µs and
 * CPU time; with one client and a near master, polling is faster and cheaper. The decision only depends on whether
 * it has paid off lately: a daemon with few queries never polls, and with a queue of datagrams batches are better.
 * Between answers from the cache the thread always sleeps at once.
 */
import { availableParallelism } from 'node:os'
import type { Milliseconds } from '../../boundary/messages.ts'

/** Longest time of one spin: about the cost of sleeping. */
export const SPIN_MS: Milliseconds = 0.04
/** A wait that was this short, including the wake-up, could have been replaced by a spin. */
const SHORT_MS: Milliseconds = 0.15
/** Weight of each wait in the share of short ones. */
const WEIGHT = 1 / 8
/** The next wait spins if more than this share were short. */
const ENOUGH = 0.9

export class Spin {
  /** Moving share of short waits. A long one halves it, so that a failed spin is not soon repeated. */
  #short = 0
  #lone = false
  readonly #possible: boolean

  /** @param cores with only one core, a spin would keep other programs from sending */
  constructor(cores = availableParallelism()) {
    this.#possible = cores > 1
  }

  /** Whether the next wait should begin with a spin. */
  get pays(): boolean {
    return this.#possible && this.#lone && this.#short > ENOUGH
  }

  /** A turn had events on this many descriptors. */
  turn(events: number): void {
    if (events > 0) this.#lone = events === 1
  }

  /** A wait is over; `spun` tells whether it began with a spin. */
  waited(ms: Milliseconds, spun: boolean): void {
    this.#short =
      ms < (spun ? SPIN_MS : SHORT_MS) ? this.#short + (1 - this.#short) * WEIGHT : this.#short / 2
  }
}
