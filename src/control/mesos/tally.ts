/**
 * A set of strings in the order they came, each counted as often as it was
 * added. Nearly all of a zone's sets hold one element, so a Tally is two
 * small arrays until it grows; a Map each made three quarters of a rebuild's
 * time garbage collection.
 */

/** Above this an index is kept; below, a scan is faster. */
const SMALL = 16

/** Never empty unless the last element was removed. */
export class Tally {
  #values: string[]
  /** How often each was added; undefined while all were once, as nearly all are. */
  #counts: number[] | undefined
  #index: Map<string, number> | undefined
  /** Whether someone keeps `#values`: it must not change then. */
  #kept = false

  /** Begins with one of this. An array made with its element takes a sixth of one that is pushed to. */
  constructor(value: string) {
    this.#values = [value]
  }

  /** In order; changes with the set. */
  get values(): readonly string[] {
    return this.#values
  }

  get size(): number {
    return this.#values.length
  }

  /** The same as an array that stays as it is now, whatever comes. */
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
    else if (this.#values.length > SMALL) this.#reindex()
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

  #own(): void {
    if (!this.#kept) return
    this.#values = [...this.#values]
    this.#kept = false
  }

  #at(value: string): number {
    return this.#index === undefined ? this.#values.indexOf(value) : (this.#index.get(value) ?? -1)
  }

  #reindex(): void {
    this.#index = new Map(this.#values.map((value, at) => [value, at]))
  }
}
