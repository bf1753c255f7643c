/** Counts what is most frequent in an endless stream, in bounded memory (Misra and Gries, 1982). */
export class HeavyHitters {
  readonly #most: number
  readonly #counts = new Map<string, number>()
  /** Everything that was added, decayed like the counts. */
  total = 0

  /** @param most keys that are remembered; a count is too low by at most `total / most` */
  constructor(most: number) {
    this.#most = most
  }

  add(key: string): void {
    this.total++
    const had = this.#counts.get(key)
    if (had !== undefined) this.#counts.set(key, had + 1)
    else if (this.#counts.size < this.#most) this.#counts.set(key, 1)
    else this.#change(count => count - 1)
  }

  /** Multiplies all counts, so that what was frequent long ago fades. */
  decay(factor: number): void {
    this.total *= factor
    this.#change(count => count * factor)
  }

  /** The most frequent keys and their shares of everything, the highest first. */
  top(limit: number): { key: string; share: number }[] {
    return [...this.#counts]
      .sort(([, a], [, b]) => b - a)
      .slice(0, limit)
      .map(([key, count]) => ({ key, share: count / this.total }))
  }

  #change(change: (count: number) => number): void {
    for (const [key, count] of this.#counts) {
      const now = change(count)
      if (now < 0.01) this.#counts.delete(key)
      else this.#counts.set(key, now)
    }
  }
}
