/**
 * Answers names that upstreams are responsible for. A question that is already in flight is joined. Otherwise the
 * upstreams are asked, and their answer is stored and given to all askers that wait.
 *
 *     in flight over this route? ──▶ wait for it        in-flight
 *     a refresh failed lately? ────▶ stand-in           stale
 *     ask upstreams ─┬ answer ─────▶ store, give        launch, prepare
 *                    ├ alias only ─▶ ask for its target, give both   unfinished, chain
 *                    ├ too late ───▶ stand-in           stale
 *                    └ failure ────▶ the zone's copy, stand-in, or say why and remember it   zone-copy, outcome
 *
 * A flight belongs to the route with which it was launched. If that route has changed when the answer comes, the
 * waiting askers get it, and it is not stored.
 */
import { SLOT } from '../../boundary/counters.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import { Entry, FAILURE, keyBits, POSITIVE } from '../cache/entry.ts'
import type { Restoring } from '../cache/restoring.ts'
import { CHANGED, FRESH, STALE } from '../cache/validity.ts'
import { failureEntry, metaOf, servfail, type Reason } from '../forward/entries.ts'
import { Flight, type FlightOwner } from '../forward/flight.ts'
import { InFlight, type InFlightContext } from '../forward/in-flight.ts'
import { launch } from '../forward/launch.ts'
import { questionOf } from '../forward/prefetch.ts'
import { keepFailure, keepResponse, reasonOf, type Response } from '../forward/outcome.ts'
import { prepare } from '../forward/prepare.ts'
import type { Question } from '../forward/query.ts'
import type { Outcome, RaceContext } from '../forward/race-context.ts'
import { isSilent } from '../forward/silent-route.ts'
import { giveStandIn, OWN_TOO, refreshFailed, standInFor, stands } from '../forward/stale.ts'
import { positiveTtl, type TtlClamps } from '../forward/ttl-policy.ts'
import { EDE, RCODE, TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { upstreamQuery } from '../../wire/question.ts'
import { answerAny } from './any.ts'
import type { AnswerContext, Answerer, Asker, Resolve } from './answerer.ts'
import { follow, NOBODY } from './answerer.ts'
import { chained, questionFor } from './chain.ts'
import type { Route } from './router.ts'
import { MOST_ALIASES, unfinished, type Unfinished } from './unfinished.ts'
import { answerFromCopy } from './zone-copy.ts'

export type ForwardContext = AnswerContext &
  RaceContext &
  InFlightContext & {
    readonly clamps: TtlClamps
    /** Undefined if there is no cache of the last run. */
    readonly restoring?: Restoring | undefined
  }

/** A stand-in is given after this long: well within the one second that DC/OS clients wait (`timeout:1`). */
const OVERDUE_MS = 500
/** The same while no upstream of the route replies. An upstream that is back answers within this time. */
const OVERDUE_SILENT_MS = 80

const SHED = servfail(EDE.OTHER, 'too many questions in flight')
const CLOSING = servfail(EDE.OTHER, 'shutting down')
const LEFT_BEHIND = servfail(EDE.OTHER, 'internal error')
/** A flight older than this and than two deadlines was forgotten by a bug. */
const LONGEST_MS = 5_000
const NO_UPSTREAM = servfail(EDE.NOT_READY, 'no upstream is configured or known')
const NO_ANSWER = servfail(EDE.NO_REACHABLE_AUTHORITY, 'no upstream answers')
const NOWHERE = servfail(EDE.OTHER, 'the aliases lead nowhere')
const TOO_LARGE = servfail(EDE.OTHER, 'the answer is too large')
const NOT_CACHED: Reason = {
  rcode: RCODE.REFUSED,
  ede: EDE.NOT_AUTHORITATIVE,
  why: 'recursion was not desired and the answer is not cached',
}

export class ForwardAnswerer implements Answerer, FlightOwner {
  readonly #context: ForwardContext
  readonly #resolve: Resolve
  readonly inFlight: InFlight
  readonly #stored = new Entry()

  constructor(context: ForwardContext, resolve: Resolve) {
    this.#context = context
    this.#resolve = resolve
    this.inFlight = new InFlight(context, (flight, asker) => this.#settle(flight, [asker], SHED))
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
    const stored = cache.findBy(question.hash, wire, HEADER, qnameEnd, qtype, bits, this.#stored)
    const verdict = stored && validity.of(stored, t)
    // For a client's question the cache was searched before; for the target of an alias it was not.
    if (stored && verdict === FRESH) return asker.answer(stored, 0)
    if (!asker.recursionDesired) return this.#say(question, [asker], route, NOT_CACHED)
    const flight = this.inFlight.find(question, route)
    if (flight) return this.#join(flight, question, asker)
    const standIn =
      verdict === STALE ? stored!.held() : standInFor(question, isCluster(route), this.#context)
    if (standIn && standIn.retryAt > t) {
      asker.watch?.('stale', 'the last refresh failed a moment ago')
      if (giveStandIn(standIn, question, [asker], this.#context)) return
    }
    // What failed over another route says nothing about this one.
    const failures = stored?.kind === FAILURE && verdict !== CHANGED ? stored.failures + 1 : 0
    const launched = new Flight(question, route, standIn, failures, t, validity.epoch, this)
    if (!this.inFlight.add(launched, asker)) return this.#settle(launched, [asker], SHED)
    this.#launch(launched, asker)
  }

  /** Refreshes an entry that clients are likely to ask for, unless a refresh is under way. */
  prefetch(entry: Entry, route: Route): void {
    const question = questionOf(entry)
    if (route.spec.kind !== 'forward' || this.inFlight.find(question, route)) return
    const { counters, now, validity } = this.#context
    counters[SLOT.prefetches]! += 1
    const flight = new Flight(question, route, entry, 0, now(), validity.epoch, this)
    this.inFlight.addRefresh(flight)
    this.#launch(flight, undefined)
  }

  /** Ends everything in flight. */
  close(): void {
    this.#giveUp(Infinity, CLOSING)
  }

  /** Gives up forgotten flights, but none during a restore. Each race has a deadline: only a bug can leave one. */
  sweep(now: Milliseconds): void {
    if (this.#context.restoring?.ended === false) return
    const longest = Math.max(LONGEST_MS, 2 * this.#context.rules.deadline)
    this.#giveUp(now - longest, LEFT_BEHIND)
  }

  /** Gives up the flights that were launched before. */
  #giveUp(before: Milliseconds, reason: Reason): void {
    const { inFlight } = this
    for (let flight = inFlight.oldest; flight; flight = inFlight.oldest) {
      if (flight.launchedAt >= before) return
      const askers = inFlight.end(flight)
      flight.race?.cancel()
      this.#settle(flight, askers, reason)
    }
  }

  #join(flight: Flight, { onTrial }: Question, asker: Asker): void {
    if (!onTrial) flight.question.onTrial = false
    this.#context.counters[SLOT.coalesced]! += 1
    asker.watch?.('coalesced', `${flight.waiters.length} already wait`)
    if (flight.isOverdue && this.#mayGiveInstead(flight)) return this.#giveInstead(flight, [asker])
    this.inFlight.join(flight, asker)
  }

  #launch(flight: Flight, asker: Asker | undefined): void {
    const { timers, now } = this.#context
    const { route, standIn } = flight
    const t = now()
    if (isSilent(route)) timers.schedule(flight, t + OVERDUE_SILENT_MS)
    // A prefetch starts before its entry expires. Askers wait only after that.
    else if (standIn) timers.schedule(flight, Math.max(t, standIn.expiresAt) + OVERDUE_MS)
    if (route.upstreams.length === 0) return this.#failed(flight, NO_UPSTREAM)
    const { wire, questionEnd, dnssecOk, checkingDisabled } = flight.question
    const query = upstreamQuery(wire, questionEnd, dnssecOk, checkingDisabled)
    flight.race = launch(query, route, this.#context, flight, asker?.watch)
  }

  // The end of a flight.

  finished(flight: Flight, outcome: Outcome): void {
    if (flight.done) return
    if (outcome.kind === 'failed') {
      if (outcome.why === 'silence') flight.route.silentSince = flight.launchedAt
      return this.#failed(flight, reasonOf(outcome, flight.question.qtype))
    }
    const left = unfinished(outcome)
    if (left) return this.#finish(flight, outcome, left)
    const entry = keepResponse(flight, outcome, this.#isCurrent(flight), this.#context)
    if (entry) return this.#give(entry, this.inFlight.end(flight))
    this.#failed(flight, servfail(EDE.OTHER, `${outcome.upstream.name} sent what cannot be used`))
  }

  /** Asks for the target of the upstream's aliases, and answers with the aliases and the target's records together. */
  #finish(flight: Flight, { wire, records }: Response, left: Unfinished): void {
    const { question, route } = flight
    const { spec } = route
    const first = flight.waiters[0]?.asker ?? NOBODY
    const links = first.links + left.aliases.length
    const next = questionFor(question, left.target)
    const meta = metaOf(question, POSITIVE, 0, spec.label, 0, false)
    const fill = prepare(wire, records, left.aliases, false, meta)
    if (spec.kind !== 'forward' || left.loops || links > MOST_ALIASES || !next || !fill)
      return this.#failed(flight, NOWHERE)
    const aliases = Buffer.from(fill.wire.subarray(0, fill.length))
    const ttl = positiveTtl(spec.ttl, question.name, left.ttl, this.#context.clamps)
    const askers = this.inFlight.end(flight)
    const answer = (entry: Entry, ede: number): void => {
      if (entry.kind === FAILURE && giveStandIn(flight.standIn, question, askers, this.#context))
        return
      const options = { label: spec.label, ttl, keepable: this.#isCurrent(flight) }
      const whole = chained(question, aliases, entry, { ...options, context: this.#context })
      if (whole) this.#give(whole, askers, ede)
      else this.#say(question, askers, route, TOO_LARGE)
    }
    const { client, watch } = first
    this.#resolve(next, follow({ ...NOBODY, client, watch }, answer, links))
  }

  /** Stores a positive answer that came after a negative one was given, for the next asker. */
  late(flight: Flight, outcome: Outcome): void {
    if (outcome.kind === 'response')
      keepResponse(flight, outcome, this.#isCurrent(flight), this.#context)
  }

  overdue(flight: Flight): void {
    if (!flight.done && this.#mayGiveInstead(flight))
      this.#giveInstead(flight, this.inFlight.takeAll(flight))
  }

  /** Whether the name still has the route with which the flight was launched. */
  #isCurrent(flight: Flight): boolean {
    const { sources, validity } = this.#context
    if (flight.epoch === validity.epoch) return true
    return sources.router.match(flight.question.name) === flight.route
  }

  #failed(flight: Flight, reason: Reason): void {
    if (flight.done) return
    const { question, route } = flight
    const { restoring } = this.#context
    if (restoring && !flight.standIn) {
      if (restoring.wait(() => this.#failed(flight, reason))) return
      flight.standIn = standInFor(question, isCluster(route), this.#context, OWN_TOO)
    }
    const { standIn } = flight
    const askers = this.inFlight.end(flight)
    const now = this.#context.now()
    if (stands(standIn, this.#context) && now >= standIn.expiresAt) refreshFailed(standIn, now)
    // A failed prefetch must not replace an answer that is still fresh.
    if (askers.length === 0 || this.#giveCopy(flight, askers, reason)) return
    if (giveStandIn(standIn, question, askers, this.#context)) return
    this.#give(keepFailure(flight, reason, this.#isCurrent(flight), this.#context), askers)
  }

  #mayGiveInstead({ route, standIn }: Flight): boolean {
    if (stands(standIn, this.#context)) return true
    return isSilent(route) && (this.#context.restoring?.ended ?? true)
  }

  /** Answers with the best that is available, while the flight continues. */
  #giveInstead(flight: Flight, askers: readonly Asker[]): void {
    if (!this.#giveCopy(flight, askers, NO_ANSWER)) this.#settle(flight, askers, NO_ANSWER)
  }

  /** Answers from the copy of the zone, if there is one and the failure is not the name's own. */
  #giveCopy({ question, route }: Flight, askers: readonly Asker[], { rcode }: Reason): boolean {
    if (rcode !== RCODE.SERVFAIL) return false
    return answerFromCopy(question, route, askers, this.#context, this.#resolve)
  }

  /** Answers with the stand-in, or with the failure and its reason. */
  #settle({ question, route, standIn }: Flight, askers: readonly Asker[], reason: Reason): void {
    if (!giveStandIn(standIn, question, askers, this.#context))
      this.#say(question, askers, route, reason)
  }

  /** Gives an entry to all askers. What one of them stores meanwhile may reuse the entry's memory. */
  #give(entry: Entry, askers: readonly Asker[], ede = 0): void {
    const lasting = askers.length > 1 ? entry.copy() : entry
    for (const asker of askers) asker.answer(lasting, ede)
  }

  #say(question: Question, askers: readonly Asker[], { spec }: Route, reason: Reason): void {
    if (askers.length === 0) return
    this.#give(failureEntry(question, spec.label, reason, this.#context.now()), askers)
  }
}

const isCluster = ({ spec }: Route): boolean => spec.kind === 'forward' && spec.ttl === 'cluster'
