/**
 * Publishes local zones from the leading master's state. It runs the subscription, applies its events, and publishes
 * `dcos.thisdcos.directory` as patches, and copies of other zones from the same state (the Mesos-DNS zone) less often.
 * After a failed load, the published zones stay.
 *
 * This file is long, because loads, events, holds and publishing take turns on one state, and each turn must end
 * whole.
 */
import { messageOf } from '../../base/error.ts'
import { growFreely } from '../../base/heap.ts'
import type { Log } from '../../base/log.ts'
import type { Http } from '../../http/client.ts'
import { TTL, type ZoneChange } from '../../boundary/zone.ts'
import { holdAfterEvents, holdAfterLoad, holdEnd, missingAgents, type Hold } from './hold.ts'
import { emptyState, type MesosState } from './model.ts'
import type { MesosEvent } from './operator-api.ts'
import { Pace } from '../../base/pace.ts'
import { joinChanged, reduce, unchanged, type Changed, type Known } from './reducer.ts'
import { inOneGo, inSteps } from '../dcos-names/steps.ts'
import type { SubscriptionCounts } from './master-counts.ts'
import { Subscription, type SubscriptionState } from './subscription.ts'
import { TaskZone } from '../dcos-names/task-zone.ts'

/** Another zone from the same state: `mesos.thisdcos.directory`. */
export type ZoneCopy = {
  readonly apex: string
  /**
   * The changes since the last call, computed in steps; the whole zone at the first call. `changed` is what changed
   * in the state.
   */
  readonly change: (state: MesosState, changed: Changed) => Generator<void, ZoneChange>
  /** Shortest interval of two copies; a change waits at most this long. */
  readonly everyMs: number
}

export type MesosSourceOptions = {
  readonly http: Http
  readonly log: Log
  /** Base URLs of the masters to ask, preferred ones first: 'http://10.0.0.5:5050'. */
  readonly bases: () => readonly string[]
  /** Base URL of the master that ZooKeeper says leads; '' while it says nothing. */
  readonly leader?: () => string
  /** Addresses for `master.dcos.thisdcos.directory`. */
  readonly masters: () => readonly string[]
  /** True follows redirects to the leader; false publishes only while the asked master itself leads. */
  readonly follow: boolean
  readonly onZone: (apex: string, change: ZoneChange) => void
  readonly copies?: readonly ZoneCopy[]
  readonly apex?: string
  /** Milliseconds, monotonic. */
  readonly now: () => number
  readonly random: () => number
  /** Shortest interval of two publications while many events arrive. */
  readonly paceMs?: number
  readonly pollMs?: number
  readonly minMs?: number
  readonly maxMs?: number
  readonly deadlineMs?: number
  readonly maxBytes?: number
  readonly silenceMs?: (heartbeatMs: number) => number
}

export type MesosStatus = {
  readonly state: SubscriptionState
  /** Base URL of the last asked master. */
  readonly master: string
  readonly leader: string
  /** Whether the leader is being streamed or polled successfully. */
  readonly hearing: boolean
  /** The last error, '' after a success. */
  readonly trouble: string
  /** Agents that have not registered with a new leader, and how long they are still waited for. */
  readonly missingAgents: number
  readonly holdMs: number
  readonly tasks: number
  readonly frameworks: number
  readonly agents: number
  readonly names: number
  readonly counts: SubscriptionCounts
  /** The same by the base URL of each master. */
  readonly masters: ReadonlyMap<string, Readonly<SubscriptionCounts>>
  /** Failovers whose new leader had to be waited for, until its agents were back. */
  readonly holds: number
}

export const DCOS_APEX = 'dcos.thisdcos.directory'

type CopyEntry = {
  readonly copy: ZoneCopy
  readonly pace: Pace
  stale: boolean
  /** Changes of the state since the last copy. */
  changed: Changed
}

/** More events than this are applied before the next publication. */
const MAX_PENDING = 5_000
/**
 * Interval of two publications. dcos-net uses a second. A patch of a few names takes about a millisecond here, so
 * even with many events each one is served soon.
 */
const PACE_MS = 25
/** Interval of two reductions: events that change no names, mostly of health, may come at any rate. */
const REDUCE_MS = 20

export class MesosSource {
  readonly #options: MesosSourceOptions
  readonly #subscription: Subscription
  readonly #zone: TaskZone
  readonly #apex: string
  readonly #pace: Pace
  readonly #reducing = new Pace(REDUCE_MS)
  readonly #copies: CopyEntry[]
  #known: Known = { state: emptyState, recovered: new Set() }
  #pending: MesosEvent[] = []
  #hold: Hold | undefined
  #holds = 0
  /** Whether the whole zone has been published; only then can it be patched. */
  #published = false
  /** Whether there are changes that are not published. */
  #dirty = false
  #hearing = false
  /** The leader that was logged last. */
  #leader = ''
  #timer: NodeJS.Timeout | undefined
  /** Pending while a load is processed in steps; other work waits for it. */
  #loading: Promise<void> | undefined
  #closed = false
  readonly #ended = (): boolean => this.#closed

  constructor(options: MesosSourceOptions) {
    this.#options = options
    this.#apex = options.apex ?? DCOS_APEX
    this.#zone = new TaskZone(this.#apex, TTL)
    this.#pace = new Pace(options.paceMs ?? PACE_MS)
    this.#copies = (options.copies ?? []).map(copy => ({
      copy,
      pace: new Pace(copy.everyMs),
      stale: false,
      changed: unchanged,
    }))
    this.#subscription = new Subscription({
      ...options,
      masters: options.bases,
      onEvents: events => this.#take(events),
      onLeading: hearing => (this.#hearing = hearing),
    })
  }

  start(): void {
    this.#subscription.start()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#subscription.close()
    await this.#loading
  }

  /** Another master is said to lead: it is asked at once. */
  leaderChanged(): void {
    this.#subscription.restart()
  }

  /** The list of masters is another one: their names follow. */
  mastersChanged(): void {
    this.#dirty = true
    for (const entry of this.#copies) entry.stale = true
    this.#turn()
  }

  /** The state after the last event. */
  get state(): MesosState {
    return this.#known.state
  }

  get status(): MesosStatus {
    const { state, base, trouble } = this.#subscription.status
    const known = this.#known.state
    return {
      state,
      master: base,
      leader: known.leader,
      hearing: this.#hearing,
      trouble,
      missingAgents: this.#known.recovered.size,
      holdMs: this.#hold ? Math.max(0, holdEnd(this.#hold) - this.#options.now()) : 0,
      tasks: known.tasks.size,
      frameworks: known.frameworks.size,
      agents: known.agents.size,
      names: this.#zone.size,
      counts: this.#subscription.counts,
      masters: this.#subscription.masters,
      holds: this.#holds,
    }
  }

  #take(events: readonly MesosEvent[]): void {
    for (const event of events) this.#pending.push(event)
    this.#turn()
  }

  /** Does what is due, and sets the timer for the rest. */
  #turn(): void {
    if (this.#closed || this.#loading) return
    const now = this.#options.now()
    if (this.#hold && now >= holdEnd(this.#hold)) this.#endHold()
    const wait = this.#wait(now)
    if (wait === 0 || this.#pending.length > MAX_PENDING) {
      const loaded = this.#reduce(now)
      if (loaded) return this.#workOff(this.#load(loaded, now))
    }
    if (wait === 0) this.#publish(now)
    // In steps, because a copy of the whole zone takes long.
    if (this.#copies.some(entry => entry.changed.all && this.#due(entry, now)))
      return this.#workOff(this.#copyInSteps(now))
    for (const entry of this.#copies)
      if (this.#due(entry, now)) this.#copied(entry, inOneGo(this.#copy(entry, now)))
    clearTimeout(this.#timer)
    const next = this.#next(now)
    if (next < Infinity) this.#timer = setTimeout(() => this.#turn(), next)
  }

  #workOff(work: Promise<void>): void {
    this.#loading = work
      .catch((er: unknown) => {
        this.#options.log.error('a state cannot be made zones of', { err: messageOf(er) })
        // a partial update must not be published; the old zone stays
        this.#dirty = false
      })
      .then(() => {
        this.#loading = undefined
        this.#turn()
      })
  }

  /** Milliseconds until something is due; Infinity if nothing is waiting. */
  #next(now: number): number {
    let next = Infinity
    if (this.#hold) next = Math.max(1, holdEnd(this.#hold) - now)
    const due = this.#dirty && this.#loaded && !this.#waiting
    if (due || this.#pending.length > 0) next = Math.min(next, this.#wait(now))
    if (this.#hold || !this.#loaded) return next
    for (const { pace, stale } of this.#copies) if (stale) next = Math.min(next, pace.wait(now))
    return next
  }

  #wait(now: number): number {
    return Math.max(this.#pace.wait(now), this.#reducing.wait(now))
  }

  /** True on hold before anything was published: other masters may still serve the previous leader's data. */
  get #waiting(): boolean {
    return this.#hold !== undefined && !this.#published
  }

  get #loaded(): boolean {
    return this.#known.state !== emptyState
  }

  /** Applies the waiting events to the state and, except for a load, to the zone; returns a load. */
  #reduce(now: number): Changed | undefined {
    if (this.#pending.length === 0) return undefined
    const events = this.#pending
    this.#pending = []
    this.#reducing.done(now)
    const before = this.#known
    const { state, recovered: reported, changed } = reduce(before, events)
    const recovered = changed.all
      ? missingAgents(reported, before.state.agents, state.agents)
      : reported
    this.#known = { state, recovered }
    this.#holdAfter(changed.all, now)
    this.#dirty = true
    for (const entry of this.#copies) {
      entry.stale = true
      entry.changed = joinChanged(entry.changed, changed)
    }
    if (!changed.all) this.#zone.update(state, changed, this.#hold !== undefined)
    return changed.all ? changed : undefined
  }

  /** Converts a whole state to zones, step by step. */
  async #load(changed: Changed, now: number): Promise<void> {
    const { state } = this.#known
    const asBefore = growFreely()
    try {
      await inSteps(this.#zone.updating(state, changed, this.#hold !== undefined), this.#ended)
      if (this.#closed) return
      this.#publish(now)
      await this.#copyInSteps(now)
    } finally {
      asBefore()
    }
  }

  async #copyInSteps(now: number): Promise<void> {
    for (const entry of this.#copies) {
      if (!this.#due(entry, now)) continue
      const change = await inSteps(this.#copy(entry, now), this.#ended)
      if (change && !this.#closed) this.#copied(entry, change)
    }
  }

  #holdAfter(loaded: boolean, now: number): void {
    const { recovered, state } = this.#known
    if (this.#hold) this.#hold = holdAfterEvents(this.#hold, recovered, now)
    else if (loaded) {
      this.#hold = holdAfterLoad(recovered, now)
      const { log } = this.#options
      const fields = { leader: state.leader, tasks: state.tasks.size, agents: state.agents.size }
      if (this.#hold) {
        this.#holds++
        log.warn('the Mesos leader waits for its agents', { ...fields, missing: recovered.size })
      } else if (state.leader !== this.#leader)
        log.info('the state of a Mesos leader is loaded', fields)
      this.#leader = state.leader
    }
  }

  #endHold(): void {
    const { recovered } = this.#known
    this.#options.log.info('the wait for Mesos agents is over', { missing: recovered.size })
    this.#hold = undefined
    this.#known = { state: this.#known.state, recovered: new Set() }
    this.#zone.release()
    this.#dirty = true
    for (const entry of this.#copies) entry.stale = true
  }

  #publish(now: number): void {
    if (!this.#dirty || this.#waiting || !this.#loaded) return
    this.#dirty = false
    this.#zone.masters(this.#known.state, this.#options.masters())
    if (!this.#published) {
      this.#published = true
      this.#pace.done(now)
      this.#options.onZone(this.#apex, { kind: 'full', zone: this.#zone.zone(), live: true })
      return
    }
    const { set, drop } = this.#zone.take()
    if (set.length === 0 && drop.length === 0) return
    this.#pace.done(now)
    this.#options.onZone(this.#apex, { kind: 'patch', set, drop, of: this.#zone.live })
  }

  /** Not while the state is known to be incomplete. */
  #due({ stale, pace }: CopyEntry, now: number): boolean {
    return stale && !this.#hold && this.#loaded && pace.wait(now) === 0
  }

  *#copy(entry: CopyEntry, now: number): Generator<void, ZoneChange | undefined> {
    const { changed, copy } = entry
    entry.stale = false
    entry.changed = unchanged
    entry.pace.done(now)
    try {
      return yield* copy.change(this.#known.state, changed)
    } catch (er) {
      this.#options.log.error('a copy of a zone cannot be made', {
        zone: copy.apex,
        err: messageOf(er),
      })
      // the next copy must include what this one missed
      entry.changed = { ...changed, all: true }
      return undefined
    }
  }

  #copied({ copy }: CopyEntry, change: ZoneChange | undefined): void {
    if (change && (change.kind === 'full' || change.set.length + change.drop.length > 0))
      this.#options.onZone(copy.apex, change)
  }
}
