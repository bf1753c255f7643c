/**
 * A set of strings in the order they came, each counted as often as it was
 * added. Nearly all of a zone's sets hold one element that one thing makes,
 * so a set is that string itself until it grows. A Map each made three
 * quarters of a rebuild's time garbage collection, a small object each still
 * 40 octets a record for the collector to copy.
 */

/** Above this an index is kept; below, a scan is faster. */
const SMALL = 16

/** One element added once, or `Many`. */
export type Tally = string | Many

/** The elements in order, none of nothing; changes with the set. */
export const valuesOf = (tally: Tally | undefined): readonly string[] =>
  tally === undefined ? [] : typeof tally === 'string' ? [tally] : tally.values

/** The same as an array that stays as it is now, whatever comes. */
export const keptValues = (tally: Tally): readonly string[] =>
  typeof tally === 'string' ? [tally] : tally.keep()

/** Of two elements and more, or of one that was added twice. Empty once the last was removed. */
export class Many {
  #values: string[]
  /** How often each was added; undefined while all were once, as nearly all are. */
  #counts: number[] | undefined = undefined
  #index: Map<string, number> | undefined = undefined
  /** Whether someone keeps `values`: it must not change then. */
  #kept = false

  /** Begins with one of this. */
  constructor(value: string) {
    this.#values = [value]
  }

  get values(): readonly string[] {
    return this.#values
  }

  keep(): readonly string[] {
    this.#kept = true
    return this.#values
  }

  /** Adds one more of it; true if there was none. */
  add(value: string): boolean {
    const at = this.#at(value)
    if (at >= 0) {
      this.#counts ??= this.#values.map(() => 1)
      this.#counts[at]!++
      return false
    }
    this.#own()
    this.#values.push(value)
    this.#counts?.push(1)
    if (this.#index !== undefined) this.#index.set(value, this.#values.length - 1)
    else if (this.#values.length > SMALL)
      this.#index = new Map(this.#values.map((one, place) => [one, place]))
    return true
  }

  /** Takes one of it away; true if it was the last. */
  remove(value: string): boolean {
    const at = this.#at(value)
    if (at < 0 || (this.#counts !== undefined && --this.#counts[at]! > 0)) return false
    this.#own()
    // the last one takes its place: answers are in no order, and nothing else moves
    const moved = this.#values.pop()!
    const count = this.#counts?.pop() ?? 1
    this.#index?.delete(value)
    if (moved === value) return true
    this.#values[at] = moved
    if (this.#counts) this.#counts[at] = count
    this.#index?.set(moved, at)
    return true
  }

  #at(value: string): number {
    return this.#index === undefined ? this.#values.indexOf(value) : (this.#index.get(value) ?? -1)
  }

  /** Before `#values` changes. */
  #own(): void {
    if (!this.#kept) return
    this.#values = [...this.#values]
    this.#kept = false
  }
}
