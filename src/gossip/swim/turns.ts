/**
 * Whose turn it is to be probed. Members that speak our records stand in a
 * circle, by a hash of their names, and each watches the two after it; every
 * third probe goes to somebody at random.
 *
 * By chance alone, as in memberlist, the wait until anybody looks at a member
 * that just died has no bound, and its backends were answered for up to 5 s.
 * Watched, it is looked at within 1.5 s, by two members that do not know of
 * each other's probes; and should both have died with it, chance still finds
 * it. A probe is the same ping as ever: serf sees no difference, and is
 * itself probed by chance.
 */
import type { Env } from './env.ts'
import { type Entry, isGone, type MemberTable, type Node, stepFor } from './members.ts'

/** Members each one watches: one more than there must be, for its other watcher may have died with it. */
const WATCHED = 2
/** Of so many probes one goes to a member at random. */
const CYCLE = WATCHED + 1

export class Turns {
  readonly #env: Env
  readonly #table: MemberTable
  #turn = 0
  /** Names of whom we watch, and the digest of the table they were found in. */
  #watched: readonly string[] = []
  #foundIn = -1
  /** The random round: numbers from `at` in steps, `left` of them to go. */
  #round = { span: 0, at: 0, step: 1, left: 0 }

  constructor(env: Env, table: MemberTable) {
    this.#env = env
    this.#table = table
  }

  /** The next member to probe; undefined if there is none but us. */
  next(): Entry | undefined {
    if (this.#table.living < 2) return undefined
    const place = this.#turn++ % CYCLE
    const watched = this.#watch()
    const name = place < WATCHED ? watched[place % watched.length] : undefined
    const entry = name === undefined ? undefined : this.#table.get(name)
    return entry && !isGone(entry) ? entry : this.#anybody()
  }

  /** Those after us in the circle; looked for again when somebody came or went. */
  #watch(): readonly string[] {
    const { digest } = this.#table
    if (digest === this.#foundIn) return this.#watched
    this.#foundIn = digest
    this.#watched = followers(this.#table, this.#env.name, WATCHED)
    return this.#watched
  }

  /** The next of the round that is not us and not gone; each round has an order of its own. */
  #anybody(): Entry | undefined {
    for (let rounds = 0; rounds < 2; rounds++) {
      const round = this.#round
      while (round.left > 0) {
        const entry = this.#table.at(round.at)
        round.at = (round.at + round.step) % round.span
        round.left--
        if (entry && !isGone(entry) && entry.node.name !== this.#env.name) return entry
      }
      const { span } = this.#table
      const at = Math.floor(this.#env.random() * span)
      this.#round = { span, at, step: stepFor(span, this.#env.random), left: span }
    }
    return undefined
  }
}

/** A node's place in the circle; neighbours by name (one rack, often) stand apart. */
const placeOf = (node: Node): number => Math.imul(node.hash, 0x9e37_79b1) >>> 0

/** The `count` living members after `self` that speak our records, nearest first. */
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
    // who has our very place comes before us, or after, by name
    const far = ahead === 0 && name < self ? 2 ** 32 : ahead
    const at = nearest.findIndex(one => far < one.far || (far === one.far && name < one.name))
    if (at < 0 && nearest.length >= count) continue
    nearest.splice(at < 0 ? nearest.length : at, 0, { name, far })
    if (nearest.length > count) nearest.pop()
  }
  return nearest.map(one => one.name)
}
