/**
 * Decides when push/pulls happen, and how many at a time: periodically with a random member, skipped when digests
 * show equal tables, and sooner when they show a difference. sync.ts performs one.
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

/** Limit of simultaneous push/pulls, in both directions together (Consul saw 3,000 pile up). */
const SYNCS_MOST = 4
/**
 * Limits of peers that wait for their turn, and of the octets of their tables. Peers wait because a serf that is
 * refused at its start exits.
 */
const WAITING_MOST = 32
const WAITING_BYTES = 8 * 1024 * 1024
/**
 * A joiner that cannot wait gets a part of our table instead, and continues through those members. If it were
 * refused, it would know no other address and be alone for seconds when many nodes start with one seed. The numbers
 * limit such answers at a time, and the size of a table that gets one.
 */
const SHORT_MOST = 512
const SHORT_BYTES = 4_096
/** The first periodic push/pull happens within this time. */
const FIRST_MS = 30_000
/** If tables differ for this long while ours does not change, the difference is not news on its way. */
const DIFFER_MS = 3_000
/**
 * Shortest time between push/pulls because of a difference, as a share of the usual interval, and because we know
 * far fewer members. Each push/pull that does not bring equality doubles it: some differences stay, such as two
 * nodes with one name.
 */
const REPAIR_SHARE = 0.1
const CATCH_UP_MS = 1_000
const DOUBLINGS_MOST = 5
/**
 * If all digests show more members than we know for this long, we missed news that will not come again. After this
 * many repairs without success the difference is treated as permanent.
 */
const BEHIND_MS = 1_000
const HOPES_MOST = 4
/**
 * A joiner asks a second member after this time and a random delay, because it may have missed news of others that
 * joined with it.
 */
const SECOND_LOOK_MS = 2_000
/** After this many push/pulls were skipped because of equal digests, one is done anyway. */
const TRUST_MOST = 10

export type SyncHooks = {
  readonly work: (job: Job) => void
  /** Writes to a stream that a peer opened, and ends it; without bytes, closes it. */
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
  /** Our table's digest when a peer's differed from it, and since when it differs. */
  #differ: { readonly digest: number; readonly since: number } | undefined
  #repairedAt = -Infinity
  /** Repairs in a row that brought neither equality nor new members. */
  #repairs = 0
  /** Since when every digest has shown more members than we know. */
  #behindSince = Infinity
  /** Equal digests in a row. */
  #equal = 0
  #saved = 0
  /** Whether any member ever answered a push/pull or asked us for one. */
  joined = false

  constructor(env: Env, swim: Swim, serf: Serf, post: Post, streams: Streams, hooks: SyncHooks) {
    this.#env = env
    this.#swim = swim
    this.#serf = serf
    this.#post = post
    this.#streams = streams
    this.#hooks = hooks
  }

  /** Begins the periodic push/pulls at a random moment. */
  start(): void {
    const env = this.#env
    env.timers.at(env.now + env.random() * FIRST_MS, () => this.#round())
  }

  /** Starts no more push/pulls, because this node leaves. */
  leave(): void {
    this.#leaving = true
  }

  /** Exchanges whole tables with a member; `done` gets whether it answered with a valid table. */
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

  /** A peer sent its table on a stream: it gets ours, then its table is merged. */
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

  /** Sends our table, or these members of it, then merges the peer's. */
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

  /** A push/pull is over; the next waiting one may begin. */
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

  /** After a join: asks a second member soon, unless a digest shows that nothing is missing. */
  lookAgain(): void {
    const env = this.#env
    this.#equal = 0
    env.timers.at(env.now + SECOND_LOOK_MS * (1 + env.random()), () => {
      const entry = this.#leaving || this.#equal > 0 ? undefined : this.#somebody()
      if (entry) this.exchange(entry.node, false, () => {})
    })
  }

  /** A capable member's digest arrived with its ping or ack. Schedules a repair if the tables differ. */
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
    // a joiner that starts among many others learns most of the members here
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

/** The join flag in the head of a push/pull; the answer repeats it. */
const isJoin = (message: Uint8Array): boolean =>
  readPushPullHead(new Reader(message, 1), NODES_MOST, STREAM_MOST)?.join ?? false
