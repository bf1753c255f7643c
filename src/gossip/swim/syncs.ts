/**
 * When push/pulls happen, and how many at a time: now and then with anybody,
 * saved where digests say that both tables are equal, sooner where they say
 * that something is missing. How one is done is in sync.ts.
 */
import type { Serf } from '../serf/serf.ts'
import type { Endpoint } from '../wire/address.ts'
import { readPushPullHead } from '../wire/messages.ts'
import { Reader } from '../wire/msgpack.ts'
import { NODES_MOST, STREAM_MOST } from '../wire/stream.ts'
import { ALIVE, TYPE } from '../wire/types.ts'
import type { TableDigest } from './records-transport.ts'
import type { Env } from './env.ts'
import type { Entry, Node } from './members.ts'
import type { Post } from './post.ts'
import { STREAM_MS, type Streams } from './streams.ts'
import type { Swim } from './swim.ts'
import { type Job, mergeTable, SLICE, syncInterval, writeTable } from './sync.ts'

/** Push/pulls at the same time, both ways together (Consul saw 3,000 pile up). */
const SYNCS_MOST = 4
/** Peers that wait for their turn, and octets of their tables: a serf that is turned away at its start gives up. */
const WAITING_MOST = 32
const WAITING_BYTES = 8 * 1024 * 1024
/**
 * A joiner for whom there is no room to wait gets a slice of our table, from
 * which it goes on by itself; turned away it knew nobody else to ask. Of 1,000
 * nodes that start at once with one seed a third was, and was alone for 5 to
 * 10 s. So many such answers at a time, and only to small tables.
 */
const SHORT_MOST = 512
const SHORT_BYTES = 4_096
/** The first of the regular push/pulls comes within this time. */
const FIRST_MS = 30_000
/** A difference between tables that lasts this long while ours rests is not news on its way. */
const DIFFER_MS = 3_000
/**
 * Least time between push/pulls because of a difference, as a share of the
 * usual interval, and because we know far fewer members. Each that did not
 * bring equality doubles it: some differences last, such as two nodes of one
 * name.
 */
const REPAIR_SHARE = 0.1
const CATCH_UP_MS = 1_000
const DOUBLINGS_MOST = 5
/**
 * Whoever heard of more members from everybody for so long missed news that
 * will not come any more. Of 1,000 nodes that start at once the last few
 * lacked the last few members for 30 s. After so many repairs in vain the
 * difference is one that lasts.
 */
const BEHIND_MS = 1_000
const HOPES_MOST = 4
/** A joiner asks a second member this soon, and a random time more: news of others who join with it may have missed it. */
const SECOND_LOOK_MS = 2_000
/** Of this many push/pulls that equal digests could save, one is done all the same. */
const TRUST_MOST = 10

export type SyncHooks = {
  readonly work: (job: Job) => void
  /** Writes to a stream that was opened to us, and ends it; or closes it. */
  readonly write: (id: number, bytes: Uint8Array) => void
  readonly close: (id: number) => void
}

export class Syncs {
  readonly #env: Env
  readonly #swim: Swim
  readonly #serf: Serf
  readonly #post: Post
  readonly #streams: Streams
  readonly #hooks: SyncHooks
  #running = 0
  #waiting: { readonly id: number; readonly message: Uint8Array }[] = []
  #waitingBytes = 0
  #short = 0
  #leaving = false
  /** Our table's digest when a peer's was found to differ, and when that was. */
  #differ: { readonly digest: number; readonly since: number } | undefined
  #repairedAt = -Infinity
  /** Repairs in a row that brought neither equality nor members. */
  #repairs = 0
  /** Since when every digest said that others know more members than we do. */
  #behindSince = Infinity
  /** Digests equal to ours, in a row. */
  #equal = 0
  #saved = 0
  /** Whether anybody ever answered a push/pull, or asked us for one. */
  joined = false

  constructor(env: Env, swim: Swim, serf: Serf, post: Post, streams: Streams, hooks: SyncHooks) {
    this.#env = env
    this.#swim = swim
    this.#serf = serf
    this.#post = post
    this.#streams = streams
    this.#hooks = hooks
  }

  /** Begins the regular ones at a random moment. */
  start(): void {
    const env = this.#env
    env.timers.at(env.now + env.random() * FIRST_MS, () => this.#round())
  }

  /** We go: no more of our own. */
  leave(): void {
    this.#leaving = true
  }

  /** Gives and takes whole tables with somebody; `done` says whether it answered and could be read. */
  exchange(to: Endpoint, join: boolean, done: (ok: boolean) => void): void {
    if (this.#running >= SYNCS_MOST || this.#streams.isOpen('sync', to)) return done(false)
    this.#running++
    const end = (ok: boolean): void => {
      this.#ended(ok)
      done(ok)
    }
    this.#hooks.work(
      writeTable(this.#swim, this.#serf, join, parts => {
        const opened = this.#streams.open(
          'sync',
          to,
          this.#post.frame(parts),
          STREAM_MS,
          answer => {
            if (answer?.[0] === TYPE.pushPull)
              this.#hooks.work(mergeTable(this.#swim, this.#serf, answer, end))
            else end(false)
          },
        )
        if (!opened) end(false)
      }),
    )
  }

  /** Somebody sent its table on a stream: ours goes back, then theirs is merged. */
  answer(id: number, message: Uint8Array): void {
    if (this.#running < SYNCS_MOST) return this.#begin(id, message)
    const room =
      this.#waiting.length < WAITING_MOST && this.#waitingBytes + message.length <= WAITING_BYTES
    if (room) {
      this.#waiting.push({ id, message })
      this.#waitingBytes += message.length
    } else if (this.#short < SHORT_MOST && message.length <= SHORT_BYTES && isJoin(message)) {
      this.#short++
      const some = this.#swim.table.some(SLICE - 1, this.#env.random, one => one.state === ALIVE)
      this.#give(id, message, () => this.#short--, [this.#swim.self, ...some])
    } else {
      this.#env.stats.busy++
      this.#hooks.close(id)
    }
  }

  #begin(id: number, message: Uint8Array): void {
    this.#running++
    this.#give(id, message, ok => this.#ended(ok))
  }

  /** Gives our table, or these members of it, and takes theirs. */
  #give(id: number, message: Uint8Array, ended: (ok: boolean) => void, entries?: Entry[]): void {
    const written = (parts: readonly Uint8Array[]): void => {
      this.#hooks.write(id, this.#post.frame(parts))
      this.#hooks.work(
        mergeTable(this.#swim, this.#serf, message, ok => {
          if (!ok) this.#env.stats.malformed++
          ended(ok)
        }),
      )
    }
    this.#hooks.work(writeTable(this.#swim, this.#serf, isJoin(message), written, entries))
  }

  /** A push/pull is over; the next that waits may begin. */
  #ended(ok: boolean): void {
    this.#running--
    if (ok) this.#env.stats.syncs++
    else this.#env.stats.syncsFailed++
    if (ok) this.joined = true
    const next = this.#waiting.shift()
    if (!next) return
    this.#waitingBytes -= next.message.length
    this.#begin(next.id, next.message)
  }

  #round(): void {
    const env = this.#env
    const { table } = this.#swim
    env.timers.at(env.now + syncInterval(table.living), () => this.#round())
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
    this.exchange(entry.node, false, () => {})
  }

  #somebody(): Entry | undefined {
    return this.#swim.table.some(
      1,
      this.#env.random,
      one => one.state === ALIVE && one.node.name !== this.#env.name,
    )[0]
  }

  /** We are new: a second member is asked soon, unless a digest says that nothing is missing. */
  lookAgain(): void {
    const env = this.#env
    this.#equal = 0
    env.timers.at(env.now + SECOND_LOOK_MS * (1 + env.random()), () => {
      const entry = this.#leaving || this.#equal > 0 ? undefined : this.#somebody()
      if (entry) this.exchange(entry.node, false, () => {})
    })
  }

  /** A capable member's digest came with its ping or ack: the tables should soon be equal. */
  onTable(node: Node, theirs: TableDigest): void {
    const { now } = this.#env
    const { digest, living } = this.#swim.table
    if (theirs.digest === digest) {
      this.#equal++
      this.#repairs = 0
      this.#differ = undefined
      this.#behindSince = Infinity
      return
    }
    this.#equal = 0
    if (this.#leaving) return
    const since = (now - this.#repairedAt) / 2 ** Math.min(this.#repairs, DOUBLINGS_MOST)
    this.#behindSince = theirs.living > living ? Math.min(this.#behindSince, now) : Infinity
    // a joiner that came late to a crowd learns most of it here
    const much = theirs.living > living * 1.1 + 2
    const long = now - this.#behindSince >= BEHIND_MS && this.#repairs < HOPES_MOST
    if ((much || long) && since >= CATCH_UP_MS) return this.#repair(node)
    if (this.#differ?.digest !== digest) this.#differ = { digest, since: now }
    else if (now - this.#differ.since >= DIFFER_MS && since >= syncInterval(living) * REPAIR_SHARE)
      this.#repair(node)
  }

  #repair(node: Node): void {
    this.#repairedAt = this.#env.now
    this.#repairs++
    this.#differ = undefined
    const { table } = this.#swim
    const before = table.living
    this.exchange(node, false, () => {
      if (table.living > before) this.#repairs = 0
    })
  }
}

/** The join flag in a push/pull's head, which the answer repeats. */
const isJoin = (message: Uint8Array): boolean =>
  readPushPullHead(new Reader(message, 1), NODES_MOST, STREAM_MOST)?.join ?? false
