/**
 * Capable members that are considered alive: the targets of pushes and requests. The choice is uniformly random,
 * which the convergence estimates assume and which spreads the load of a mass restart.
 */

/** Initial names shared by the nodes of a simulation; each stores only its differences. */
export type PeerRoster = {
  readonly names: readonly string[]
  readonly index: ReadonlyMap<string, number>
}

export const peerRosterOf = (names: readonly string[]): PeerRoster => ({
  names,
  index: new Map(names.map((name, i) => [name, i])),
})

const noPeers = peerRosterOf([])

export class Peers {
  readonly #random: () => number
  readonly #self: string
  readonly #roster: PeerRoster
  /** Names in the roster that are not peers now. Our own name is never a peer. */
  readonly #without = new Set<string>()
  readonly #names: string[] = []
  readonly #at = new Map<string, number>()

  /** 0 ≤ random() < 1. */
  constructor(random: () => number, self: string, roster: PeerRoster = noPeers) {
    this.#random = random
    this.#self = self
    this.#roster = roster
    if (roster.index.has(self)) this.#without.add(self)
  }

  get count(): number {
    return this.#roster.names.length - this.#without.size + this.#names.length
  }

  has(name: string): boolean {
    return this.#at.has(name) || (this.#roster.index.has(name) && !this.#without.has(name))
  }

  add(name: string): void {
    if (name === this.#self || this.#at.has(name)) return
    if (this.#roster.index.has(name)) this.#without.delete(name)
    else this.#at.set(name, this.#names.push(name) - 1)
  }

  remove(name: string): void {
    if (this.#roster.index.has(name)) this.#without.add(name)
    const at = this.#at.get(name)
    if (at === undefined) return
    const last = this.#names.pop() as string
    if (last !== name) {
      this.#names[at] = last
      this.#at.set(last, at)
    }
    this.#at.delete(name)
  }

  /** A random one, not `except` if there is another; undefined if there is none. */
  one(except = ''): string | undefined {
    const two = this.some(2)
    return two[0] === except ? (two[1] ?? two[0]) : two[0]
  }

  /** Up to `count` different random ones. */
  some(count: number): string[] {
    const roster = this.#roster.names
    const all = roster.length + this.#names.length
    const wanted = Math.min(count, this.count)
    const picked: string[] = []
    // If few peers are left, random tries would take too long.
    if (all <= 2 * count || this.count * 8 < all) return this.#walk(wanted)
    while (picked.length < wanted) {
      const i = Math.floor(this.#random() * all)
      const name = (i < roster.length ? roster[i] : this.#names[i - roster.length]) as string
      if (!picked.includes(name) && this.has(name)) picked.push(name)
    }
    return picked
  }

  #walk(wanted: number): string[] {
    const left = [...this.#roster.names.filter(name => !this.#without.has(name)), ...this.#names]
    for (let i = 0; i < wanted; i++) {
      const j = i + Math.floor(this.#random() * (left.length - i))
      const name = left[j] as string
      left[j] = left[i] as string
      left[i] = name
    }
    return left.slice(0, wanted)
  }
}
