/**
 * The members of the ring as this node sees them. A member's state is a small object that is replaced, never
 * changed, so that a list taken for a push/pull stays consistent. What a node says about itself (nodes.ts) is shared
 * between states, and in a simulation between tables.
 */
import type { Member, MemberState } from '../rider.ts'
import { writeState } from '../wire/messages.ts'
import { ALIVE, DEAD, LEFT, type State, SUSPECT } from '../wire/types.ts'
import type { Node } from './nodes.ts'

export { CAPABILITY, type Node, Nodes } from './nodes.ts'

/** A node, its state, and since when it has this state (milliseconds, monotonic). */
export type Entry = {
  readonly node: Node
  readonly incarnation: number
  readonly state: State
  readonly since: number
  /** Its bytes in a push/pull; created on first use. */
  encoded: Uint8Array | undefined
}

const STATE_NAMES: Readonly<Record<State, MemberState>> = {
  [ALIVE]: 'alive',
  [SUSPECT]: 'suspect',
  [DEAD]: 'dead',
  [LEFT]: 'left',
}

/** A member as other parts see it. */
export const memberOf = (entry: Entry): Member => ({
  name: entry.node.name,
  address: entry.node.address,
  port: entry.node.port,
  state: STATE_NAMES[entry.state],
  incarnation: entry.incarnation,
  tags: entry.node.tags,
  capable: entry.node.capable,
})

export const isGone = (entry: Entry): boolean => entry.state === DEAD || entry.state === LEFT

/**
 * An entry's contribution to the table's digest. Members that are gone contribute nothing, because tables forget
 * them at different times.
 */
const share = (entry: Entry): number => {
  if (isGone(entry)) return 0
  let h = Math.imul(entry.node.hash ^ Math.imul(entry.incarnation, 0x9e37_79b1), 0x85eb_ca6b)
  h = Math.imul(h ^ (h >>> 15), 0xc2b2_ae35)
  return h ^ (h >>> 13)
}

export const entryOf = (node: Node, incarnation: number, state: State, since: number): Entry => ({
  node,
  incarnation,
  state,
  since,
  encoded: undefined,
})

/** An entry's bytes in a push/pull; cached in the entry. */
export const encodedEntry = (entry: Entry): Uint8Array => {
  const { node } = entry
  entry.encoded ??= writeState({
    node: node.name,
    address: node.address,
    port: node.port,
    meta: node.meta,
    incarnation: entry.incarnation,
    state: entry.state,
    versions: node.versions,
  })
  return entry.encoded
}

/**
 * Initial members shared by many tables. In a simulation of 10,000 nodes each table then only stores its
 * differences. Never changed once a table uses it.
 */
export type Roster = {
  readonly entries: readonly Entry[]
  readonly index: ReadonlyMap<string, number>
  readonly digest: number
}

export const rosterOf = (entries: readonly Entry[]): Roster => ({
  entries,
  index: new Map(entries.map((entry, i) => [entry.node.name, i])),
  digest: entries.reduce((sum, entry) => (sum + share(entry)) | 0, 0),
})

/** Maps names to entries. Each entry has a stable number, so that a random one can be drawn. */
export class MemberTable {
  #roster: Roster | undefined
  #shared: number
  /** Differences from the roster by number; undefined marks a removed member. */
  #changed = new Map<number, Entry | undefined>()
  #own: (Entry | undefined)[] = []
  #index = new Map<string, number>()
  #free: number[] = []
  #digest = 0
  #count: Record<State, number> = { [ALIVE]: 0, [SUSPECT]: 0, [DEAD]: 0, [LEFT]: 0 }

  constructor(roster?: Roster) {
    this.#roster = roster
    this.#shared = roster?.entries.length ?? 0
    this.#digest = roster?.digest ?? 0
    for (const entry of roster?.entries ?? []) this.#count[entry.state]++
  }

  #numberOf(name: string): number | undefined {
    const own = this.#index.get(name)
    if (own !== undefined) return own
    const shared = this.#roster?.index.get(name)
    return shared !== undefined && this.at(shared) ? shared : undefined
  }

  get(name: string): Entry | undefined {
    const number = this.#numberOf(name)
    return number === undefined ? undefined : this.at(number)
  }

  /** The entry with a number below `span`; undefined if it was removed. */
  at(number: number): Entry | undefined {
    if (number >= this.#shared) return this.#own[number - this.#shared]
    return this.#changed.size > 0 && this.#changed.has(number)
      ? this.#changed.get(number)
      : this.#roster?.entries[number]
  }

  /** All numbers are below this. */
  get span(): number {
    return this.#shared + this.#own.length
  }

  /** The number of all members, or of those in one state. */
  get size(): number {
    return this.#count[ALIVE] + this.#count[SUSPECT] + this.#count[DEAD] + this.#count[LEFT]
  }

  count(state: State): number {
    return this.#count[state]
  }

  /** The number of members that are alive or suspect. */
  get living(): number {
    return this.#count[ALIVE] + this.#count[SUSPECT]
  }

  /**
   * A 32-bit sum over the names and incarnations of all living members. Tables with equal sums are treated as equal.
   */
  get digest(): number {
    return this.#digest >>> 0
  }

  /** Adds an entry, or replaces the one with its name. */
  set(entry: Entry): void {
    const number = this.#numberOf(entry.node.name)
    this.#count[entry.state]++
    this.#digest = (this.#digest + share(entry)) | 0
    if (number === undefined) {
      const free = this.#free.pop() ?? this.#own.length
      this.#own[free] = entry
      this.#index.set(entry.node.name, this.#shared + free)
      return
    }
    const before = this.at(number)!
    this.#count[before.state]--
    this.#digest = (this.#digest - share(before)) | 0
    if (number < this.#shared) this.#changed.set(number, entry)
    else this.#own[number - this.#shared] = entry
  }

  remove(name: string): void {
    const number = this.#numberOf(name)
    const entry = number === undefined ? undefined : this.at(number)
    if (number === undefined || !entry) return
    this.#count[entry.state]--
    this.#digest = (this.#digest - share(entry)) | 0
    if (number < this.#shared) {
      this.#changed.set(number, undefined)
      return
    }
    this.#own[number - this.#shared] = undefined
    this.#index.delete(name)
    this.#free.push(number - this.#shared)
  }

  *[Symbol.iterator](): IterableIterator<Entry> {
    for (let i = 0; i < this.span; i++) {
      const entry = this.at(i)
      if (entry) yield entry
    }
  }

  /**
   * Up to `n` different random members that `fits` accepts. In a large table it stops after a number of tries
   * instead of visiting all members.
   */
  some(n: number, random: () => number, fits: (entry: Entry) => boolean): Entry[] {
    const { span } = this
    const out: Entry[] = []
    const start = Math.floor(random() * span)
    // a small table is visited completely: from a random start, with a step that reaches every member
    if (span <= n * 8) {
      const step = stepFor(span, random)
      for (let i = 0, at = start; i < span && out.length < n; i++, at = (at + step) % span) {
        const entry = this.at(at)
        if (entry && fits(entry)) out.push(entry)
      }
      return out
    }
    for (let tries = Math.min(3 * span, 300); tries > 0 && out.length < n; tries--) {
      const entry = this.at(Math.floor(random() * span))
      if (entry && fits(entry) && !out.includes(entry)) out.push(entry)
    }
    return out
  }
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/** A step from 1 to span - 1 without a common divisor with span, so that repeated steps reach every number once. */
export const stepFor = (span: number, random: () => number): number => {
  if (span < 3) return 1
  for (;;) {
    const step = 1 + Math.floor(random() * (span - 1))
    if (gcd(step, span) === 1) return step
  }
}
