/**
 * Finds other members: at the start through the seeds, later through dead members and through seeds at whose address
 * no member is known. This heals a ring that was cut in two; memberlist alone forgets the other side after 30 s.
 */
import type { Serf } from '../serf/serf.ts'
import { type Endpoint, endpointKey } from '../wire/address.ts'
import { DEAD } from '../wire/types.ts'
import type { Env } from './env.ts'
import { isGone } from './members.ts'
import type { Swim } from './swim.ts'
import type { Syncs } from './syncs.ts'

/** How often dead members and silent seeds are tried (Serf's reconnect interval), varied by a fifth. */
const REJOIN_MS = 30_000
/** While no member is found: first after a second, then with doubling intervals. */
const ALONE_FIRST_MS = 1_000

export class Rejoin {
  readonly #env: Env
  readonly #swim: Swim
  readonly #serf: Serf
  readonly #syncs: Syncs
  readonly #known: readonly Endpoint[]
  #aloneMs = ALONE_FIRST_MS
  #seeking = false
  #leaving = false

  /** @param seeds addresses where other members may be */
  constructor(env: Env, swim: Swim, serf: Serf, syncs: Syncs, seeds: readonly Endpoint[]) {
    this.#env = env
    this.#swim = swim
    this.#serf = serf
    this.#syncs = syncs
    this.#known = seeds
  }

  /** Starts looking for members at once. */
  start(): void {
    const env = this.#env
    env.timers.at(env.now + this.#wait(), () => this.#round())
    env.timers.at(env.now, () => this.#seek())
  }

  /** Stops looking, because this node leaves. */
  leave(): void {
    this.#leaving = true
  }

  /** Joins through these addresses; `done` gets how many answered. */
  join(addresses: readonly Endpoint[], done: (joined: number) => void): void {
    const queue = [...addresses]
    let joined = 0
    if (this.#swim.table.living <= 1) this.#serf.holdEvents()
    const next = (): void => {
      const to = queue.shift()
      if (!to) {
        this.#serf.releaseEvents()
        if (joined > 0) {
          this.#serf.announce()
          this.#syncs.lookAgain()
        }
        return done(joined)
      }
      this.#syncs.exchange(to, true, ok => {
        if (ok) joined++
        next()
      })
    }
    next()
  }

  /** Seeds other than this node, in random order. */
  #seeds(): Endpoint[] {
    const { node } = this.#swim.self
    const seeds = this.#known.filter(
      seed => seed.address !== node.address || seed.port !== node.port,
    )
    for (let i = seeds.length - 1; i > 0; i--) {
      const j = Math.floor(this.#env.random() * (i + 1))
      ;[seeds[i], seeds[j]] = [seeds[j]!, seeds[i]!]
    }
    return seeds
  }

  /** Tries one seed after another until a member is found, with growing intervals. */
  #seek(): void {
    if (this.#seeking || this.#leaving || this.#swim.table.living > 1) return
    this.#seeking = true
    const seeds = this.#seeds()
    const next = (): void => {
      const seed = seeds.pop()
      if (this.#leaving || this.#swim.table.living > 1 || !seed) return this.#seekLater()
      this.join([seed], next)
    }
    next()
  }

  #seekLater(): void {
    this.#seeking = false
    if (this.#leaving || this.#swim.table.living > 1) {
      this.#aloneMs = ALONE_FIRST_MS
      return
    }
    const wait = this.#aloneMs * (0.5 + this.#env.random())
    this.#aloneMs = Math.min(this.#aloneMs * 2, REJOIN_MS)
    this.#env.timers.at(this.#env.now + wait, () => this.#seek())
  }

  #wait(): number {
    return REJOIN_MS * (0.8 + 0.4 * this.#env.random())
  }

  /**
   * Tries one dead member (more likely the more members are dead), and one seed at whose address no member is known.
   */
  #round(): void {
    const env = this.#env
    env.timers.at(env.now + this.#wait(), () => this.#round())
    if (this.#leaving) return
    const { table } = this.#swim
    const to: Endpoint[] = []
    if (env.random() < table.count(DEAD) / Math.max(1, table.living)) {
      const [entry] = table.some(1, env.random, one => one.state === DEAD)
      if (entry) to.push(entry.node)
    }
    const seeds = this.#seeds()
    if (seeds.length > 0) {
      const inhabited = new Set<string>()
      for (const entry of table) if (!isGone(entry)) inhabited.add(endpointKey(entry.node))
      const seed = seeds.find(one => !inhabited.has(endpointKey(one)))
      if (seed) to.push(seed)
    }
    if (to.length > 0) this.join(to, () => {})
    if (table.living <= 1) this.#seek()
  }
}
