/**
 * Serf's protocol on top of SWIM: intents to join and leave, user events, queries, and Serf's part of a push/pull.
 * Messages come in through `message` and go out through three queues.
 *
 * This file is long, because it handles many kinds of messages, each in a few lines, on the same three queues.
 */
import { type Env } from '../swim/env.ts'
import type { Entry } from '../swim/members.ts'
import { Queue } from '../swim/queue.ts'
import type { Swim } from '../swim/swim.ts'
import { type Job, SLICE, type UserState } from '../swim/sync.ts'
import type { Endpoint } from '../wire/address.ts'
import {
  FLAG_ACK,
  FLAG_NO_BROADCAST,
  type LamportTime,
  type Query,
  QUERY_MOST,
  readIntent,
  readQuery,
  readQueryResponse,
  readRelay,
  readUserEvent,
  type UserEvent,
  writeIntent,
  writeMember,
  writeQuery,
  writeQueryResponse,
  writeUserEvent,
} from '../wire/serf.ts'
import { SerfState, SerfStateWriter } from '../wire/serf-state.ts'
import { LEFT, SERF, TYPE } from '../wire/types.ts'
import { LamportClock } from './clock.ts'
import { EventBuffer, USER_EVENT_MOST } from './events.ts'
import { isForUs } from './filter.ts'
import { Intents } from './intents.ts'
import { type Answer, Queries, queryTimeout } from './queries.ts'

export type SerfHooks = {
  readonly swim: () => Swim
  /** Sends one user message directly to a node. */
  readonly send: (to: Endpoint, message: Uint8Array) => void
  readonly onUserEvent: (event: UserEvent) => void
  /** Called for a query that passed our filters; returns its response, or undefined for none. */
  readonly onQuery: (name: string, payload: Uint8Array) => Uint8Array | undefined
}

/** Limit of events held back during the first join. */
const HELD_MOST = 64

/** A queued message: a memberlist user message, copied out of its packet. */
const queued = (bytes: Uint8Array): Uint8Array => Buffer.concat([Buffer.of(TYPE.user), bytes])

export class Serf implements UserState {
  readonly #env: Env
  readonly #hooks: SerfHooks
  #clock = new LamportClock()
  #eventClock = new LamportClock()
  #queryClock = new LamportClock()
  readonly intents = new Intents()
  #events = new EventBuffer()
  readonly #queries: Queries
  /** Outgoing messages, in the order in which they fill a packet. */
  readonly queues = { intents: new Queue(), queries: new Queue(1024), events: new Queue(1024) }
  #leaving = false
  /** Events that arrive during the join. The answer to the join shows which of them are older than this node. */
  #held: UserEvent[] | undefined

  constructor(env: Env, hooks: SerfHooks) {
    this.#env = env
    this.#hooks = hooks
    this.#queries = new Queries(env)
  }

  /** The three clocks, for status. */
  get clocks(): { member: LamportTime; event: LamportTime; query: LamportTime } {
    return { member: this.#clock.time, event: this.#eventClock.time, query: this.#queryClock.time }
  }

  /** Number of queued messages. */
  get queued(): number {
    return this.queues.intents.length + this.queues.queries.length + this.queues.events.length
  }

  // incoming messages

  /** Handles a Serf user message, type octet first; false if it is malformed. */
  message(bytes: Uint8Array): boolean {
    const body = bytes.subarray(1)
    switch (bytes[0]) {
      case SERF.leave:
      case SERF.join: {
        const intent = readIntent(body)
        if (!intent || !this.#clock.witness(intent.ltime)) return false
        const leave = bytes[0] === SERF.leave
        if (this.#intent(intent.node, leave, intent.ltime, leave && intent.prune))
          this.queues.intents.push(queued(bytes))
        return true
      }
      case SERF.userEvent: {
        const event = readUserEvent(body)
        if (!event || !this.#eventClock.witness(event.ltime)) return false
        if (this.#hold(event)) return true
        if (this.#event(event)) this.queues.events.push(queued(bytes))
        return true
      }
      case SERF.query: {
        const query = readQuery(body)
        if (!query || !this.#queryClock.witness(query.ltime)) return false
        if (this.#query(query)) this.queues.queries.push(queued(bytes))
        return true
      }
      case SERF.queryResponse: {
        const response = readQueryResponse(body)
        if (response) this.#queries.answered(response)
        return response !== undefined
      }
      case SERF.relay:
        return this.#relay(body)
    }
    return false
  }

  /** Applies an intent; true if it should be passed on. */
  #intent(name: string, leave: boolean, ltime: LamportTime, prune: boolean): boolean {
    const entry = this.#hooks.swim().table.get(name)
    if (!entry) return this.intents.keep(name, leave, ltime, this.#env.now)
    if (ltime <= this.intents.timeOf(name)) return false
    if (name === this.#env.name && !this.#leaving) {
      // The leave is from before our last restart, or an operator forces us out: announce that we are here. A
      // push/pull of a member that knows such a leave shows only its time, like that of a join, and gets the same
      // reply.
      this.announce()
      return false
    }
    this.intents.take(name, leave, ltime)
    if (leave) {
      this.#hooks.swim().forget(name)
      if (prune) this.#hooks.swim().prune(name)
    }
    return true
  }

  /**
   * A peer's table shows a member as left. Its time may be that of the join before the leave, so an equal time
   * counts as newer. The time is stored unchanged: Serf adds one, but if that happened at each push/pull, it would
   * overtake the member's next join.
   */
  #leftElsewhere(name: string, ltime: LamportTime): void {
    if (name === this.#env.name) this.#intent(name, true, ltime + 1, false)
    else if (!this.intents.isLeaving(name) && ltime === this.intents.timeOf(name)) {
      this.intents.leave(name)
      this.#hooks.swim().forget(name)
    } else this.#intent(name, true, ltime, false)
  }

  /**
   * Holds back events while we join through another member. Members that hear of us early send events that are older
   * than this node; the answer to the join contains the event clock, which identifies them.
   */
  holdEvents(): void {
    this.#held ??= []
  }

  /** Delivers or drops the held events, after the join's answer was merged or failed to come. */
  releaseEvents(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const event of held)
      if (this.#event(event)) this.queues.events.push(queued(writeUserEvent(event)))
  }

  /** Holds the event back during the join; true if it did. */
  #hold(event: UserEvent): boolean {
    if (!this.#held || this.#held.length >= HELD_MOST) return false
    this.#held.push({ ...event, payload: Uint8Array.from(event.payload) })
    return true
  }

  #event(event: UserEvent): boolean {
    const news = this.#events.take(event, this.#eventClock.time)
    if (news === 'old') this.#env.stats.eventsOld++
    if (news !== 'new') return false
    this.#hooks.onUserEvent(event)
    return true
  }

  #query(query: Query): boolean {
    if (!this.#queries.isNew(query, this.#queryClock.time)) return false
    const passOn = (query.flags & FLAG_NO_BROADCAST) === 0
    const swim = this.#hooks.swim()
    if (!isForUs(query.filters, this.#env.name, swim.self.node.tags)) return passOn
    if ((query.flags & FLAG_ACK) !== 0) this.#respond(query, FLAG_ACK, new Uint8Array(0))
    const payload = this.#hooks.onQuery(query.name, query.payload)
    if (payload) this.#respond(query, 0, payload)
    return passOn
  }

  #respond(query: Query, flags: number, payload: Uint8Array): void {
    const response = { ltime: query.ltime, id: query.id, from: this.#env.name, flags, payload }
    if (query.source === this.#env.name) {
      if (flags === 0) this.#queries.answered(response)
      return
    }
    const message = writeQueryResponse(response)
    if (message.length > QUERY_MOST || query.address === '' || query.port === 0) return
    this.#hooks.send({ address: query.address, port: query.port }, message)
  }

  /** Our entry for a member whose name two nodes use: the answer to Serf's conflict query. */
  conflictAnswer(name: string): Uint8Array | undefined {
    if (name === this.#env.name) return undefined
    const entry = this.#hooks.swim().table.get(name)
    return entry && writeMember(entry.node)
  }

  /**
   * Relays a response, only to a member at its known address, so that we cannot be misused against third parties.
   */
  #relay(body: Uint8Array): boolean {
    const relay = readRelay(body)
    if (!relay) return false
    const node = this.#hooks.swim().table.get(relay.name)?.node
    if (
      node?.address === relay.address &&
      node.port === relay.port &&
      relay.message[0] === SERF.queryResponse
    ) {
      this.#hooks.send(node, relay.message)
    }
    return true
  }

  // events from SWIM

  /** A member joined, or came back. */
  joined(entry: Entry): void {
    this.intents.joined(entry.node.name)
  }

  /** A member was forgotten. */
  reaped(entry: Entry): void {
    this.intents.reaped(entry.node.name)
  }

  // our own announcements

  /**
   * Announces that we join, or that a leave intent for us is outdated. One tick is skipped: a member that learns our
   * last leave from a push/pull counts it one too high, and would treat our join as older.
   */
  announce(): void {
    this.#clock.tick()
    const ltime = this.#clock.tick()
    this.intents.take(this.#env.name, false, ltime)
    this.queues.intents.push(
      queued(writeIntent(SERF.join, { ltime, node: this.#env.name, prune: false })),
      'self',
    )
  }

  /** Announces that we leave; `done` is called when that was sent often enough. */
  leave(done: () => void): void {
    this.#leaving = true
    const ltime = this.#clock.tick()
    this.intents.take(this.#env.name, true, ltime)
    this.queues.intents.push(
      queued(writeIntent(SERF.leave, { ltime, node: this.#env.name, prune: false })),
      'self',
      done,
    )
  }

  /** Marks a failed member as left, in the whole ring; with `prune` it is forgotten at once. */
  forceLeave(name: string, prune: boolean): void {
    const ltime = this.#clock.tick()
    this.#intent(name, true, ltime, prune)
    this.queues.intents.push(queued(writeIntent(SERF.leave, { ltime, node: name, prune })))
  }

  /** Sends a user event; false if it is longer than Serf allows (512 octets encoded). */
  userEvent(name: string, payload: Uint8Array, coalesce: boolean): boolean {
    const event = { ltime: this.#eventClock.time, name, payload, coalesce }
    const bytes = writeUserEvent(event)
    if (bytes.length > USER_EVENT_MOST) return false
    this.#eventClock.tick()
    this.#event(event)
    this.queues.events.push(queued(bytes))
    return true
  }

  /** Sends a query to all members including this one; false if it is too long or too many queries are under way. */
  query(name: string, payload: Uint8Array, done: (answers: Answer[]) => void): boolean {
    const { self, table } = this.#hooks.swim()
    const query: Query = {
      ltime: this.#queryClock.time,
      id: Math.floor(this.#env.random() * 0x8000_0000),
      address: self.node.address,
      port: self.node.port,
      source: this.#env.name,
      filters: [],
      flags: 0,
      relayFactor: 0,
      timeout: queryTimeout(table.living),
      name,
      payload,
    }
    const bytes = writeQuery(query)
    if (bytes.length > QUERY_MOST || !this.#queries.free) return false
    this.#queryClock.tick()
    this.#queries.collect(query, table.living, done)
    this.queues.queries.push(queued(bytes))
    this.#query(query)
    return true
  }

  /** Ends all queries under way. */
  close(): void {
    this.#queries.close()
  }

  // Serf's part of a push/pull

  write(entries: readonly Entry[], done: (bytes: Uint8Array) => void): Job {
    const left = entries.filter(entry => entry.state === LEFT).map(entry => entry.node.name)
    const w = new SerfStateWriter(this.clocks, this.#events.groups(), left, entries.length)
    let at = 0
    return {
      step: () => {
        const end = Math.min(entries.length, at + SLICE)
        for (; at < end; at++) {
          const { name } = entries[at]!.node
          w.member(name, this.intents.timeOf(name))
        }
        if (at < entries.length) return false
        done(w.done())
        return true
      },
    }
  }

  merge(bytes: Uint8Array, join: boolean, done: () => void): Job {
    const state = new SerfState(bytes)
    if (!state.ok) {
      this.#env.stats.malformed++
      done()
      return { step: () => true }
    }
    // no message with the peer's current time has been sent yet
    this.#clock.witness(state.ltime - 1)
    this.#eventClock.witness(state.eventTime - 1)
    this.#queryClock.witness(state.queryTime - 1)
    if (join) this.#events.ignoreBefore(state.eventTime)
    const left = new Set(state.left)
    return {
      step: () => {
        const members = state.members(SLICE)
        for (const [name, ltime] of members) {
          // If our clock were behind a time in our table, other members would treat our next join as older than
          // that.
          if (!this.#clock.witness(ltime)) continue
          if (left.has(name)) this.#leftElsewhere(name, ltime)
          else this.#intent(name, false, ltime, false)
        }
        if (members.length > 0) return false
        for (const event of state.events)
          if (this.#eventClock.witness(event.ltime)) this.#event(event)
        done()
        return true
      },
    }
  }
}
