/**
 * One member of the ring as a pure state machine. Inputs are packets, pieces of streams, ticks and commands; outputs
 * are packets and streams to send. It reads no clock and opens no socket, so the daemon (ring.ts), the tests and a
 * simulation of thousands of members run the same code.
 *
 * After each input, `take()` returns what the driver must do, and `nextMs()` when to call `tick`.
 *
 * This file is long, because it passes every input to the part of the protocol that it belongs to, and collects what
 * all of them send.
 */
import type { CoreOptions, Effect } from './core-options.ts'
import { assembled, type Parts } from './parts.ts'
import type { Member } from './rider.ts'
import { Aside } from './serf/aside.ts'
import {
  KEY_QUERIES,
  type KeyOperation,
  keyRequest,
  type KeyResult,
  keyResult,
} from './serf/keys.ts'
import { type Tags, writeTags } from './serf/tags.ts'
import { type Env, newStats, type RingStats } from './swim/env.ts'
import { memberOf } from './swim/members.ts'
import type { Job } from './swim/sync.ts'
import { Timers } from './swim/timers.ts'
import type { Endpoint } from './wire/address.ts'
import { ALIVE, DEAD, LEFT, SUSPECT } from './wire/types.ts'

export type { CoreOptions, Effect, RingEvent } from './core-options.ts'

/** If a tick comes this much later than requested, our own event loop was blocked. */
const STALL_MS = 200
/** Slices of work in one tick: about a millisecond, so that packets are read between two ticks. */
const SLICES = 1
/** How long we go on answering pings after the goodbye was sent. */
const LINGER_MS = 500
/** Limit of the time for saying goodbye: less than the 2 s that the daemon gives its parts to close. */
const LEAVE_MS = 1_800
/** Through how many members we come back after we stepped aside. */
const RETURN_THROUGH = 3

export class RingCore {
  readonly name: string
  readonly stats: RingStats = newStats()
  readonly #env: Env
  readonly #timers = new Timers()
  readonly #parts: Parts
  readonly #onEvent: CoreOptions['onEvent']
  /** Set while the ring keeps another node with our name; everything else stands still meanwhile. */
  #aside: Aside | undefined
  /** Ends the goodbye that is being said. */
  #goodbye: (() => void) | undefined
  #effects: Effect[] = []
  #jobs: Job[] = []
  #closed = false

  constructor(options: CoreOptions) {
    this.name = options.name
    this.#onEvent = options.onEvent
    const { now, random, log } = options
    this.#env = { name: options.name, now, random, timers: this.#timers, stats: this.stats, log }
    this.#parts = assembled(options, this.#env, {
      effect: effect => this.#effects.push(effect),
      work: job => this.#jobs.push(job),
      outvoted: other => this.#stepAside(other),
    })
  }

  // inputs

  /** Begins to probe members and to look for other members. */
  start(now: number): void {
    this.#enter(now)
    this.#parts.swim.start()
    this.#parts.prober.start()
    this.#parts.syncs.start()
    this.#parts.rejoin.start()
    this.#parts.rounds.start()
    this.#leaveOff()
  }

  /** A datagram arrived. It may hold any bytes; the buffer may be reused after the call. */
  packet(bytes: Uint8Array, from: Endpoint, now: number): void {
    if (this.#closed) return
    this.#enter(now)
    this.stats.packetsIn++
    this.stats.bytesIn += bytes.length
    const messages = this.#parts.post.unpack(bytes)
    if (messages === 'refused') this.stats.refused++
    else if (messages === 'malformed') this.stats.malformed++
    else if (this.#aside) this.#aside.heard(messages)
    else {
      this.#parts.inbox.packet(messages, from)
      this.#parts.prober.early()
    }
    this.#leaveOff()
  }

  /** A peer opened a stream to us. The driver chooses `id`, a negative number. */
  streamAccepted(id: number, from: Endpoint, now: number): void {
    this.#enter(now)
    if (this.#closed || this.#aside) this.#effects.push({ do: 'close', id })
    else this.#parts.streams.accepted(id, from)
  }

  /** Bytes arrived on a stream. They are copied. */
  streamData(id: number, bytes: Uint8Array, now: number): void {
    if (this.#aside) return
    this.#enter(now)
    this.#parts.streams.data(id, bytes)
    this.#leaveOff()
  }

  /** The peer ended its side of the stream. */
  streamEnded(id: number, now: number): void {
    if (this.#aside) return
    this.#enter(now)
    this.#parts.streams.ended(id)
    this.#leaveOff()
  }

  /** The stream failed to open, or broke. */
  streamFailed(id: number, now: number): void {
    if (this.#aside) return
    this.#enter(now)
    this.#parts.streams.failed(id)
    this.#leaveOff()
  }

  /** Runs what is due at `now`, and continues work that is done in slices. */
  tick(now: number): void {
    if (this.#closed) return
    if (this.#aside?.tick(now)) this.#return(now)
    if (this.#aside) return
    this.#enter(now)
    this.#timers.run(now)
    for (let i = 0; i < SLICES && this.#jobs.length > 0; i++) {
      if (this.#jobs[0]!.step()) this.#jobs.shift()
    }
    this.#leaveOff()
  }

  /** Our event loop was blocked for `ms`: all deadlines of other members are extended by that time. */
  delayed(ms: number, now: number): void {
    this.#enter(now)
    this.#stalled(ms)
  }

  /** Milliseconds on the clock of `now` at which `tick` must be called; immediately while there is work. */
  nextMs(): number {
    if (this.#closed) return Infinity
    if (this.#aside) return this.#aside.nextMs
    if (this.#jobs.length > 0) return this.#env.now
    return Math.min(this.#timers.next(), this.#parts.transport.nextMs)
  }

  /** What the driver must do since the last call. */
  take(): Effect[] {
    const effects = this.#effects
    if (effects.length > 0) this.#effects = []
    return effects
  }

  // commands

  /** Joins through these addresses; `done` gets how many of them answered with their table. */
  join(addresses: readonly Endpoint[], now: number, done: (joined: number) => void): void {
    if (this.#aside) return done(0)
    this.#enter(now)
    this.#parts.rejoin.join(addresses, done)
  }

  /**
   * Says goodbye. Calls `done` when the message has spread and pings were answered for a little longer. A node that has
   * stepped aside says none, because it would be taken for that of the node that has its name.
   */
  leave(now: number, done: () => void): void {
    if (this.#aside) return done()
    this.#enter(now)
    let open = 2
    let over = false
    const end = (): void => {
      if (over) return
      over = true
      done()
    }
    const sent = (): void => {
      if (--open === 0) this.#timers.at(this.#env.now + LINGER_MS, end)
    }
    this.#parts.prober.stop()
    this.#parts.syncs.leave()
    this.#parts.rejoin.leave()
    this.#parts.rounds.leave()
    this.#parts.serf.leave(sent)
    this.#parts.swim.leave(sent)
    this.#timers.at(this.#env.now + LEAVE_MS, end)
    this.#goodbye = end
    this.#leaveOff()
  }

  /** Marks a failed member as left, in the whole ring; with `prune` it is forgotten at once. */
  forceLeave(name: string, prune: boolean, now: number): void {
    if (this.#aside) return
    this.#enter(now)
    this.#parts.serf.forceLeave(name, prune)
    this.#leaveOff()
  }

  /** Changes our tags and announces them; false if they take more than 512 octets. */
  setTags(tags: Tags, now: number): boolean {
    this.#enter(now)
    const meta = writeTags(tags)
    if (meta) this.#parts.swim.update({ ...this.#parts.swim.self.node, meta })
    this.#leaveOff()
    return meta !== undefined
  }

  /** Sends a user event; false if it takes more than 512 octets encoded, or we have stepped aside. */
  userEvent(name: string, payload: Uint8Array, coalesce: boolean, now: number): boolean {
    if (this.#aside) return false
    this.#enter(now)
    const sent = this.#parts.serf.userEvent(name, payload, coalesce)
    this.#leaveOff()
    return sent
  }

  /**
   * Runs a key operation on all members; false if the key is invalid, too many queries are under way, or we have
   * stepped aside.
   */
  keys(
    operation: KeyOperation,
    key: string,
    now: number,
    done: (result: KeyResult) => void,
  ): boolean {
    if (this.#aside) return false
    this.#enter(now)
    const payload = keyRequest(operation, key)
    const members = this.#parts.swim.table.living
    const asked =
      payload !== undefined &&
      this.#parts.serf.query(KEY_QUERIES[operation], payload, answers =>
        done(keyResult(answers, members)),
      )
    this.#leaveOff()
    return asked
  }

  /** Stops without a goodbye. */
  close(): void {
    this.#parts.streams.close()
    this.#parts.serf.close()
    this.#timers.clear()
    this.#jobs = []
    this.#closed = true
  }

  // state

  get member(): Member {
    return memberOf(this.#parts.swim.self)
  }

  /** One member, or undefined. */
  memberNamed(name: string): Member | undefined {
    const entry = this.#parts.swim.table.get(name)
    return entry && memberOf(entry)
  }

  *members(): IterableIterator<Member> {
    for (const entry of this.#parts.swim.table) yield memberOf(entry)
  }

  /** Members by state. The counts are kept up to date, so this is cheap. */
  counts(): { alive: number; suspect: number; dead: number; left: number } {
    const { table } = this.#parts.swim
    return {
      alive: table.count(ALIVE),
      suspect: table.count(SUSPECT),
      dead: table.count(DEAD),
      left: table.count(LEFT),
    }
  }

  /** Equal on two members whose tables hold the same living members. */
  get digest(): number {
    return this.#parts.swim.table.digest
  }

  /** Our own health (0 is good), queued messages, open streams, and Serf's clocks. */
  status(): {
    health: number
    queued: number
    streams: number
    clocks: { member: number; event: number; query: number }
    joined: boolean
  } {
    return {
      health: this.#parts.health.score,
      queued: this.#parts.post.queued,
      streams: this.#parts.streams.count,
      clocks: this.#parts.serf.clocks,
      joined: this.#parts.syncs.joined,
    }
  }

  // internals

  /**
   * The ring keeps the node at `other`, which has our name: from now on we only watch that one. Work in slices is ended
   * first, because nobody would go on with it.
   */
  #stepAside(other: Endpoint): void {
    for (let job = this.#jobs.shift(); job; job = this.#jobs.shift()) while (!job.step());
    const { post } = this.#parts
    const { name, now, random } = this.#env
    this.#aside = new Aside({
      ...{ name, other, now, random, source: post.source() },
      members: most => this.#livingMembers(most),
      send: (to, message) => post.send(to, undefined, [message]),
    })
    this.#onEvent({ type: 'outvoted', other })
  }

  /**
   * The other node with our name is gone, and we take part again. Our timers are late by the whole time aside, which
   * counts as a stall of our own: no member is accused of silence because of it. The update has a new incarnation, so
   * that it wins against what is known under our name.
   */
  #return(now: number): void {
    this.#aside = undefined
    this.#enter(now)
    const { rejoin, swim } = this.#parts
    swim.update(swim.self.node)
    rejoin.join(this.#livingMembers(RETURN_THROUGH), () => {})
    this.#onEvent({ type: 'returned' })
  }

  #livingMembers(most: number): readonly Endpoint[] {
    return this.#parts.swim.table
      .some(most, this.#env.random, ({ state, node }) => state === ALIVE && node.name !== this.name)
      .map(({ node }) => node)
  }

  #enter(now: number): void {
    if (this.#aside) return
    const late = now - this.#timers.next()
    this.#env.now = Math.max(now, this.#env.now)
    if (late > STALL_MS && this.#jobs.length === 0) this.#stalled(late)
  }

  #stalled(ms: number): void {
    this.stats.stalls++
    this.#timers.shift(ms)
    this.#parts.swim.shift(ms)
    this.#parts.transport.shift(ms)
    this.#parts.health.change(Math.min(3, Math.ceil(ms / 1000)))
  }

  #leaveOff(): void {
    if (this.#closed || this.#aside) return
    // If the last other member has left, too, there is nobody to say goodbye to.
    if (this.#goodbye && this.#parts.swim.table.living === 0) {
      this.#timers.at(this.#env.now, this.#goodbye)
      this.#goodbye = undefined
    }
    this.#parts.transport.poll()
    this.#parts.rounds.arm()
  }
}
