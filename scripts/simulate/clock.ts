/**
 * Virtual time: events in a heap, run in order of time and, within a millisecond, in order of creation. Only events
 * advance the clock, so every run is the same.
 */
export class Clock {
  /** Milliseconds since the start of the run. */
  now = 0
  #at: number[] = []
  #order: number[] = []
  #run: (() => void)[] = []
  #created = 0
  /** Events run so far. */
  events = 0

  get waiting(): number {
    return this.#at.length
  }

  /** Runs `what` after `ms`. */
  after(ms: number, what: () => void): void {
    this.at(this.now + ms, what)
  }

  /** Runs `what` at a time, but not before now. */
  at(time: number, what: () => void): void {
    let i = this.#at.length
    this.#at.push(Math.max(time, this.now))
    this.#order.push(this.#created++)
    this.#run.push(what)
    while (i > 0) {
      const up = (i - 1) >> 1
      if (!this.#before(i, up)) break
      this.#swap(i, up)
      i = up
    }
  }

  /** Runs all events up to a time, or until `enough` returns true after one. */
  runUntil(time: number, enough?: () => boolean): void {
    while (this.#at.length > 0 && (this.#at[0] as number) <= time) {
      this.now = this.#at[0] as number
      this.events++
      this.#pop()()
      if (enough?.()) return
    }
    this.now = Math.max(this.now, time)
  }

  #pop(): () => void {
    const top = this.#run[0] as () => void
    const last = this.#at.length - 1
    this.#swap(0, last)
    this.#at.pop()
    this.#order.pop()
    this.#run.pop()
    let i = 0
    for (;;) {
      const left = 2 * i + 1
      if (left >= last) break
      const least = left + 1 < last && this.#before(left + 1, left) ? left + 1 : left
      if (!this.#before(least, i)) break
      this.#swap(i, least)
      i = least
    }
    return top
  }

  #before(a: number, b: number): boolean {
    const d = (this.#at[a] as number) - (this.#at[b] as number)
    return d < 0 || (d === 0 && (this.#order[a] as number) < (this.#order[b] as number))
  }

  #swap(a: number, b: number): void {
    for (const list of [this.#at, this.#order] as number[][]) {
      const x = list[a] as number
      list[a] = list[b] as number
      list[b] = x
    }
    const x = this.#run[a] as () => void
    this.#run[a] = this.#run[b] as () => void
    this.#run[b] = x
  }
}
