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
import type { ZoneApex } from '../boundary.ts'
import { Entry, FAILURE, keyBits, NEGATIVE, POSITIVE, room, store, type Fill } from '../fast/entry.ts'
import type { PacketCache } from '../fast/packet-cache.ts'
import { SLOT } from '../fast/counters.ts'
import { EDE, RCODE, rcodeName, TYPE } from '../wire/codes.ts'
import { compose } from '../wire/compose.ts'
import { HEADER } from '../wire/header.ts'
import { foldedText, nameWire } from '../wire/name.ts'
import { copy } from '../wire/octets.ts'
import { ANSWER, Records, scan } from '../wire/scan.ts'
import { Flight, flightKey, type Asker } from './flight.ts'
import { hedge, type HedgeMeans } from './hedge.ts'
import { LocalZone } from './local-zone.ts'
import { encodeLocal, type OwnedRrset } from './message.ts'
import { bareFill, kindOf, prepare, type FillMeta } from './prepare.ts'
import type { Question } from './query.ts'
import { upstreamQuery } from './question.ts'
import { Race, type Outcome, type Watch } from './race.ts'
import { renameBack, renamed } from './rename.ts'
import type { Route, Router } from './router.ts'
import { CLUSTER_STALE_TTL, EXTERNAL_STALE_TTL, failureTtl, negativeTtl, positiveTtl, type TtlClamps } from './ttl-policy.ts'
import type { Zones } from './zones.ts'

/** A stale answer is given after this long: well within the one second that DC/OS clients wait (`timeout:1`). */
const STALE_AFTER_MS = 500
/** CNAMEs from zone to zone; a longer chain is a loop. */
const MAX_LINKS = 8
/** Prefetches as a share of all questions sent upstream. */
const PREFETCH_SHARE = 0.25
const ANY_TTL = 3789 // RFC 8482 §4.2's example value
const SPECIAL_SOA: ZoneApex = { mname: 'ns.spartan', rname: 'support.mesosphere.com', ttl: 3600, refresh: 60, retry: 180, expire: 86_400, minimum: 3600 }

export type ResolverMeans = HedgeMeans & {
  readonly cache: PacketCache
  readonly counters: Float64Array
  readonly zones: Zones
  readonly clamps: TtlClamps
  readonly maxInFlight: number
  /** The number that tells a hit whether an entry has been checked against the present routes. */
  readonly epoch: () => number
}

const records = new Records()

export class Resolver {
  router: Router
  readonly #means: ResolverMeans
  readonly #flights = new Map<string, Flight>()
  #asked = 0
  #prefetched = 0

  constructor(router: Router, means: ResolverMeans) {
    this.router = router
    this.#means = means
  }

  get inFlight(): number {
    return this.#flights.size
  }

  /** Finds the answer and tells the asker, now or later, exactly once. */
  resolve(question: Question, recursionDesired: boolean, asker: Asker, watch?: Watch, links = 0): void {
    const route = this.router.match(question.name)
    const { spec } = route
    watch?.('route', `${spec.kind} ${spec.zone}`)
    switch (spec.kind) {
      case 'local':
        return this.#local(question, route, recursionDesired, asker, watch, links)
      case 'special':
        return asker(this.#special(question, route), 0)
      case 'rename': {
        if (links >= MAX_LINKS) return asker(this.#failure(question, spec.label, 0, RCODE.SERVFAIL, EDE.OTHER, 'alias loop'), 0)
        const other = renamed(question, spec.zone, spec.to)
        if (!other) return asker(this.#failure(question, spec.label, 0, RCODE.NXDOMAIN, EDE.OTHER, 'the name under its other suffix is too long'), 0)
        return this.resolve(other, recursionDesired, (entry, stale) => asker(this.#renameBack(question, entry, spec.to, spec.zone, spec.label), stale), watch, links + 1)
      }
      case 'forward':
        if (question.qtype === TYPE.ANY) return asker(this.#any(question, route), 0)
        if (!recursionDesired) {
          return asker(this.#failure(question, spec.label, 0, RCODE.REFUSED, EDE.NOT_AUTHORITATIVE, 'recursion was not desired and the answer is not cached'), 0)
        }
        return this.#forward(question, route, asker, watch)
    }
  }

  /** Asks again for an entry that is liked and near its end. False when the budget is spent. */
  prefetch(entry: Entry): boolean {
    if (this.#prefetched > 16 + this.#asked * PREFETCH_SHARE || this.#flights.size * 2 > this.#means.maxInFlight) return false
    const { chunk, at } = entry.block
    const wire = Buffer.from(chunk.subarray(at, at + entry.questionEnd))
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
    if (route.spec.kind !== 'forward' || this.#flights.has(flightKey(question))) return false
    this.#prefetched++
    this.#means.counters[SLOT.prefetches]! += 1
    this.#launch(question, route, undefined, undefined)
    return true
  }

  /** The number that answers for a name depend on now: its zone's or its route's. */
  sourceOf(name: string, links = 0): number {
    const { spec } = this.router.match(name)
    if (spec.kind === 'local') return this.#means.zones.get(spec.zone)?.number ?? 0
    if (spec.kind === 'forward') return spec.number
    if (spec.kind === 'special' || links >= MAX_LINKS) return 0
    return this.sourceOf(otherName(name, spec.zone, spec.to), links + 1)
  }

  /** Ends everything in flight; those who wait get stale answers or SERVFAIL. */
  close(): void {
    for (const flight of [...this.#flights.values()]) this.#giveUp(flight, 'shutting down')
  }

  // Local answers.

  #local(question: Question, route: Route, recursionDesired: boolean, asker: Asker, watch: Watch | undefined, links: number): void {
    const { zones, counters } = this.#means
    const zone = zones.get(route.spec.zone)
    const { label } = route.spec
    if (!zone?.loaded) {
      return asker(this.#failure(question, label, zone?.number ?? 0, RCODE.SERVFAIL, EDE.NOT_READY, `the data of ${route.spec.zone} has not arrived yet`), 0)
    }
    counters[SLOT.localAnswers]! += 1
    const chain: OwnedRrset[] = []
    let ttl = Infinity
    let name = question.name
    let within: LocalZone = zone
    for (; links < MAX_LINKS; links++) {
      const found = within.answer(name, question.qtype, n => zones.lookup(n))
      ttl = Math.min(ttl, found.ttl)
      if (found.chase === undefined) {
        const sections = { ...found, answer: [...chain, ...found.answer] }
        const kind = found.rcode === RCODE.NXDOMAIN || found.answer.length === 0 ? NEGATIVE : POSITIVE
        return asker(this.#localEntry(question, label, zone.number, found.rcode, sections, ttl, kind), 0)
      }
      chain.push(...found.answer)
      name = found.chase
      watch?.('cname', name)
      const next = this.router.match(name)
      const target = next.spec.kind === 'local' ? zones.get(next.spec.zone) : undefined
      if (!target?.loaded) return this.#chase(question, label, zone.number, chain, name, recursionDesired, asker, watch, links + 1)
      within = target
    }
    asker(this.#failure(question, label, zone.number, RCODE.SERVFAIL, EDE.OTHER, 'CNAME chain too long'), 0)
  }

  /** Goes on with a CNAME that leads out of our zones. */
  #chase(question: Question, label: number, source: number, chain: OwnedRrset[], name: string, recursionDesired: boolean, asker: Asker, watch: Watch | undefined, links: number): void {
    const plain = nameWire(name)
    const alone = (rcode: number): Entry =>
      this.#localEntry(question, label, source, rcode, { answer: chain, authority: [], additional: [] }, leastTtlOf(chain), POSITIVE)
    if (!plain) return asker(alone(RCODE.NOERROR), 0)
    const wire = Buffer.alloc(HEADER + plain.length + 4)
    wire.set(plain, HEADER)
    wire.writeUInt16BE(question.qtype, HEADER + plain.length)
    wire.writeUInt16BE(1, HEADER + plain.length + 2)
    const target: Question = { ...question, wire, name, qnameEnd: HEADER + plain.length, questionEnd: wire.length }
    this.resolve(
      target,
      recursionDesired,
      (entry, stale) => {
        const { chunk, at } = entry.block
        const b = chunk.subarray(at, at + entry.length)
        // Both halves without pointers can simply be laid end to end.
        const head = encodeLocal(question.wire.subarray(HEADER, question.questionEnd), RCODE.NOERROR, { answer: chain, authority: [], additional: [] })
        const tail = Buffer.allocUnsafe(65_535)
        const length = scan(b, b.length, records) ? compose(b, records, answerRecords(), tail, undefined, false) : -1
        if (entry.kind === FAILURE || length < 0 || !scan(tail, length, records)) return asker(alone(RCODE.NOERROR), stale)
        const joined = Buffer.concat([head, tail.subarray(records.questionEnd, length)])
        joined.writeUInt16BE(head.readUInt16BE(6) + tail.readUInt16BE(6), 6)
        if (!scan(joined, joined.length, records)) return asker(alone(RCODE.NOERROR), stale)
        const fill = prepare(joined, records, answerRecords(), true, this.#meta(POSITIVE, Math.min(leastTtlOf(chain), entry.ttl), label, source, false))
        asker(fill ? this.#keep(fill) : alone(RCODE.NOERROR), stale)
      },
      watch,
      links,
    )
  }

  #localEntry(question: Question, label: number, source: number, rcode: number, sections: { answer: readonly OwnedRrset[]; authority: readonly OwnedRrset[]; additional: readonly OwnedRrset[] }, ttl: number, kind: typeof POSITIVE | typeof NEGATIVE): Entry {
    const wire = encodeLocal(question.wire.subarray(HEADER, question.questionEnd), rcode, sections)
    const all = wire.length <= 65_535 && scan(wire, wire.length, records) ? Array.from({ length: records.count }, (_, i) => i) : undefined
    const fill = all && prepare(wire, records, all, false, { ...this.#meta(kind, ttl, label, source, true), dnssecOk: question.dnssecOk, checkingDisabled: question.checkingDisabled })
    return fill ? this.#keep(fill) : this.#failure(question, label, source, RCODE.SERVFAIL, EDE.OTHER, 'too many records for one response')
  }

  #special(question: Question, route: Route): Entry {
    const zone = new LocalZone(route.spec.zone, SPECIAL_SOA, 'ns.spartan', 1)
    const answer = zone.answer(question.name, question.qtype, () => undefined)
    return this.#localEntry(question, route.spec.label, 0, answer.rcode, answer, answer.ttl, NEGATIVE)
  }

  #any(question: Question, route: Route): Entry {
    const rrset = { type: 'HINFO', ttl: ANY_TTL, data: ['RFC8482'] }
    const wire = encodeLocal(Buffer.of(0, 0, 255, 0, 1), RCODE.NOERROR, { answer: [{ name: '.', rrset }], authority: [], additional: [] })
    const out = Buffer.allocUnsafe(question.questionEnd + wire.length)
    // The owner is the asked name, whatever octets it has: a pointer to the question.
    copy(wire, 0, HEADER, out, 0)
    let at = copy(question.wire, HEADER, question.questionEnd, out, HEADER)
    out.writeUInt16BE(0xc00c, at)
    at = copy(wire, HEADER + 6, wire.length, out, at + 2)
    scan(out, at, records)
    const fill = prepare(out, records, [0], true, { ...this.#meta(POSITIVE, ANY_TTL, route.spec.label, numberOf(route), false), dnssecOk: question.dnssecOk, checkingDisabled: question.checkingDisabled })
    return fill ? this.#keep(fill) : this.#failure(question, route.spec.label, 0, RCODE.SERVFAIL, EDE.OTHER, '')
  }

  #renameBack(question: Question, entry: Entry, from: string, to: string, label: number): Entry {
    const { chunk, at } = entry.block
    const b = chunk.subarray(at, at + entry.length)
    if (!scan(b, b.length, records)) return entry
    const all = Array.from({ length: records.count }, (_, i) => i)
    const meta: FillMeta = {
      kind: entry.kind, ttl: Math.max(0, Math.floor((entry.expiresAt - this.#means.now()) / 1000)), stale: 0, staleTtl: entry.staleTtl, ede: entry.ede,
      edeText: entry.edeText ? Buffer.from(entry.edeText).toString() : '', zone: label, source: entry.source, failures: entry.failures,
      dnssecOk: question.dnssecOk, checkingDisabled: question.checkingDisabled, authoritative: (b[2]! & 0x04) !== 0,
    }
    const fill = prepare(b, records, all, false, meta, renameBack(from, to))
    return fill ? this.#keep(fill) : this.#failure(question, label, entry.source, RCODE.SERVFAIL, EDE.OTHER, 'a name of the answer is too long under the asked suffix')
  }

  // Forwarding.

  #forward(question: Question, route: Route, asker: Asker, watch: Watch | undefined): void {
    const { cache, counters, maxInFlight, now } = this.#means
    const key = flightKey(question)
    const flying = this.#flights.get(key)
    if (flying) {
      counters[SLOT.coalesced]! += 1
      watch?.('coalesced', `${flying.askers.length} already wait`)
      flying.askers.push(asker)
      return
    }
    const bits = keyBits(question.dnssecOk, question.checkingDisabled)
    const old = cache.find(question.wire, HEADER, question.qnameEnd, question.qtype, bits)
    const t = now()
    const stale = old && old.kind !== FAILURE && old.source === numberOf(route) && t < old.staleUntil ? old : undefined
    if (stale && stale.retryAt > t) {
      watch?.('stale', 'the last refresh failed a moment ago')
      return this.#answerStale(stale, asker)
    }
    if (this.#flights.size >= maxInFlight) {
      counters[SLOT.shed]! += 1
      const oldest = this.#flights.values().next().value
      if (oldest) this.#giveUp(oldest, 'too many questions in flight')
    }
    this.#launch(question, route, asker, stale, old?.kind === FAILURE ? old.failures + 1 : 0, watch)
  }

  #launch(question: Question, route: Route, asker: Asker | undefined, stale: Entry | undefined, failures = 0, watch?: Watch): void {
    const { timers, now } = this.#means
    const flight = new Flight(question, route, stale, failures, f => this.#staleTimer(f))
    if (asker) flight.askers.push(asker)
    this.#flights.set(flight.key, flight)
    this.#asked++
    if (stale) timers.schedule(flight, now() + STALE_AFTER_MS)
    const { spec } = route
    if (spec.kind !== 'forward' || route.upstreams.length === 0) return this.#failed(flight, 'no upstream is configured or known', EDE.NOT_READY, RCODE.SERVFAIL)
    const wire = upstreamQuery(question.wire, question.questionEnd, question.dnssecOk, question.checkingDisabled)
    if (spec.policy === 'hedge') {
      watch?.('hedge', route.upstreams.map(u => u.name).join(' '))
      void hedge(wire, route.upstreams, this.#means, watch).then(outcome => this.#outcome(flight, outcome))
      return
    }
    const t = now()
    const living = route.upstreams.filter(u => !u.dead)
    const probed = route.upstreams.filter(u => u.dead && u.takeProbe(t))
    const lanes = [...living, ...probed]
    watch?.('race', lanes.map(u => u.name).join(' '))
    if (lanes.length === 0) return this.#failed(flight, 'every upstream is known to be dead', EDE.NO_REACHABLE_AUTHORITY, RCODE.SERVFAIL)
    const race = new Race(wire, lanes, Math.max(1, living.length), this.#means, outcome => this.#outcome(flight, outcome), late => this.#late(flight, late), watch)
    race.start()
  }

  #outcome(flight: Flight, outcome: Outcome): void {
    if (flight.done) return
    if (outcome.kind === 'failed') {
      const why =
        outcome.why === 'silence' ? 'no upstream answered in time'
        : outcome.why === 'unreachable' ? 'no upstream could be reached'
        : `${outcome.upstream?.name ?? 'upstream'} said ${rcodeName(outcome.rcode)}`
      return this.#failed(flight, why, outcome.why === 'unreachable' ? EDE.NETWORK_ERROR : EDE.NO_REACHABLE_AUTHORITY, outcome.why === 'soft' ? outcome.rcode : RCODE.SERVFAIL)
    }
    const entry = this.#fill(flight, outcome)
    if (!entry) return this.#failed(flight, `${outcome.upstream.name} sent a response that cannot be used`, EDE.OTHER, RCODE.SERVFAIL)
    this.#land(flight)
    for (const asker of flight.askers) asker(entry, 0)
  }

  #fill(flight: Flight, outcome: Extract<Outcome, { kind: 'response' }>): Entry | undefined {
    const { question, route } = flight
    const { clamps } = this.#means
    const { is, wire } = outcome
    if (is.kind === 'soft' || is.kind === 'truncated' || route.spec.kind !== 'forward') return undefined
    if (!scan(wire, wire.length, records)) return undefined
    const policy = route.spec.ttl
    const ttl = is.kind === 'positive' ? positiveTtl(policy, question.name, is.ttl ?? 0, clamps) : negativeTtl(policy, is.ttl, clamps)
    const meta = {
      ...this.#meta(kindOf(is.kind), ttl, route.spec.label, numberOf(route), false),
      stale: ttl > 0 ? clamps.serveStale : 0,
      staleTtl: policy === 'cluster' ? CLUSTER_STALE_TTL : EXTERNAL_STALE_TTL,
      dnssecOk: question.dnssecOk,
      checkingDisabled: question.checkingDisabled,
    }
    const fill = prepare(wire, records, is.keep, is.whole, meta)
    return fill && this.#keep(fill)
  }

  /** A positive answer that came after a negative one was given: whoever asks next gets it. */
  #late(flight: Flight, outcome: Outcome): void {
    if (outcome.kind === 'response' && flight.route.spec.kind === 'forward') this.#fill(flight, outcome)
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
          this.resolve(other, true, entry => asker(this.#renameBack(question, entry, zone.apex, route.spec.zone, route.spec.label), EDE.STALE))
        }
        return
      }
    }
    if (stale && !stale.gone) {
      stale.failures = Math.min(stale.failures + 1, 5)
      stale.retryAt = now() + failureTtl(stale.failures) * 1000
      for (const asker of flight.askers) this.#answerStale(stale, asker)
      return
    }
    // A prefetch that failed must not put a failure over the answer that is still good.
    if (flight.askers.length === 0) return
    counters[SLOT.failuresCached]! += 1
    const meta: FillMeta = {
      ...this.#meta(FAILURE, failureTtl(flight.failures), route.spec.label, numberOf(route), false),
      ede, edeText: why, failures: flight.failures, dnssecOk: question.dnssecOk, checkingDisabled: question.checkingDisabled,
    }
    const entry = this.#keep(bareFill(question.wire, question.questionEnd, question.qtype, rcode, meta))
    for (const asker of flight.askers) asker(entry, 0)
  }

  #staleTimer(flight: Flight): void {
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
    flight.due = Infinity
    if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key)
  }

  // Entries.

  #meta(kind: Fill['kind'], ttl: number, zone: number, source: number, authoritative: boolean): FillMeta {
    return { kind, ttl, stale: 0, staleTtl: 1, ede: -1, edeText: '', zone, source, failures: 0, dnssecOk: false, checkingDisabled: false, authoritative }
  }

  /** Puts a fill into the cache; with TTL 0 it only lives long enough to be answered from. */
  #keep(fill: Fill): Entry {
    const { cache, now, epoch } = this.#means
    const t = now()
    return (fill.ttl >= 1 && cache.fill(fill, t, epoch())) || passing(fill, t)
  }

  /** A response of our own that says what went wrong; not kept. */
  #failure(question: Question, label: number, source: number, rcode: number, ede: number, text: string): Entry {
    const meta: FillMeta = { ...this.#meta(FAILURE, 0, label, source, false), ede, edeText: text, dnssecOk: question.dnssecOk, checkingDisabled: question.checkingDisabled }
    return passing(bareFill(question.wire, question.questionEnd, question.qtype, rcode, meta), this.#means.now())
  }
}

/** An entry outside the cache. */
const passing = (fill: Fill, now: number): Entry => {
  const entry = new Entry()
  store(entry, fill, { chunk: Buffer.allocUnsafe(room(fill)), at: 0 }, 0, now)
  return entry
}

const numberOf = (route: Route): number => (route.spec.kind === 'forward' ? route.spec.number : 0)
const leastTtlOf = (sets: readonly OwnedRrset[]): number => Math.min(...sets.map(s => s.rrset.ttl))
/** Numbers of the answer records in the table last scanned. */
const answerRecords = (): number[] => Array.from({ length: records.count }, (_, i) => i).filter(i => records.section[i] === ANSWER)
const otherName = (name: string, zone: string, to: string): string => (name === zone ? to : name.slice(0, name.length - zone.length) + to)
