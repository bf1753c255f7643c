/**
 * Who is in the ring, as this node sees it. A member's state is one small
 * object that is replaced, never changed, so that a list taken for a
 * push/pull stays as it was; what a node says of itself (`Node`) is shared
 * between states, and in a simulation between tables.
 */
import type { Member, MemberState } from '../rider.ts'
import { readTags } from '../serf/tags.ts'
import { writeState } from '../wire/messages.ts'
import { bufferOf } from '../wire/msgpack.ts'
import { ALIVE, DEAD, LEFT, META_MOST, type State, SUSPECT } from '../wire/types.ts'

/** What a node says of itself. */
export type Node = {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly meta: Uint8Array
  readonly versions: Uint8Array
  readonly tags: Readonly<Record<string, string>>
  /** Whether its tags announce that it speaks our records. */
  readonly capable: boolean
  /** A hash of its name, for the table's digest. */
  readonly hash: number
}

/** A node and what is believed of it since when (milliseconds, monotonic). */
export type Entry = {
  readonly node: Node
  readonly incarnation: number
  readonly state: State
  readonly since: number
  /** Its bytes in a push/pull, made when first asked for. */
  encoded: Uint8Array | undefined
}

/** The tag, and its value, by which a member says that it speaks our records. */
export const CAPABILITY = { tag: 'sp', value: '1' } as const

const STATE_NAMES: Readonly<Record<State, MemberState>> = { [ALIVE]: 'alive', [SUSPECT]: 'suspect', [DEAD]: 'dead', [LEFT]: 'left' }

/** What the records, and everything above, are shown of a member. */
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

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && Buffer.compare(a, b) === 0

/** FNV-1a over the name's code units. */
const nameHash = (name: string): number => {
  let hash = 0x811c_9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193)
  return hash
}

/** An entry's share in the digest of a table: who is gone has none, since tables forget at different times. */
const share = (entry: Entry): number => {
  if (isGone(entry)) return 0
  let h = Math.imul(entry.node.hash ^ Math.imul(entry.incarnation, 0x9e37_79b1), 0x85eb_ca6b)
  h = Math.imul(h ^ (h >>> 15), 0xc2b2_ae35)
  return h ^ (h >>> 13)
}

/** Tags, and the metadata they were read from: most members of a ring have the same. */
type Words = Pick<Node, 'meta' | 'tags' | 'capable'>
/** Different metadata, or versions, kept to be shared. */
const SHARED_MOST = 1024

/**
 * A node's own words, copied out of the packet they came in; the same object
 * for the same words, so that a member costs some 250 octets and not a
 * thousand.
 */
export class Nodes {
  #byName = new Map<string, Node>()
  #words = new Map<string, Words>()
  #versions = new Map<string, Uint8Array>()
  readonly #most: number

  /** @param most names remembered; beyond it nothing is shared */
  constructor(most = 32_768) {
    this.#most = most
  }

  of(said: { node: string; address: string; port: number; meta: Uint8Array; versions: Uint8Array }): Node {
    const had = this.#byName.get(said.node)
    if (
      had && had.address === said.address && had.port === said.port &&
      same(had.meta, said.meta) && same(had.versions, said.versions)
    ) return had
    const words = shared(this.#words, said.meta, wordsOf)
    const node: Node = {
      name: had?.name ?? said.node,
      address: said.address,
      port: said.port,
      meta: words.meta,
      versions: shared(this.#versions, said.versions, bytes => Uint8Array.from(bytes)),
      tags: words.tags,
      capable: words.capable,
      hash: had?.hash ?? nameHash(said.node),
    }
    if (had || this.#byName.size < this.#most) this.#byName.set(said.node, node)
    return node
  }

  /** The name is of no member any more. */
  forget(name: string): void {
    this.#byName.delete(name)
  }
}

const wordsOf = (bytes: Uint8Array): Words => {
  const meta = Uint8Array.from(bytes.subarray(0, META_MOST))
  const tags = readTags(meta)
  return { meta, tags, capable: tags[CAPABILITY.tag] === CAPABILITY.value }
}

/** What was made of these octets before, or is now. */
const shared = <T>(known: Map<string, T>, bytes: Uint8Array, make: (bytes: Uint8Array) => T): T => {
  const key = bufferOf(bytes).toString('latin1')
  const had = known.get(key)
  if (had) return had
  if (known.size >= SHARED_MOST) known.clear()
  const made = make(bytes)
  known.set(key, made)
  return made
}

export const entryOf = (node: Node, incarnation: number, state: State, since: number): Entry => ({
  node,
  incarnation,
  state,
  since,
  encoded: undefined,
})

/** An entry's bytes in a push/pull, kept with it. */
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
 * A membership many tables begin with and share: in a simulation of 10,000
 * nodes each table then costs what differs in it. Never changed after it was
 * given to a table.
 */
export type Roster = { readonly entries: readonly Entry[]; readonly index: ReadonlyMap<string, number>; readonly digest: number }

export const rosterOf = (entries: readonly Entry[]): Roster => ({
  entries,
  index: new Map(entries.map((entry, i) => [entry.node.name, i])),
  digest: entries.reduce((sum, entry) => (sum + share(entry)) | 0, 0),
})

/** Name to entry, with a stable number for each so that one can be drawn at random. */
export class MemberTable {
  #roster: Roster | undefined
  #shared: number
  /** What differs from the roster, by number; undefined: removed. */
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

  /** The entry of a number below `span`; undefined where one was removed. */
  at(number: number): Entry | undefined {
    if (number >= this.#shared) return this.#own[number - this.#shared]
    return this.#changed.size > 0 && this.#changed.has(number) ? this.#changed.get(number) : this.#roster?.entries[number]
  }

  /** Numbers are below this. */
  get span(): number {
    return this.#shared + this.#own.length
  }

  /** All members, or those in one state. */
  get size(): number {
    return this.#count[ALIVE] + this.#count[SUSPECT] + this.#count[DEAD] + this.#count[LEFT]
  }

  count(state: State): number {
    return this.#count[state]
  }

  /** Members that are thought to be there: alive or suspect. */
  get living(): number {
    return this.#count[ALIVE] + this.#count[SUSPECT]
  }

  /**
   * A sum over the names and incarnations of all living members, 32 bits
   * unsigned: tables with equal sums are taken for equal.
   */
  get digest(): number {
    return this.#digest >>> 0
  }

  /** Puts an entry in the place of the one with its name, or adds it. */
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
   * Up to `n` different members that `fits`, at random. In a large table it
   * gives up after a number of tries rather than look at everyone.
   */
  some(n: number, random: () => number, fits: (entry: Entry) => boolean): Entry[] {
    const { span } = this
    const out: Entry[] = []
    const start = Math.floor(random() * span)
    // a small table is walked whole, from anywhere, with a step that meets everyone
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

/** A step from 1 to span - 1 that has no divisor in common with span, so that steps meet every number once. */
export const stepFor = (span: number, random: () => number): number => {
  if (span < 3) return 1
  for (;;) {
    const step = 1 + Math.floor(random() * (span - 1))
    if (gcd(step, span) === 1) return step
  }
}
