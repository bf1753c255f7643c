/**
 * Decides which members are probed in each round. Capable members form a circle, ordered by a hash of their names, and
 * each watches the two after it, in every round. In every second round a random member is probed, too.
 *
 * With random probes alone, as in memberlist, the time until a dead member is probed has no bound. A watched member
 * is probed in each round, by two members independently; random probes still find it if both watchers died, too. Serf
 * sees ordinary pings, and serf members are probed at random.
 */
import type { Env } from './env.ts'
import { type Entry, isGone, type MemberTable, type Node, stepFor } from './members.ts'

/** How many members each one watches. Two, because the other watcher may have died together with the member. */
const WATCHED = 2
/** One of this many rounds also probes a random member; every one if nobody is watched. */
const RANDOM_EVERY = 2

export class Turns {
  readonly #env: Env
  readonly #table: MemberTable
  #rounds = 0
  /** Names of the members we watch, and the table digest for which they were determined. */
  #watched: readonly string[] = []
  #foundIn = -1
  /** The random order: numbers from `at` in steps of `step`, `left` of them to go. */
  #round = { span: 0, at: 0, step: 1, left: 0 }

  constructor(env: Env, table: MemberTable) {
    this.#env = env
    this.#table = table
  }

  /** The members to probe now; none if there is no other. */
  next(): Entry[] {
    if (this.#table.living < 2) return []
    const entries: Entry[] = []
    for (const name of this.#watch()) {
      const entry = this.#table.get(name)
      if (entry && !isGone(entry)) entries.push(entry)
    }
    if (entries.length === 0 || ++this.#rounds % RANDOM_EVERY === 0) {
      const entry = this.#another(entries)
      if (entry) entries.push(entry)
    }
    return entries
  }

  /** The members after us in the circle; determined again when the table has changed. */
  #watch(): readonly string[] {
    const { digest } = this.#table
    if (digest === this.#foundIn) return this.#watched
    this.#foundIn = digest
    this.#watched = followers(this.#table, this.#env.name, WATCHED)
    return this.#watched
  }

  /** The next living member in a random order that is not in `taken`; after all members there is a new order. */
  #another(taken: readonly Entry[]): Entry | undefined {
    const { name } = this.#env
    for (let orders = 0; orders < 2; orders++) {
      const round = this.#round
      while (round.left > 0) {
        const entry = this.#table.at(round.at)
        round.at = (round.at + round.step) % round.span
        round.left--
        if (entry && !isGone(entry) && entry.node.name !== name && !taken.includes(entry))
          return entry
      }
      const { span } = this.#table
      const at = Math.floor(this.#env.random() * span)
      this.#round = { span, at, step: stepFor(span, this.#env.random), left: span }
    }
    return undefined
  }
}

/** A node's place in the circle. The multiplication separates similar names, which are often in one rack. */
const placeOf = (node: Node): number => Math.imul(node.hash, 0x9e37_79b1) >>> 0

/** The `count` living capable members after `self`, nearest first. */
export const followers = (table: MemberTable, self: string, count: number): string[] => {
  const own = table.get(self)
  if (!own) return []
  const from = placeOf(own.node)
  const nearest: { readonly name: string; readonly far: number }[] = []
  for (let i = 0; i < table.span; i++) {
    const entry = table.at(i)
    if (!entry || isGone(entry) || !entry.node.capable || entry.node.name === self) continue
    const { name } = entry.node
    const ahead = (placeOf(entry.node) - from) >>> 0
    // if two nodes have the same place, their names decide
    const far = ahead === 0 && name < self ? 2 ** 32 : ahead
    const at = nearest.findIndex(one => far < one.far || (far === one.far && name < one.name))
    if (at < 0 && nearest.length >= count) continue
    nearest.splice(at < 0 ? nearest.length : at, 0, { name, far })
    if (nearest.length > count) nearest.pop()
  }
  return nearest.map(one => one.name)
}
