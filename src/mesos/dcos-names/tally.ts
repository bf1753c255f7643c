/**
 * A multiset of strings in order of insertion. Nearly all of a zone's sets have one element with count one, so such
 * a set is the string itself. An object per set would be expensive for the garbage collector.
 */

/** Larger sets have an index; in smaller ones a scan is faster. */
const SMALL = 16

/** One element with count one, or `Many`. */
export type Tally = string | Many

/** The elements in order; changes with the set. */
export const valuesOf = (tally: Tally | undefined): readonly string[] =>
  tally === undefined ? [] : typeof tally === 'string' ? [tally] : tally.values

/** The elements as an array that does not change with the set. */
export const keptValues = (tally: Tally): readonly string[] =>
  typeof tally === 'string' ? [tally] : tally.keep()

/** A set with two or more elements, or with a count above one. Empty after the last was removed. */
export class Many {
  #values: string[]
  /** Count of each element; undefined while all are one. */
  #counts: number[] | undefined = undefined
  #index: Map<string, number> | undefined = undefined
  /** Whether the `values` array was given away: it must be copied before a change. */
  #kept = false

  /** A set with this element, count one. */
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

  /** Adds an element; true if it was not in the set. */
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

  /** Removes one count of an element; true if it was the last. */
  remove(value: string): boolean {
    const at = this.#at(value)
    if (at < 0 || (this.#counts !== undefined && --this.#counts[at]! > 0)) return false
    this.#own()
    // the last element moves to its place: the order of answers does not matter, and all others stay
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

  /** Call this before each change of `#values`: it copies them if a reader holds them. */
  #own(): void {
    if (!this.#kept) return
    this.#values = [...this.#values]
    this.#kept = false
  }
}
