/**
 * Names that others answer for. A question that is in flight already is
 * joined; else upstreams are asked, and what they say is stored and given to
 * everybody who waits.
 *
 *     in flight over this route? ──▶ wait for it        flights, waiting
 *     a refresh failed lately? ────▶ stand-in           stale
 *     ask upstreams ─┬ answer ─────▶ store, give        launch, prepare
 *                    ├ alias only ─▶ ask for its target, give both   unfinished, chain
 *                    ├ too late ───▶ stand-in           stale
 *                    └ failure ────▶ copy of the zone, stand-in, or say why and remember it   failures
 *
 * A flight belongs to the route it was launched over. If that has changed when
 * the answer comes, those who wait get it and nothing is stored.
 */
import { SLOT } from '../../boundary/counters.ts'
import { Entry, FAILURE, keyBits, POSITIVE, type FillMeta } from '../cache/entry.ts'
import { FRESH, STALE } from '../cache/validity.ts'
import { failureEntry, keep, metaOf } from '../forward/entries.ts'
import { keepFailure, type Reason } from '../forward/failures.ts'
import { Flight, type FlightOwner } from '../forward/flight.ts'
import { Flights } from '../forward/flights.ts'
import { launch } from '../forward/launch.ts'
import { questionOf } from '../forward/prefetch.ts'
import { kindOf, prepare } from '../forward/prepare.ts'
import type { Question } from '../forward/query.ts'
import type { Outcome, RaceContext } from '../forward/race.ts'
import { rcodeForClient } from '../forward/client-rcode.ts'
import { giveStandIn, refreshFailed, standInFor, stands } from '../forward/stale.ts'
import {
  CLUSTER_STALE_TTL,
  EXTERNAL_STALE_TTL,
  negativeTtl,
  positiveTtl,
  type TtlClamps,
} from '../forward/ttl-policy.ts'
import { Waiting } from '../forward/waiting.ts'
import { EDE, RCODE, rcodeName, TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { upstreamQuery } from '../../wire/question.ts'
import { answerAny } from './any.ts'
import { follow, type AnswerContext, type Answerer, type Asker, type Resolve } from './answerer.ts'
import { chained, questionFor } from './chain.ts'
import { renamedEntry } from './rename.ts'
import type { Route } from './router.ts'
import { renamed } from './suffix.ts'
import { MOST_ALIASES, unfinished, type Unfinished } from './unfinished.ts'

export type ForwardContext = AnswerContext &
  RaceContext & {
    readonly clamps: TtlClamps
    /** Questions in flight at once. */
    readonly maxInFlight: number
  }

/** A stand-in is given after this long: well within the one second that DC/OS clients wait (`timeout:1`). */
const OVERDUE_MS = 500
/** The same while no upstream of the route replies: long enough to notice one that is back. */
const OVERDUE_SILENT_MS = 80
/** Askers that may wait for each flight, on average. */
const WAITERS_PER_FLIGHT = 2

/** Who asks when a refresh does. */
const REFRESH: Asker = {
  client: '',
  recursionDesired: true,
  links: 0,
  watch: undefined,
  answer: () => {},
}
const SHED: Reason = { rcode: RCODE.SERVFAIL, ede: EDE.OTHER, why: 'too many questions in flight' }

export class ForwardAnswerer implements Answerer, FlightOwner {
  readonly #context: ForwardContext
  readonly #resolve: Resolve
  readonly #flights: Flights
  readonly #waiting = new Waiting()
  readonly #stored = new Entry()

  constructor(context: ForwardContext, resolve: Resolve) {
    this.#context = context
    this.#resolve = resolve
    this.#flights = new Flights(context.maxInFlight)
  }

  /** Questions in flight. */
  get inFlight(): number {
    return this.#flights.size
  }

  /** Askers who wait for them. */
  get waiting(): number {
    return this.#waiting.size
  }

  answer(question: Question, asker: Asker, route: Route): void {
    const { cache, now, validity } = this.#context
    const { spec } = route
    if (spec.kind !== 'forward') return
    if (question.qtype === TYPE.ANY)
      return answerAny(question, asker, route, this.#context, this.#resolve)
    const t = now()
    const { wire, qnameEnd, qtype } = question
    const bits = keyBits(question.dnssecOk, question.checkingDisabled)
    const stored = cache.find(wire, HEADER, qnameEnd, qtype, bits, this.#stored)
    const verdict = stored && validity.of(stored, t)
    // A client's question has looked before; that of an alias has not.
    if (stored && verdict === FRESH) return asker.answer(stored, 0)
    if (!asker.recursionDesired)
      return this.#say(question, asker, route, {
        rcode: RCODE.REFUSED,
        ede: EDE.NOT_AUTHORITATIVE,
        why: 'recursion was not desired and the answer is not cached',
      })
    const flight = this.#flights.find(question, route)
    if (flight) return this.#join(flight, asker)
    const standIn =
      verdict === STALE
        ? stored!.held()
        : standInFor(question, spec.ttl === 'cluster', this.#context)
    if (standIn && standIn.retryAt > t) {
      asker.watch?.('stale', 'the last refresh failed a moment ago')
      return giveStandIn(standIn, question, [asker], this.#context)
    }
    const failures = stored?.kind === FAILURE ? stored.failures + 1 : 0
    const launched = new Flight(question, route, standIn, failures, t, this)
    if (!this.#makeRoom()) return this.#say(question, asker, route, SHED)
    this.#flights.add(launched)
    this.#waiting.add(asker, launched)
    this.#launch(launched, asker)
  }

  /** Whether there is room for a refresh beside the questions that somebody waits for. */
  get mayPrefetch(): boolean {
    return this.#flights.size * 2 <= this.#context.maxInFlight
  }

  /** Asks again for an entry that will be asked for, unless that is under way. */
  prefetch(entry: Entry, route: Route): void {
    const question = questionOf(entry)
    if (route.spec.kind !== 'forward' || this.#flights.find(question, route)) return
    const { counters, now } = this.#context
    counters[SLOT.prefetches]! += 1
    const flight = new Flight(question, route, entry, 0, now(), this)
    this.#flights.add(flight)
    this.#launch(flight, undefined)
  }

  /** Ends everything in flight. */
  close(): void {
    for (let flight = this.#flights.oldest; flight; flight = this.#flights.oldest)
      this.#giveUp(flight, { ...SHED, why: 'shutting down' })
  }

  #join(flight: Flight, asker: Asker): void {
    this.#context.counters[SLOT.coalesced]! += 1
    asker.watch?.('coalesced', `${flight.waiters.length} already wait`)
    if (flight.isOverdue && this.#mayGiveInstead(flight)) return this.#giveInstead(flight, [asker])
    while (this.#waiting.size >= this.#context.maxInFlight * WAITERS_PER_FLIGHT) this.#shedOne()
    this.#waiting.add(asker, flight)
  }

  #launch(flight: Flight, asker: Asker | undefined): void {
    const { timers, now } = this.#context
    const { route, standIn } = flight
    const t = now()
    if (route.silent) timers.schedule(flight, t + OVERDUE_SILENT_MS)
    // A prefetch begins before its entry has ended; only from then on does anybody wait.
    else if (standIn) timers.schedule(flight, Math.max(t, standIn.expiresAt) + OVERDUE_MS)
    if (route.upstreams.length === 0) {
      const why = 'no upstream is configured or known'
      return this.#failed(flight, { rcode: RCODE.SERVFAIL, ede: EDE.NOT_READY, why })
    }
    const { wire, questionEnd, dnssecOk, checkingDisabled } = flight.question
    const query = upstreamQuery(wire, questionEnd, dnssecOk, checkingDisabled)
    flight.race = launch(query, route, this.#context, flight, asker?.watch)
  }

  // What becomes of a flight.

  finished(flight: Flight, outcome: Outcome): void {
    if (flight.done) return
    const { route } = flight
    if (outcome.kind !== 'failed' || outcome.why === 'soft') {
      route.silent = false
      route.repliedAt = this.#context.now()
    } else if (outcome.why === 'silence') route.silent = !(route.repliedAt! > flight.launchedAt)
    if (outcome.kind === 'failed')
      return this.#failed(flight, reasonOf(outcome, flight.question.qtype))
    const left = unfinished(outcome)
    if (left) return this.#finish(flight, outcome, left)
    const entry = this.#fill(flight, outcome)
    if (!entry) {
      const why = `${outcome.upstream.name} sent a response that cannot be used`
      return this.#failed(flight, { rcode: RCODE.SERVFAIL, ede: EDE.OTHER, why })
    }
    this.#end(flight)
    this.#give(entry, this.#waiting.takeAll(flight))
  }

  /** Asks for the name that the upstream's aliases lead to, and gives both as one answer. */
  #finish(
    flight: Flight,
    { wire, records }: Extract<Outcome, { kind: 'response' }>,
    { target, aliases, ttl, loops }: Unfinished,
  ): void {
    const { question, route } = flight
    const { clamps } = this.#context
    const { spec } = route
    const first = flight.waiters[0]?.asker ?? REFRESH
    const links = first.links + aliases.length
    const next = questionFor(question, target)
    const meta = metaOf(question, POSITIVE, 0, spec.label, 0, false)
    const fill = prepare(wire, records, aliases, false, meta)
    if (spec.kind !== 'forward' || loops || links > MOST_ALIASES || !next || !fill) {
      const why = 'the aliases lead nowhere'
      return this.#failed(flight, { rcode: RCODE.SERVFAIL, ede: EDE.OTHER, why })
    }
    const part = Buffer.from(fill.wire.subarray(0, fill.length))
    const lives = positiveTtl(spec.ttl, question.name, ttl, clamps)
    this.#end(flight)
    const askers = this.#waiting.takeAll(flight)
    const answer = (entry: Entry, ede: number): void => {
      if (entry.kind === FAILURE && stands(flight.standIn, this.#context))
        return giveStandIn(flight.standIn, question, askers, this.#context)
      const keepable = this.#isCurrent(flight)
      const options = { label: spec.label, ttl: lives, keepable, context: this.#context }
      const whole = chained(question, part, entry, options)
      if (whole) return this.#give(whole, askers, ede)
      const reason = { rcode: RCODE.SERVFAIL, ede: EDE.OTHER, why: 'the answer is too large' }
      for (const asker of askers) this.#say(question, asker, route, reason)
    }
    this.#resolve(
      next,
      follow({ ...REFRESH, client: first.client, watch: first.watch }, answer, links),
    )
  }

  /** A positive answer that came after a negative one was given: whoever asks next gets it. */
  late(flight: Flight, outcome: Outcome): void {
    if (outcome.kind === 'response') this.#fill(flight, outcome)
  }

  overdue(flight: Flight): void {
    if (!flight.done && this.#mayGiveInstead(flight))
      this.#giveInstead(flight, this.#waiting.takeAll(flight))
  }

  #fill(flight: Flight, outcome: Extract<Outcome, { kind: 'response' }>): Entry | undefined {
    const { question, route } = flight
    const { spec } = route
    const { clamps } = this.#context
    const { is, wire, records } = outcome
    if (is.kind === 'soft' || is.kind === 'truncated' || spec.kind !== 'forward') return undefined
    const ttl =
      is.kind === 'positive'
        ? positiveTtl(spec.ttl, question.name, is.ttl ?? 0, clamps)
        : negativeTtl(spec.ttl, is.ttl, clamps)
    const meta: FillMeta = {
      ...metaOf(
        question,
        kindOf(is.kind),
        this.#isCurrent(flight) ? ttl : 0,
        spec.label,
        spec.number,
        false,
      ),
      stale: ttl > 0 ? clamps.serveStale : 0,
      staleTtl: spec.ttl === 'cluster' ? CLUSTER_STALE_TTL : EXTERNAL_STALE_TTL,
    }
    const fill = prepare(wire, records, is.keep, is.whole, meta)
    return fill && keep(fill, this.#context)
  }

  /** Whether the route is still the one that the flight was launched over. */
  #isCurrent(flight: Flight): boolean {
    return this.#context.sources.router.match(flight.question.name) === flight.route
  }

  #failed(flight: Flight, reason: Reason): void {
    if (flight.done) return
    this.#end(flight)
    const { standIn } = flight
    if (stands(standIn, this.#context) && this.#context.now() >= standIn.expiresAt)
      refreshFailed(standIn, this.#context.now())
    const askers = this.#waiting.takeAll(flight)
    // A prefetch that failed puts no failure over the answer that is still good.
    if (askers.length === 0 || this.#giveCopy(flight, askers, reason)) return
    if (stands(standIn, this.#context))
      return giveStandIn(standIn, flight.question, askers, this.#context)
    this.#give(keepFailure(flight, reason, this.#isCurrent(flight), this.#context), askers)
  }

  #mayGiveInstead({ route, standIn }: Flight): boolean {
    return route.silent === true || stands(standIn, this.#context)
  }

  /** The best there is while the flight goes on. */
  #giveInstead(flight: Flight, askers: readonly Asker[]): void {
    const reason: Reason = {
      rcode: RCODE.SERVFAIL,
      ede: EDE.NO_REACHABLE_AUTHORITY,
      why: 'no upstream answers',
    }
    if (this.#giveCopy(flight, askers, reason)) return
    if (stands(flight.standIn, this.#context))
      return giveStandIn(flight.standIn, flight.question, askers, this.#context)
    for (const asker of askers) this.#say(flight.question, asker, flight.route, reason)
  }

  /** Answers from the local copy of the zone, which is younger than any stale entry; whether there is one. */
  #giveCopy(flight: Flight, askers: readonly Asker[], { rcode }: Reason): boolean {
    const { question, route } = flight
    const { spec } = route
    if (spec.kind !== 'forward' || spec.copy === undefined || rcode !== RCODE.SERVFAIL) return false
    const zone = this.#context.zones.get(spec.copy)
    const other = zone?.loaded && zone.names > 0 && renamed(question, spec.zone, zone.apex)
    if (!zone || !other) return false
    for (const asker of askers) {
      this.#resolve(
        other,
        follow(asker, entry => {
          const back = renamedEntry(
            question,
            entry,
            zone.apex,
            spec.zone,
            spec.label,
            this.#context,
          )
          asker.answer(back, EDE.STALE)
        }),
      )
    }
    return true
  }

  /** Gives an entry to all; what one of them stores meanwhile may take its place in the cache. */
  #give(entry: Entry, askers: readonly Asker[], ede = 0): void {
    const lasting = askers.length > 1 ? entry.copy() : entry
    for (const asker of askers) asker.answer(lasting, ede)
  }

  #say(question: Question, asker: Asker, { spec }: Route, { rcode, ede, why }: Reason): void {
    const now = this.#context.now()
    asker.answer(failureEntry(question, spec.label, rcode, ede, why, now), 0)
  }

  // Bounds.

  /** Makes room for one more question; false if there is none to be had. */
  #makeRoom(): boolean {
    const { maxInFlight } = this.#context
    // Each turn gives up one asker, and with the last of a flight the flight.
    for (let turns = 0; this.#flights.size >= maxInFlight; turns++)
      if (turns > WAITERS_PER_FLIGHT * maxInFlight || !this.#shedOne()) return false
    return true
  }

  /** The client that waits for most gives up its oldest question. */
  #shedOne(): boolean {
    const waiter = this.#waiting.takeFromHeaviest()
    // Nobody waits: all that is in flight are refreshes, and questions that were answered otherwise.
    const flight = waiter?.flight ?? this.#flights.oldest
    if (!flight) return false
    this.#context.counters[SLOT.shed]! += 1
    if (flight.waiters.length === 0) {
      this.#end(flight)
      flight.race?.cancel()
    }
    if (waiter) {
      const { standIn, question, route } = flight
      if (stands(standIn, this.#context))
        giveStandIn(standIn, question, [waiter.asker], this.#context)
      else this.#say(question, waiter.asker, route, SHED)
    }
    return true
  }

  #giveUp(flight: Flight, reason: Reason): void {
    this.#end(flight)
    flight.race?.cancel()
    const askers = this.#waiting.takeAll(flight)
    if (stands(flight.standIn, this.#context))
      return giveStandIn(flight.standIn, flight.question, askers, this.#context)
    for (const asker of askers) this.#say(flight.question, asker, flight.route, reason)
  }

  #end(flight: Flight): void {
    flight.done = true
    this.#context.timers.cancel(flight)
    this.#flights.delete(flight)
  }
}

const reasonOf = (outcome: Extract<Outcome, { kind: 'failed' }>, qtype: number): Reason => {
  switch (outcome.why) {
    case 'silence':
      return {
        rcode: RCODE.SERVFAIL,
        ede: EDE.NO_REACHABLE_AUTHORITY,
        why: 'no upstream answered in time',
      }
    case 'dead':
      return {
        rcode: RCODE.SERVFAIL,
        ede: EDE.NO_REACHABLE_AUTHORITY,
        why: 'every upstream is known to be dead',
      }
    case 'unreachable':
      return {
        rcode: RCODE.SERVFAIL,
        ede: EDE.NETWORK_ERROR,
        why: 'no upstream could be reached',
      }
    case 'soft':
      return {
        rcode: rcodeForClient(outcome.rcode, qtype),
        ede: EDE.NO_REACHABLE_AUTHORITY,
        why: `${outcome.upstream?.name ?? 'upstream'} ${outcome.because ?? `said ${rcodeName(outcome.rcode)}`}`,
      }
  }
}
