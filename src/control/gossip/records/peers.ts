/**
 * The members that speak our records and are thought alive: whom to push to
 * and whom to ask. Picking is uniform, which is what the convergence formulas
 * assume and what spreads a mass restart over the whole ring.
 */
export class Peers {
  #names: string[] = []
  #at = new Map<string, number>()
  readonly #random: () => number

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random
  }

  get count(): number {
    return this.#names.length
  }

  has(name: string): boolean {
    return this.#at.has(name)
  }

  add(name: string): void {
    if (this.#at.has(name)) return
    this.#at.set(name, this.#names.push(name) - 1)
  }

  remove(name: string): void {
    const at = this.#at.get(name)
    if (at === undefined) return
    const last = this.#names.pop() as string
    if (last !== name) {
      this.#names[at] = last
      this.#at.set(last, at)
    }
    this.#at.delete(name)
  }

  /** One at random, not `except` if there is another; undefined if there is none. */
  one(except = ''): string | undefined {
    const n = this.#names.length
    if (n === 0) return undefined
    const i = Math.floor(this.#random() * n)
    const name = this.#names[i]
    return name === except ? this.#names[(i + 1) % n] : name
  }

  /** Up to `count` different ones at random. */
  some(count: number): string[] {
    const n = this.#names.length
    if (n <= count) return this.#names.slice()
    const picked: string[] = []
    while (picked.length < count) {
      const name = this.#names[Math.floor(this.#random() * n)] as string
      if (!picked.includes(name)) picked.push(name)
    }
    return picked
  }
}
