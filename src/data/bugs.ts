/** Exceptions in the data thread: counted, and logged as often as is useful. One in a query never ends the thread. */
import { messageOf } from '../base/error.ts'
import { Reports } from '../base/pace.ts'
import { SLOT } from '../boundary/counters.ts'
import type { Up } from '../boundary/messages.ts'

/** The shortest time between two log lines, because every packet may cause one. */
const EVERY_MS = 100

export class Bugs {
  readonly #counters: Float64Array
  readonly #post: (message: Up) => void
  readonly #reports = new Reports(EVERY_MS)

  constructor(counters: Float64Array, post: (message: Up) => void) {
    this.#counters = counters
    this.#post = post
  }

  take(er: unknown): void {
    this.#counters[SLOT.internalErrors]! += 1
    const more = this.#reports.next(performance.now())
    if (more === undefined) return
    const stack = er instanceof Error ? er.stack : undefined
    const fields = { err: messageOf(er), stack, more }
    this.#post({ type: 'log', level: 'error', msg: 'internal error', fields })
  }
}
