/**
 * What is to happen later in a state machine without a clock: a heap of
 * moments. The driver asks for the next one and comes back then.
 */

/** A pending moment; `run` is undefined once it ran or was cancelled. */
export type Timer = { at: number; run: ((now: number) => void) | undefined }

export class Timers {
  #heap: Timer[] = []
  #cancelled = 0

  /** When `run` has something to do; Infinity if nothing is pending. */
  next(): number {
    while (this.#heap[0] && !this.#heap[0].run) this.#pop()
    return this.#heap[0]?.at ?? Infinity
  }

  /** Has `run` called at `at`, or as soon after as somebody looks. */
  at(at: number, run: (now: number) => void): Timer {
    const timer = { at, run }
    this.#push(timer)
    return timer
  }

  /** The timer will not run. Harmless if it has, or if there is none. */
  cancel(timer: Timer | undefined): void {
    if (!timer?.run) return
    timer.run = undefined
    if (++this.#cancelled > 64 && this.#cancelled * 2 > this.#heap.length) this.#sweep()
  }

  /** Runs what is due at `now`, at most `most` of it. */
  run(now: number, most = 10_000): void {
    for (let i = 0; i < most && this.next() <= now; i++) {
      const timer = this.#pop()
      const run = timer?.run
      if (timer) timer.run = undefined
      run?.(now)
    }
  }

  /** Moves every pending moment later: who stood still must not judge others by its own absence. */
  shift(by: number): void {
    for (const timer of this.#heap) timer.at += by
  }

  /** Forgets everything. */
  clear(): void {
    for (const timer of this.#heap) timer.run = undefined
    this.#heap = []
    this.#cancelled = 0
  }

  /** Cancelled timers sink to the top and go there; when they are the most, they go at once. */
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
