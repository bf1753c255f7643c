/**
 * What keeps the ring one: gossip rounds, push/pull with a random member,
 * and the search for others, at the start through the seeds and for ever
 * after through dead members and seeds nobody is seen at, so that a ring cut
 * in two heals (bare memberlist forgets the other side after 30 s).
 */
import type { Serf } from '../serf/serf.ts'
import { type Endpoint, endpointKey } from '../wire/address.ts'
import { ALIVE, DEAD, SUSPECT, TYPE } from '../wire/types.ts'
import type { TableDigest } from './carrier.ts'
import type { Env } from './env.ts'
import { type Entry, isGone, type Node } from './members.ts'
import type { Post } from './post.ts'
import { STREAM_MS, type Streams } from './streams.ts'
import type { Swim } from './swim.ts'
import { type Job, mergeTable, syncInterval, writeTable } from './sync.ts'

/** memberlist's LAN defaults: news goes to 3 members every 200 ms, to dead ones for 30 s, in case they are not. */
const GOSSIP_MS = 200
const GOSSIP_NODES = 3
const GOSSIP_TO_DEAD_MS = 30_000
/** First news of a quiet node waits this long for company. */
const GOSSIP_GATHER_MS = 20
/** Saying goodbye is done in a hurry. */
const GOODBYE_MS = 50
/** Push/pulls at the same time, both ways together (Consul saw 3,000 pile up). */
const SYNCS_MOST = 4
/** Peers that wait for their turn, and octets of their tables: a serf that is turned away at its start gives up. */
const WAITING_MOST = 32
const WAITING_BYTES = 8 * 1024 * 1024
/** How often dead members and silent seeds are tried (Serf's reconnect interval), give or take a fifth. */
const REJOIN_MS = 30_000
/** While nobody is found: at first after a second, then doubling. */
const ALONE_FIRST_MS = 1_000
/** A difference between tables that lasts this long while ours rests is not news on its way. */
const DIFFER_MS = 3_000
/**
 * Least time between push/pulls because of a difference, as a share of the
 * usual interval, and because we know far fewer members. Each that did not bring equality doubles it: some
 * differences last, such as two nodes of one name.
 */
const REPAIR_SHARE = 0.1
const CATCH_UP_MS = 1_000
const DOUBLINGS_MOST = 5
/** A joiner asks a second member this soon, and a random time more: news of others who join with it may have missed it. */
const SECOND_LOOK_MS = 2_000
/** Of this many push/pulls that equal digests could save, one is done all the same. */
const TRUST_MOST = 10

export type UpkeepHooks = {
  readonly seeds: readonly Endpoint[]
  readonly work: (job: Job) => void
  /** Writes to a stream that was opened to us, and ends it; or closes it. */
  readonly write: (id: number, bytes: Uint8Array) => void
  readonly close: (id: number) => void
}

export class Upkeep {
  readonly #env: Env
  readonly #swim: Swim
  readonly #serf: Serf
  readonly #post: Post
  readonly #streams: Streams
  readonly #hooks: UpkeepHooks
  #syncs = 0
  #waiting: { readonly id: number; readonly message: Uint8Array }[] = []
  #waitingBytes = 0
  #gossipAt = -Infinity
  #gossipArmed = false
  #leaving = false
  #started = false
  #aloneMs = ALONE_FIRST_MS
  #seeking = false
  /** Our table's digest when a peer's was found to differ, and when that was. */
  #differ: { readonly digest: number; readonly since: number } | undefined
  #repairedAt = -Infinity
  #repairs = 0
  #equal = 0
  #saved = 0
  /** Whether anybody ever answered a push/pull, or asked us for one. */
  joined = false

  constructor(env: Env, swim: Swim, serf: Serf, post: Post, streams: Streams, hooks: UpkeepHooks) {
    this.#env = env
    this.#swim = swim
    this.#serf = serf
    this.#post = post
    this.#streams = streams
    this.#hooks = hooks
  }

  /** Begins all rounds at random moments, and looks for others at once. */
  start(): void {
    this.#started = true
    const env = this.#env
    env.timers.at(env.now + env.random() * 30_000, () => this.#syncRound())
    env.timers.at(env.now + this.#rejoinTime(), () => this.#rejoinRound())
    env.timers.at(env.now, () => this.#seek())
  }

  /** No more searching; news is told quickly. */
  leave(): void {
    this.#leaving = true
  }

  // gossip

  /** Sees to it that waiting news is told. */
  armGossip(): void {
    if (this.#gossipArmed || !this.#started || this.#post.queued === 0 || this.#swim.table.size < 2) return
    this.#gossipArmed = true
    const { now, timers } = this.#env
    const round = this.#leaving ? GOODBYE_MS : GOSSIP_MS
    timers.at(Math.max(now + Math.min(round, GOSSIP_GATHER_MS), this.#gossipAt + round), () => this.#gossip())
  }

  #gossip(): void {
    const { now, random } = this.#env
    this.#gossipArmed = false
    this.#gossipAt = now
    const to = this.#swim.table.some(GOSSIP_NODES, random, entry =>
      entry.node.name !== this.#env.name &&
      (entry.state === ALIVE || entry.state === SUSPECT || (entry.state === DEAD && now - entry.since <= GOSSIP_TO_DEAD_MS)))
    for (const entry of to) if (!this.#post.gossip(entry.node)) break
    this.armGossip()
  }

  // push/pull

  /** Gives and takes whole tables with somebody; `done` says whether it answered and could be read. */
  #sync(to: Endpoint, join: boolean, done: (ok: boolean) => void): void {
    if (this.#syncs >= SYNCS_MOST || this.#streams.isOpen('sync', to)) return done(false)
    this.#syncs++
    const end = (ok: boolean): void => {
      this.#ended(ok)
      done(ok)
    }
    this.#hooks.work(writeTable(this.#swim, this.#serf, join, parts => {
      const opened = this.#streams.open('sync', to, this.#post.frame(parts), STREAM_MS, answer => {
        if (answer?.[0] === TYPE.pushPull) this.#hooks.work(mergeTable(this.#swim, this.#serf, answer, end))
        else end(false)
      })
      if (!opened) end(false)
    }))
  }

  /** Somebody sent its table on a stream: ours goes back, then theirs is merged. */
  answerSync(id: number, message: Uint8Array): void {
    if (this.#syncs < SYNCS_MOST) return this.#answer(id, message)
    if (this.#waiting.length >= WAITING_MOST || this.#waitingBytes + message.length > WAITING_BYTES) {
      this.#env.stats.busy++
      return this.#hooks.close(id)
    }
    this.#waiting.push({ id, message })
    this.#waitingBytes += message.length
  }

  #answer(id: number, message: Uint8Array): void {
    this.#syncs++
    this.#hooks.work(writeTable(this.#swim, this.#serf, joinFlag(message), parts => {
      this.#hooks.write(id, this.#post.frame(parts))
      this.#hooks.work(mergeTable(this.#swim, this.#serf, message, ok => {
        if (!ok) this.#env.stats.malformed++
        this.#ended(ok)
      }))
    }))
  }

  /** A push/pull is over; the next that waits may begin. */
  #ended(ok: boolean): void {
    this.#syncs--
    if (ok) this.#env.stats.syncs++
    else this.#env.stats.syncsFailed++
    if (ok) this.joined = true
    const next = this.#waiting.shift()
    if (!next) return
    this.#waitingBytes -= next.message.length
    this.#answer(next.id, next.message)
  }

  #syncRound(): void {
    const env = this.#env
    const { table } = this.#swim
    env.timers.at(env.now + syncInterval(table.living), () => this.#syncRound())
    if (this.#leaving) return
    const entry = this.#somebody()
    if (!entry) return
    const trusted = entry.node.capable && this.#equal >= 3 && this.#saved < TRUST_MOST
    this.#equal = 0
    if (trusted) {
      this.#saved++
      env.stats.syncsSaved++
      return
    }
    this.#saved = 0
    this.#sync(entry.node, false, () => {})
  }

  #somebody(): Entry | undefined {
    return this.#swim.table.some(1, this.#env.random, one => one.state === ALIVE && one.node.name !== this.#env.name)[0]
  }

  #syncWithSomebody(): void {
    const entry = this.#leaving ? undefined : this.#somebody()
    if (entry) this.#sync(entry.node, false, () => {})
  }

  /** A capable member's digest came with its ping or ack: the tables should soon be equal. */
  onTable(node: Node, theirs: TableDigest): void {
    const { now } = this.#env
    const { digest, living } = this.#swim.table
    if (theirs.digest === digest) {
      this.#equal++
      this.#repairs = 0
      this.#differ = undefined
      return
    }
    this.#equal = 0
    if (this.#leaving) return
    const since = (now - this.#repairedAt) / 2 ** Math.min(this.#repairs, DOUBLINGS_MOST)
    // a joiner that came late to a crowd learns most of it here
    if (theirs.living > living * 1.1 + 2 && since >= CATCH_UP_MS) return this.#repair(node)
    if (this.#differ?.digest !== digest) this.#differ = { digest, since: now }
    else if (now - this.#differ.since >= DIFFER_MS && since >= syncInterval(living) * REPAIR_SHARE) this.#repair(node)
  }

  #repair(node: Node): void {
    this.#repairedAt = this.#env.now
    this.#repairs++
    this.#differ = undefined
    this.#sync(node, false, () => {})
  }

  // finding others

  /** Joins through these addresses; `done` gets how many answered. */
  join(addresses: readonly Endpoint[], done: (joined: number) => void): void {
    const queue = [...addresses]
    let joined = 0
    const next = (): void => {
      const to = queue.shift()
      if (!to) {
        if (joined > 0) this.#greet()
        return done(joined)
      }
      this.#sync(to, true, ok => {
        if (ok) joined++
        next()
      })
    }
    next()
  }

  #greet(): void {
    this.#serf.announce()
    this.#equal = 0
    this.#env.timers.at(this.#env.now + SECOND_LOOK_MS * (1 + this.#env.random()), () => {
      if (this.#equal === 0) this.#syncWithSomebody()
    })
  }

  /** Seeds that are not we ourselves, in random order. */
  #seeds(): Endpoint[] {
    const { node } = this.#swim.self
    const seeds = this.#hooks.seeds.filter(seed => seed.address !== node.address || seed.port !== node.port)
    for (let i = seeds.length - 1; i > 0; i--) {
      const j = Math.floor(this.#env.random() * (i + 1))
      ;[seeds[i], seeds[j]] = [seeds[j]!, seeds[i]!]
    }
    return seeds
  }

  /** As long as there is nobody: one seed after another, more and more seldom. */
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

  #rejoinTime(): number {
    return REJOIN_MS * (0.8 + 0.4 * this.#env.random())
  }

  /** One dead member, the more likely the more are dead, and one seed at whose address nobody lives. */
  #rejoinRound(): void {
    const env = this.#env
    env.timers.at(env.now + this.#rejoinTime(), () => this.#rejoinRound())
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

/** The join flag in a push/pull's head, which the answer repeats: its map is the first thing after the type. */
const joinFlag = (message: Uint8Array): boolean => {
  const head = Buffer.from(message.buffer, message.byteOffset, Math.min(message.length, 48))
  const at = head.indexOf('Join')
  return at > 0 && head[at + 4] === 0xc3
}
