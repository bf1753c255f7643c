/**
 * A set of strings in the order they came, each counted as often as it was
 * added. Nearly all of a zone's sets hold one element, so a Tally is one
 * small object until it grows; a Map each made three quarters of a rebuild's
 * time garbage collection.
 */

/** Above this an index is kept; below, a scan is faster. */
const SMALL = 16

/** Of two elements and more, and of one that was added twice. */
class Many {
  values: string[]
  /** How often each was added; undefined while all were once, as nearly all are. */
  counts: number[] | undefined = undefined
  index: Map<string, number> | undefined = undefined
  /** Whether someone keeps `values`: it must not change then. */
  kept = false

  constructor(value: string) {
    this.values = [value]
  }

  at(value: string): number {
    return this.index === undefined ? this.values.indexOf(value) : (this.index.get(value) ?? -1)
  }

  /** Before `values` changes. */
  own(): void {
    if (!this.kept) return
    this.values = [...this.values]
    this.kept = false
  }

  reindex(): void {
    this.index = new Map(this.values.map((value, at) => [value, at]))
  }
}

/** Never empty unless the last element was removed. */
export class Tally {
  /** The only element, added once, unless there are `#many`. */
  readonly #one: string
  #many: Many | undefined = undefined

  /** Begins with one of this. */
  constructor(value: string) {
    this.#one = value
  }

  /** In order; changes with the set. */
  get values(): readonly string[] {
    return this.#many?.values ?? [this.#one]
  }

  get size(): number {
    return this.#many?.values.length ?? 1
  }

  /** The same as an array that stays as it is now, whatever comes. */
  keep(): readonly string[] {
    if (this.#many === undefined) return [this.#one]
    this.#many.kept = true
    return this.#many.values
  }

  /** Adds one more of it; true if there was none. */
  add(value: string): boolean {
    const many = (this.#many ??= new Many(this.#one))
    const at = many.at(value)
    if (at >= 0) {
      many.counts ??= many.values.map(() => 1)
      many.counts[at]!++
      return false
    }
    many.own()
    many.values.push(value)
    many.counts?.push(1)
    if (many.index !== undefined) many.index.set(value, many.values.length - 1)
    else if (many.values.length > SMALL) many.reindex()
    return true
  }

  /** Takes one of it away; true if it was the last. */
  remove(value: string): boolean {
    if (this.#many === undefined && value !== this.#one) return false
    const many = (this.#many ??= new Many(this.#one))
    const at = many.at(value)
    if (at < 0 || (many.counts !== undefined && --many.counts[at]! > 0)) return false
    many.own()
    // the last one takes its place: answers are in no order, and nothing else moves
    const moved = many.values.pop()!
    const count = many.counts?.pop() ?? 1
    many.index?.delete(value)
    if (moved === value) return true
    many.values[at] = moved
    if (many.counts) many.counts[at] = count
    many.index?.set(moved, at)
    return true
  }
}
