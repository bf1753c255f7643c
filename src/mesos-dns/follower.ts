/**
 * Follows the leading master: its stream of events where it has one for us,
 * its `/state` every refresh where not. What comes out is a state and whether
 * it is whole; a failed load brings nothing, so what is served stays.
 */
import type { Milliseconds } from '../boundary/messages.ts'
import type { Http } from '../http/client.ts'
import {
  holdAfterEvents,
  holdAfterLoad,
  holdEnd,
  missingAgents,
  type Hold,
} from '../mesos/api/hold.ts'
import { emptyState, type MesosState } from '../mesos/api/model.ts'
import type { MesosEvent } from '../mesos/api/operator-api.ts'
import { Pace } from '../base/pace.ts'
import { reduce, type Known } from '../mesos/api/reducer.ts'
import type { SubscriptionCounts } from '../mesos/api/master-counts.ts'
import { Subscription, type SubscriptionState } from '../mesos/api/subscription.ts'
import type { Log } from '../base/log.ts'
import { Recovery } from './recovery.ts'

export type FollowerOptions = {
  readonly http: Http
  readonly log: Log
  /** Base URLs of the masters, the presumed leader first. */
  readonly bases: () => readonly string[]
  /** Base URL of the master that ZooKeeper says leads; '' while it says nothing. */
  readonly leader?: () => string
  /** Between two polls. */
  readonly refreshMs: Milliseconds
  readonly deadlineMs: Milliseconds
  /** Waits between rounds of masters that give nothing; see below. */
  readonly minMs?: Milliseconds
  readonly maxMs?: Milliseconds
  /** Milliseconds, monotonic. */
  readonly now: () => number
  readonly random: () => number
  /**
   * `whole` is false while agents of a new leader are missing that nothing is
   * known of. `touched` are the tasks that may make other records than in the
   * state before; undefined is any of them.
   */
  readonly onState: (
    state: MesosState,
    whole: boolean,
    touched: ReadonlySet<string> | undefined,
  ) => void
}

/** A leader that is gone has a successor within seconds, and `leader` must follow it. */
const MIN_MS = 250
const MAX_MS = 10_000
/** A storm of events is worked off this often, a millisecond or two each; the first of a calm at once. */
const PACE_MS = 25

/** Follows until it is closed. */
export class Follower {
  readonly #options: FollowerOptions
  readonly #pace = new Pace(PACE_MS)
  readonly #recovery = new Recovery()
  readonly #subscription: Subscription
  #known: Known = { state: emptyState, recovered: new Set() }
  /** As it was given out last. */
  #given: MesosState = emptyState
  #hold: Hold | undefined
  #holds = 0
  #pending: MesosEvent[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: FollowerOptions) {
    this.#options = options
    this.#subscription = this.#subscribe()
  }

  start(): void {
    this.#subscription.start()
  }

  /** Another master is said to lead: it is asked at once. */
  leaderChanged(): void {
    this.#subscription.restart()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#subscription.close()
  }

  get status(): {
    readonly state: SubscriptionState
    readonly base: string
    readonly trouble: string
    readonly counts: SubscriptionCounts
    readonly masters: ReadonlyMap<string, Readonly<SubscriptionCounts>>
    readonly missingAgents: number
    readonly holds: number
  } {
    return {
      ...this.#subscription.status,
      counts: this.#subscription.counts,
      masters: this.#subscription.masters,
      missingAgents: this.#known.recovered.size,
      holds: this.#holds,
    }
  }

  #subscribe(): Subscription {
    const { bases, refreshMs, ...rest } = this.#options
    return new Subscription({
      minMs: MIN_MS,
      maxMs: MAX_MS,
      ...rest,
      masters: bases,
      follow: true,
      pollMs: refreshMs,
      onEvents: events => this.#take(events),
    })
  }

  #take(events: readonly MesosEvent[]): void {
    for (const event of events) this.#pending.push(event)
    this.#turn()
  }

  /** Does what is due, and sets the timer for what is not. */
  #turn(): void {
    if (this.#closed) return
    const now = this.#options.now()
    if (this.#pace.wait(now) === 0) this.#work(now)
    clearTimeout(this.#timer)
    const next = Math.min(
      this.#pending.length > 0 ? this.#pace.wait(now) : Infinity,
      this.#hold ? Math.max(1, holdEnd(this.#hold) - now) : Infinity,
    )
    if (next < Infinity) this.#timer = setTimeout(() => this.#turn(), next)
  }

  #work(now: number): void {
    const held = this.#hold !== undefined
    const over = this.#hold !== undefined && now >= holdEnd(this.#hold)
    if (over) this.#endHold()
    if (this.#pending.length === 0 && !over) return
    this.#pace.done(now)
    const events = this.#pending
    this.#pending = []
    const { state, recovered: told, changed } = reduce(this.#known, events)
    const recovered = changed.all ? missingAgents(told, this.#given.agents, state.agents) : told
    this.#known = { state, recovered }
    if (this.#hold) this.#hold = holdAfterEvents(this.#hold, recovered, now)
    else if (changed.all) this.#hold = holdAfterLoad(recovered, now)
    if (changed.all && this.#hold) {
      if (!held) this.#holds++
      this.#options.log.warn('the leading master waits for its agents', {
        leader: state.leader,
        missing: recovered.size,
      })
      this.#recovery.begin(this.#given, recovered)
    }
    // an agent that we know is not missed: its names are as they were
    const unknown = [...recovered].some(id => !this.#given.agents.has(id))
    this.#given = this.#hold ? this.#recovery.over(state) : state
    // what a hold kept is in no event
    const touched = held || this.#hold || changed.all ? undefined : changed.tasks
    this.#options.onState(this.#given, this.#hold === undefined || !unknown, touched)
  }

  #endHold(): void {
    this.#options.log.info('the wait for agents is over', { missing: this.#known.recovered.size })
    this.#hold = undefined
    this.#recovery.end()
    this.#known = { state: this.#known.state, recovered: new Set() }
  }
}
