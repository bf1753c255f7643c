/**
 * Gossip rounds: each sends queued news to a few members, until all news was sent often enough. There are no rounds
 * without news.
 */
import { ALIVE, DEAD, SUSPECT } from '../wire/types.ts'
import type { Env } from './env.ts'
import type { Post } from './post.ts'
import type { Swim } from './swim.ts'

/**
 * memberlist's LAN defaults: every 200 ms news goes to 3 members. Dead members get news for 30 s, in case they are
 * alive.
 */
const GOSSIP_MS = 200
const GOSSIP_NODES = 3
const GOSSIP_TO_DEAD_MS = 30_000
/** The first news after a quiet time waits this long, so that several messages share a packet. */
const GATHER_MS = 20
/** Interval of rounds while this node leaves. */
const GOODBYE_MS = 50

export class Rounds {
  readonly #env: Env
  readonly #swim: Swim
  readonly #post: Post
  #last = -Infinity
  #armed = false
  #started = false
  #leaving = false

  constructor(env: Env, swim: Swim, post: Post) {
    this.#env = env
    this.#swim = swim
    this.#post = post
  }

  start(): void {
    this.#started = true
  }

  /** From now on rounds follow quickly, because this node leaves. */
  leave(): void {
    this.#leaving = true
  }

  /** Starts rounds if news is queued. */
  arm(): void {
    if (this.#armed || !this.#started || this.#post.queued === 0 || this.#swim.table.size < 2)
      return
    this.#armed = true
    const { now, timers } = this.#env
    const round = this.#leaving ? GOODBYE_MS : GOSSIP_MS
    timers.at(Math.max(now + Math.min(round, GATHER_MS), this.#last + round), () => this.#round())
  }

  #round(): void {
    const { name, now, random } = this.#env
    this.#armed = false
    this.#last = now
    const to = this.#swim.table.some(GOSSIP_NODES, random, entry => {
      if (entry.node.name === name) return false
      if (entry.state === ALIVE || entry.state === SUSPECT) return true
      return entry.state === DEAD && now - entry.since <= GOSSIP_TO_DEAD_MS
    })
    for (const entry of to) if (!this.#post.gossip(entry.node)) break
    this.arm()
  }
}
