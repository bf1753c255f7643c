/**
 * The line itself: from a query that missed to its response.
 *
 *     route ─┬ local ───▶ records held here
 *            ├ rename ──▶ ask again under the other suffix, put the asked one back
 *            ├ special ─▶ NXDOMAIN, so that it does not leak
 *            └ forward ─▶ same question in flight? join it : race or hedge
 *                          └▶ classify, fill, answer everyone who waits
 *
 * Every query ends in a response: fresh, stale, an upstream's own failure or
 * ours. What is in the air is bounded; beyond it the oldest is given up.
 */
import { Entry, FAILURE, keyBits, NEGATIVE, type FillMeta } from '../cache/entry.ts'
import { SLOT } from '../../boundary/counters.ts'
import type { Peer } from '../io/packet-io.ts'
import { EDE, RCODE, rcodeName, TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { Records, scan } from '../../wire/scan.ts'
import { failureEntry, keep, metaOf } from './entries.ts'
import { Flight, type Asker, type Tower } from './flight.ts'
import { Flights } from './flights.ts'
import { hedge } from './hedge.ts'
import {
  answerLocal,
  anyEntry,
  MAX_LINKS,
  renamedEntry,
  specialEntry,
  type LocalMeans,
} from '../answer/local-answers.ts'
import { bareFill, kindOf, prepare } from './prepare.ts'
import type { Question } from './query.ts'
import { upstreamQuery } from '../../wire/question.ts'
import { Race, type Outcome, type RaceMeans, type Watch } from './race.ts'
import { renamed } from '../answer/rename.ts'
import type { Route, Router } from '../answer/router.ts'
import type { Upstream } from '../upstream/upstream.ts'
import {
  CLUSTER_STALE_TTL,
  EXTERNAL_STALE_TTL,
  failureTtl,
  negativeTtl,
  positiveTtl,
  type TtlClamps,
} from './ttl-policy.ts'

/** A stale answer is given after this long: well within the one second that DC/OS clients wait (`timeout:1`). */
const STALE_AFTER_MS = 500
/** Prefetches as a share of all questions sent upstream. */
const PREFETCH_SHARE = 0.25

export type ResolverMeans = RaceMeans &
  LocalMeans & {
    readonly clamps: TtlClamps
    readonly maxInFlight: number
  }

const records = new Records()

export class Resolver implements Tower {
  router: Router
  readonly #means: ResolverMeans
  readonly #flights: Flights
  readonly #old = new Entry()
  #asked = 0
  #prefetched = 0

  constructor(router: Router, means: ResolverMeans) {
    this.router = router
    this.#means = means
    this.#flights = new Flights(means.maxInFlight)
  }

  get inFlight(): number {
    return this.#flights.size
  }

  /** Finds the answer and tells the asker, now or later, exactly once. */
  resolve(
    question: Question,
    recursionDesired: boolean,
    asker: Asker,
    watch?: Watch,
    links = 0,
  ): void {
    const route = this.router.match(question.name)
    const { spec } = route
    const say = (rcode: number, ede: number, why: string): void =>
      asker(failureEntry(question, spec.label, 0, rcode, ede, why, this.#means.now()), 0)
    watch?.('route', `${spec.kind} ${spec.zone}`)
    switch (spec.kind) {
      case 'local':
        return answerLocal(
          question,
          route,
          this.router,
          this.#means,
          asker,
          (q, a, n) => this.resolve(q, recursionDesired, a, watch, n),
          watch,
          links,
        )
      case 'special':
        return asker(specialEntry(question, route, this.#means), 0)
      case 'refuse':
        return say(RCODE.REFUSED, EDE.NOT_AUTHORITATIVE, 'no server is configured for this name')
      case 'rename': {
        if (links >= MAX_LINKS) return say(RCODE.SERVFAIL, EDE.OTHER, 'alias loop')
        const other = renamed(question, spec.zone, spec.to)
        if (!other)
          return say(RCODE.NXDOMAIN, EDE.OTHER, 'the name under its other suffix is too long')
        return this.resolve(
          other,
          recursionDesired,
          (entry, stale) =>
            asker(
              renamedEntry(question, entry, spec.to, spec.zone, spec.label, this.#means),
              stale,
            ),
          watch,
          links + 1,
        )
      }
      case 'forward':
        if (question.qtype === TYPE.ANY)
          return asker(anyEntry(question, spec.label, spec.number, this.#means), 0)
        if (!recursionDesired) {
          return say(
            RCODE.REFUSED,
            EDE.NOT_AUTHORITATIVE,
            'recursion was not desired and the answer is not cached',
          )
        }
        return this.#forward(question, route, asker, watch)
    }
  }

  /** Whether there is room for another prefetch just now. */
  get mayPrefetch(): boolean {
    return (
      this.#prefetched <= 16 + this.#asked * PREFETCH_SHARE &&
      this.#flights.size * 2 <= this.#means.maxInFlight
    )
  }

  /** Asks again for an entry that is liked and near its end, unless that is under way, or its name is not asked for. */
  prefetch(entry: Entry): void {
    const { bytes, at } = entry
    const wire = Buffer.from(bytes.subarray(at, at + entry.questionEnd))
    const question: Question = {
      wire,
      qnameEnd: entry.qnameEnd,
      questionEnd: entry.questionEnd,
      qtype: entry.qtype,
      dnssecOk: (entry.bits & 1) !== 0,
      checkingDisabled: (entry.bits & 2) !== 0,
      name: foldedText(wire, HEADER),
    }
    const route = this.router.match(question.name)
    if (route.spec.kind !== 'forward' || this.#flights.find(question)) return
    this.#prefetched++
    this.#means.counters[SLOT.prefetches]! += 1
    this.#launch(question, route, undefined, entry)
  }

  /** The number that answers for a name depend on now: its zone's or its route's. */
  sourceOf(name: string, links = 0): number {
    const { spec } = this.router.match(name)
    if (spec.kind === 'local') return this.#means.zones.get(spec.zone)?.number ?? 0
    if (spec.kind === 'forward') return spec.number
    if (spec.kind !== 'rename' || links >= MAX_LINKS) return 0
    return this.sourceOf(otherName(name, spec.zone, spec.to), links + 1)
  }

  /** Ends everything in flight; those who wait get stale answers or SERVFAIL. */
  close(): void {
    for (let flight = this.#flights.oldest; flight; flight = this.#flights.oldest)
      this.#giveUp(flight, 'shutting down')
  }

  // Forwarding.

  #forward(question: Question, route: Route, asker: Asker, watch: Watch | undefined): void {
    const { cache, counters, maxInFlight, now } = this.#means
    const flying = this.#flights.find(question)
    if (flying) {
      counters[SLOT.coalesced]! += 1
      watch?.('coalesced', `${flying.askers.length} already wait`)
      const { stale } = flying
      if (flying.overdue && stale && !stale.gone) return this.#answerStale(stale, asker)
      flying.askers.push(asker)
      return
    }
    const bits = keyBits(question.dnssecOk, question.checkingDisabled)
    const old = cache.find(
      question.wire,
      HEADER,
      question.qnameEnd,
      question.qtype,
      bits,
      this.#old,
    )
    const t = now()
    const stale =
      old && old.kind !== FAILURE && old.source === numberOf(route) && t < old.staleUntil
        ? old.held()
        : undefined
    const failures = old?.kind === FAILURE ? old.failures + 1 : 0
    if (stale && stale.retryAt > t) {
      watch?.('stale', 'the last refresh failed a moment ago')
      return this.#answerStale(stale, asker)
    }
    if (this.#flights.size >= maxInFlight) {
      counters[SLOT.shed]! += 1
      const { oldest } = this.#flights
      if (oldest) this.#giveUp(oldest, 'too many questions in flight')
    }
    this.#launch(question, route, asker, stale, failures, watch)
  }

  #launch(
    question: Question,
    route: Route,
    asker: Asker | undefined,
    stale: Entry | undefined,
    failures = 0,
    watch?: Watch,
  ): void {
    const { timers, now } = this.#means
    const flight = new Flight(question, route, asker, stale, failures, this)
    this.#flights.add(flight)
    this.#asked++
    // A prefetch begins before its entry has ended; only from then on does anybody wait.
    if (stale) timers.schedule(flight, Math.max(now(), stale.expiresAt) + STALE_AFTER_MS)
    const { spec } = route
    if (spec.kind !== 'forward' || route.upstreams.length === 0)
      return this.#failed(
        flight,
        'no upstream is configured or known',
        EDE.NOT_READY,
        RCODE.SERVFAIL,
      )
    const wire = upstreamQuery(
      question.wire,
      question.questionEnd,
      question.dnssecOk,
      question.checkingDisabled,
    )
    if (spec.policy === 'race') return this.#race(flight, wire, watch)
    const { upstreams } = route
    watch?.('hedge', upstreams.map(u => u.name).join(' '))
    if (upstreams.length === 1 && upstreams[0]!.spec.protocol === 'udp') {
      // Nobody to hedge with: a race of one needs no promises, and is run even if it seems dead.
      new Race(wire, upstreams, 1, this.#means, flight, watch, this.#peersOf(route)).start()
      return
    }
    void hedge(wire, upstreams, this.#means, watch).then(outcome =>
      this.landed(flight, scanned(outcome)),
    )
  }

  #race(flight: Flight, wire: Buffer, watch: Watch | undefined): void {
    const { route } = flight
    const { upstreams } = route
    const dead = upstreams.some(isDead)
    const lanes = dead ? lanesOf(upstreams, this.#means.now()) : upstreams
    const voters = dead ? Math.max(1, lanes.filter(u => !u.dead).length) : upstreams.length
    watch?.('race', lanes.map(u => u.name).join(' '))
    if (lanes.length === 0) {
      return this.#failed(
        flight,
        'every upstream is known to be dead',
        EDE.NO_REACHABLE_AUTHORITY,
        RCODE.SERVFAIL,
      )
    }
    const peers = dead ? undefined : this.#peersOf(route)
    new Race(wire, lanes, voters, this.#means, flight, watch, peers).start()
  }

  #peersOf(route: Route): readonly Peer[] {
    return (route.peers ??= route.upstreams.map(this.#means.peerOf))
  }

  landed(flight: Flight, outcome: Outcome): void {
    if (flight.done) return
    if (outcome.kind === 'failed') {
      const why =
        outcome.why === 'silence'
          ? 'no upstream answered in time'
          : outcome.why === 'unreachable'
            ? 'no upstream could be reached'
            : `${outcome.upstream?.name ?? 'upstream'} said ${rcodeName(outcome.rcode)}`
      return this.#failed(
        flight,
        why,
        outcome.why === 'unreachable' ? EDE.NETWORK_ERROR : EDE.NO_REACHABLE_AUTHORITY,
        outcome.why === 'soft' ? outcome.rcode : RCODE.SERVFAIL,
      )
    }
    const entry = this.#fill(flight, outcome)
    if (!entry)
      return this.#failed(
        flight,
        `${outcome.upstream.name} sent a response that cannot be used`,
        EDE.OTHER,
        RCODE.SERVFAIL,
      )
    this.#land(flight)
    for (const asker of flight.askers) asker(entry, 0)
    flight.askers.length = 0
  }

  #fill(flight: Flight, outcome: Extract<Outcome, { kind: 'response' }>): Entry | undefined {
    const { question, route } = flight
    const { clamps } = this.#means
    const { is, wire, records } = outcome
    if (is.kind === 'soft' || is.kind === 'truncated' || route.spec.kind !== 'forward')
      return undefined
    const policy = route.spec.ttl
    const ttl =
      is.kind === 'positive'
        ? positiveTtl(policy, question.name, is.ttl ?? 0, clamps)
        : negativeTtl(policy, is.ttl, clamps)
    const meta: FillMeta = {
      kind: kindOf(is.kind),
      ttl,
      stale: ttl > 0 ? clamps.serveStale : 0,
      staleTtl: policy === 'cluster' ? CLUSTER_STALE_TTL : EXTERNAL_STALE_TTL,
      ede: -1,
      edeText: '',
      zone: route.spec.label,
      source: numberOf(route),
      failures: 0,
      dnssecOk: question.dnssecOk,
      checkingDisabled: question.checkingDisabled,
      authoritative: false,
    }
    const fill = prepare(wire, records, is.keep, is.whole, meta)
    return fill && keep(fill, this.#means)
  }

  /** A positive answer that came after a negative one was given: whoever asks next gets it. */
  late(flight: Flight, outcome: Outcome): void {
    if (outcome.kind === 'response' && flight.route.spec.kind === 'forward')
      this.#fill(flight, outcome)
  }

  #failed(flight: Flight, why: string, ede: number, rcode: number): void {
    if (flight.done) return
    const { now, counters } = this.#means
    this.#land(flight)
    const { stale, question, route } = flight
    const copyOf = route.spec.kind === 'forward' ? route.spec.copy : undefined
    const zone = copyOf === undefined ? undefined : this.#means.zones.get(copyOf)
    if (zone?.loaded && zone.names > 0 && rcode === RCODE.SERVFAIL) {
      // The gossiped copy is younger than any stale entry (design, section 3).
      const other = renamed(question, route.spec.zone, zone.apex)
      if (other) {
        for (const asker of flight.askers) {
          this.resolve(other, true, entry =>
            asker(
              renamedEntry(
                question,
                entry,
                zone.apex,
                route.spec.zone,
                route.spec.label,
                this.#means,
              ),
              EDE.STALE,
            ),
          )
        }
        return
      }
    }
    if (stale && !stale.gone && now() >= stale.expiresAt) {
      stale.failures = Math.min(stale.failures + 1, 5)
      stale.retryAt = Math.round(now()) + failureTtl(stale.failures) * 1000
      for (const asker of flight.askers) this.#answerStale(stale, asker)
      return
    }
    // A prefetch that failed must not put a failure over the answer that is still good.
    if (flight.askers.length === 0) return
    counters[SLOT.failuresCached]! += 1
    const meta: FillMeta = {
      ...metaOf(
        question,
        FAILURE,
        failureTtl(flight.failures),
        route.spec.label,
        numberOf(route),
        false,
      ),
      ede,
      edeText: why,
      failures: flight.failures,
    }
    const entry = keep(
      bareFill(question.wire, question.questionEnd, question.qtype, rcode, meta),
      this.#means,
    )
    for (const asker of flight.askers) asker(entry, 0)
  }

  overdue(flight: Flight): void {
    const { stale } = flight
    if (flight.done || !stale || stale.gone) return
    const waiting = flight.askers.splice(0)
    for (const asker of waiting) this.#answerStale(stale, asker)
  }

  #answerStale(entry: Entry, asker: Asker): void {
    this.#means.counters[SLOT.staleServed]! += 1
    asker(entry, entry.kind === NEGATIVE ? EDE.STALE_NXDOMAIN : EDE.STALE)
  }

  #giveUp(flight: Flight, why: string): void {
    this.#failed(flight, why, EDE.OTHER, RCODE.SERVFAIL)
  }

  #land(flight: Flight): void {
    flight.done = true
    this.#means.timers.cancel(flight)
    this.#flights.delete(flight)
  }
}

const isDead = (upstream: Upstream): boolean => upstream.dead

/** Who is asked in a race: the living, and of the dead those whose probe is due, last. */
const lanesOf = (upstreams: readonly Upstream[], now: number): readonly Upstream[] => [
  ...upstreams.filter(u => !u.dead),
  ...upstreams.filter(u => u.dead && u.takeProbe(now)),
]

/** An outcome that has waited, its records read again. */
const scanned = (outcome: Outcome): Outcome => {
  if (outcome.kind === 'failed') return outcome
  const { upstream, wire } = outcome
  return scan(wire, wire.length, records)
    ? { ...outcome, records }
    : { kind: 'failed', why: 'soft', rcode: RCODE.SERVFAIL, upstream }
}

const numberOf = (route: Route): number => (route.spec.kind === 'forward' ? route.spec.number : 0)
const otherName = (name: string, zone: string, to: string): string =>
  name === zone ? to : name.slice(0, name.length - zone.length) + to
