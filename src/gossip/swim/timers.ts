/**
 * Timers for a state machine without a clock: a heap of moments. The driver asks for the next moment and calls `run`
 * then.
 */

/** A pending timer; `run` is undefined after it ran or was cancelled. */
export type Timer = { at: number; run: ((now: number) => void) | undefined }

export class Timers {
  #heap: Timer[] = []
  #cancelled = 0

  /** The time of the next timer; Infinity if there is none. */
  next(): number {
    while (this.#heap[0] && !this.#heap[0].run) this.#pop()
    return this.#heap[0]?.at ?? Infinity
  }

  /** Calls `run` at the time `at`, or at the first call of `run` after it. */
  at(at: number, run: (now: number) => void): Timer {
    const timer = { at, run }
    this.#push(timer)
    return timer
  }

  /** Cancels a timer. Harmless if it already ran, or if there is none. */
  cancel(timer: Timer | undefined): void {
    if (!timer?.run) return
    timer.run = undefined
    if (++this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#sweep()
  }

  /** Runs the timers that are due at `now`, at most `most` of them. */
  run(now: number, most = 10_000): void {
    for (let i = 0; i < most && this.next() <= now; i++) {
      const timer = this.#pop()
      const run = timer?.run
      if (timer) timer.run = undefined
      run?.(now)
    }
  }

  /** Delays every timer, after a stall of our own event loop. */
  shift(by: number): void {
    for (const timer of this.#heap) timer.at += by
  }

  /** Removes all timers. */
  clear(): void {
    for (const timer of this.#heap) timer.run = undefined
    this.#heap = []
    this.#cancelled = 0
  }

  /** Removes cancelled timers at the top of the heap; all of them at once when they are the majority. */
  #sweep(): void {
    const kept = this.#heap.filter(timer => timer.run)
    this.#heap = []
    this.#cancelled = 0
    for (const timer of kept) this.#push(timer)
  }

  #push(timer: Timer): void {
    this.#heap.push(timer)
    this.#up(this.#heap.length - 1)
  }

  #pop(): Timer | undefined {
    const first = this.#heap[0]
    const last = this.#heap.pop()
    if (first && !first.run) this.#cancelled--
    if (first && last && first !== last) {
      this.#heap[0] = last
      this.#down(0)
    }
    return first
  }

  #up(from: number): void {
    const heap = this.#heap
    for (let i = from; i > 0;) {
      const parent = (i - 1) >> 1
      if (heap[parent]!.at <= heap[i]!.at) return
      ;[heap[parent], heap[i]] = [heap[i]!, heap[parent]!]
      i = parent
    }
  }

  #down(from: number): void {
    const heap = this.#heap
    for (let i = from; ;) {
      const left = 2 * i + 1
      const right = left + 1
      let least = i
      if (left < heap.length && heap[left]!.at < heap[least]!.at) least = left
      if (right < heap.length && heap[right]!.at < heap[least]!.at) least = right
      if (least === i) return
      ;[heap[least], heap[i]] = [heap[i]!, heap[least]!]
      i = least
    }
  }
}
