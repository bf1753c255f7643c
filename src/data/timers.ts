/**
 * Timers in a binary heap. Each object stores its place, so that a cancelled timer is removed at once: most races
 * end long before their timers, and objects left in the heap would burden the garbage collector.
 */

import type { Milliseconds } from '../boundary/messages.ts'

/** Calls `work` once after `ms`; the returned function cancels it. */
export type After = (ms: Milliseconds, work: () => void) => () => void

/** For threads without Timers. */
export const nodeTimer: After = (ms, work) => {
  const timer = setTimeout(work, ms)
  return () => clearTimeout(timer)
}

export interface Timed {
  /** Milliseconds on the data thread's clock. Only Timers writes it. */
  due: number
  /** Its place in the heap, -1 when not scheduled. Only Timers writes it. */
  place: number
  /** Called once when due; may schedule itself again. */
  fire(now: number): void
}

/** When a timer that threw fires again. */
const AFTER_THROW_MS = 1_000

export class Timers {
  readonly #heap: Timed[] = []

  get size(): number {
    return this.#heap.length
  }

  /** Fires `item` at `at`, instead of any earlier schedule. */
  schedule(item: Timed, at: number): void {
    if (item.place >= 0) {
      const before = item.due
      item.due = at
      if (at < before) this.#up(item.place)
      else this.#down(item.place)
      return
    }
    item.due = at
    item.place = this.#heap.length
    this.#heap.push(item)
    this.#up(item.place)
  }

  /** Cancels the timer of `item`. */
  cancel(item: Timed): void {
    const i = item.place
    if (i < 0) return
    item.place = -1
    const last = this.#heap.pop()!
    if (last === item) return
    this.#heap[i] = last
    last.place = i
    this.#up(i)
    this.#down(last.place)
  }

  /**
   * Fires all due timers. Returns the milliseconds until the next one, or Infinity. A timer that throws ends the run
   * and fires again after a second, because otherwise its work would never be done.
   */
  run(now: number): number {
    for (let next = this.#heap[0]; next !== undefined && next.due <= now; next = this.#heap[0]) {
      this.cancel(next)
      let fired = false
      try {
        next.fire(now)
        fired = true
      } finally {
        if (!fired && next.place < 0) this.schedule(next, now + AFTER_THROW_MS)
      }
    }
    const next = this.#heap[0]
    return next ? next.due - now : Infinity
  }

  /** Single timers for callers that keep no Timed. */
  after(now: () => Milliseconds): After {
    return (ms, work) => {
      const item: Timed = { due: 0, place: -1, fire: work }
      this.schedule(item, now() + ms)
      return () => this.cancel(item)
    }
  }

  #up(i: number): void {
    const heap = this.#heap
    const item = heap[i]!
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = heap[parent]!
      if (above.due <= item.due) break
      heap[i] = above
      above.place = i
      i = parent
    }
    heap[i] = item
    item.place = i
  }

  #down(i: number): void {
    const heap = this.#heap
    const item = heap[i]!
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && heap[child + 1]!.due < heap[child]!.due) child++
      const below = heap[child]!
      if (below.due >= item.due) break
      heap[i] = below
      below.place = i
      i = child
    }
    heap[i] = item
    item.place = i
  }
}
