/**
 * One question to one or several upstreams: a state machine over five events
 * (a reply, a cut reply, a refusal, a response over a stream, a timer) whose
 * effects are datagrams, attempts over streams, and one outcome.
 *
 * Masters are all asked at once and their replies are ranked. External
 * upstreams are asked one after another, each with a head start, and the
 * first usable reply wins (`head-start.ts`). That is the only difference.
 *
 *     NOERROR with an answer      wins at once
 *     NXDOMAIN, NODATA            ranked (`verdict.ts`)
 *     SERVFAIL, REFUSED, ...      the next upstream is asked; given only if nothing better came
 *     TC, or cut on its way       the same upstream is asked over TCP
 *
 * A decided race waits for its losers for a while. Silence well past an
 * upstream's usual time is a failure, whoever won; an earlier reply teaches
 * its latency, and whether it disagrees.
 *
 * This file is long, because the events change the same few fields, so parts of it would have to share them.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Peer } from '../io/packet-io.ts'
import { RCODE } from '../../wire/codes.ts'
import { isTruncated } from '../../wire/header.ts'
import { Records, scan } from '../../wire/scan.ts'
import { classify, lacksDnssec, soft, type Classified, type ResponseKind } from './classify.ts'
import { headStart } from './head-start.ts'
import { ASKED, FAILED, Lane, NODATA, NXDOMAIN, POSITIVE, SOFT } from './lane.ts'
import type { Lingerer } from './lingering.ts'
import type {
  Outcome,
  RaceContext,
  RaceOptions,
  RaceOwner,
  RaceRules,
  Watch,
} from './race-context.ts'
import { StreamAttempts } from './stream-attempts.ts'
import { Verdict } from './verdict.ts'
import { answers, type Exchange, type Ticket } from '../upstream/exchange.ts'
import { refusesEdns } from '../upstream/edns-support.ts'
import type { Failure } from '../upstream/liveness.ts'
import { hasEdns, wantsDnssec } from '../../wire/question.ts'
import type { Timed } from '../timers.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** A slow name is slow at every upstream, so a loser may take this many times as long as the winner. */
const SLOW_QUESTION = 2
/** The limit of lanes: a ticket has one bit of a 32-bit number for each. */
export const MOST_LANES = 30

const NO_PEER: Peer = { family: 4, address: '', port: 0 }
const mine = new Records()

export class Race implements Exchange, Timed, Lingerer {
  lingers = false
  older: Lingerer | undefined
  newer: Lingerer | undefined
  due = 0
  place = -1
  readonly peers: readonly Peer[]
  readonly #lanes: readonly Lane[]
  readonly #context: RaceContext
  readonly #options: RaceOptions
  readonly #rules: RaceRules
  readonly #watch: Watch | undefined
  /** Set to undefined when no later reply matters to it. Losers may be slow, and it keeps much memory alive. */
  #owner: RaceOwner | undefined
  readonly #question: Buffer
  readonly #dnssecOk: boolean
  #tickets: Ticket | undefined
  #startedAt = 0
  /** The index of the next lane to ask, and the time to ask it. */
  #next = 0
  #nextAt = Infinity
  /** The number of lanes that were asked and may still answer. */
  #pending = 0
  #verdict: Verdict | undefined
  #graceEndsAt = Infinity
  /** When the race was decided; Infinity before that. */
  #decidedAt = Infinity
  #outcomeKind: ResponseKind | 'failed' = 'failed'

  /** @param upstreams the upstreams in the order in which they are asked */
  constructor(
    question: Buffer,
    upstreams: readonly Upstream[],
    context: RaceContext,
    owner: RaceOwner,
    options: RaceOptions,
  ) {
    this.#question = question
    this.#dnssecOk = wantsDnssec(question)
    this.#context = context
    this.#owner = owner
    this.#options = options
    this.#rules = options.rules ?? context.rules
    this.#watch = options.watch
    const lanes = new Array<Lane>(Math.min(upstreams.length, MOST_LANES))
    for (let i = 0; i < lanes.length; i++) lanes[i] = new Lane(upstreams[i]!)
    this.#lanes = lanes
    this.peers =
      options.peers ??
      lanes.map(({ upstream }) =>
        upstream.spec.protocol === 'udp' ? context.peerOf(upstream) : NO_PEER,
      )
  }

  start(): void {
    const now = this.#context.now()
    this.#startedAt = this.#nextAt = now
    this.#askNext(now)
    if (this.#decidedAt === Infinity) this.#schedule()
  }

  /** Ends the race without an outcome, because no asker waits for one. */
  cancel(): void {
    this.#owner = undefined
    if (this.#decidedAt === Infinity) this.#decidedAt = this.#context.now()
    this.#close()
  }

  // Events.

  onReply(lane: number, b: Buffer, r: Records, now: number, ticket: Ticket): void {
    const to = this.#lanes[lane]!
    if (to.state !== ASKED) return
    // A second copy of the truncated reply that led to TCP.
    if (to.stream && isTruncated(b)) return
    this.#heard(lane, b, r, now, now - ticket.sentAt)
  }

  onCut(lane: number, now: number): void {
    const to = this.#lanes[lane]!
    if (to.state !== ASKED || to.stream || to.cut) return
    to.cut = true
    this.#watch?.('cut', to.upstream.name)
    this.#overTcp(lane, now)
  }

  onRefused(lane: number, code: string, now: number): void {
    const to = this.#lanes[lane]!
    // An ICMP error may be forged. A TCP attempt that is under way notices by itself whether the upstream is reachable.
    if (to.state !== ASKED || to.stream) return
    this.#watch?.('refused', `${to.upstream.name}: ${code}`)
    this.#lost(lane, 'unreachable', now)
  }

  fire(now: number): void {
    if (this.#decidedAt < Infinity) return this.#judgeSilence(now)
    if (now >= this.#graceEndsAt || now - this.#startedAt >= this.#rules.deadline)
      return this.#decide(now)
    if (now >= this.#nextAt) this.#askNext(now)
    this.#sendAgain(now)
    this.#schedule()
  }

  // Asking.

  /** Asks the next lane; in a race of masters, all lanes. */
  #askNext(now: number): void {
    const lanes = this.#lanes
    const until = this.#options.policy === 'race' ? lanes.length : this.#next + 1
    let ticket: Ticket | undefined
    for (; this.#next < until; this.#next++) {
      const lane = lanes[this.#next]!
      lane.state = ASKED
      lane.askedAt = now
      this.#pending++
      this.#context.counts.add(lane.upstream.slot, 'requests')
      lane.plain = !lane.upstream.edns.wanted(now)
      ticket = this.#send(this.#next, now, ticket)
    }
    this.#nextAt =
      this.#next < lanes.length ? now + headStart(lanes[this.#next - 1]!.upstream) : Infinity
  }

  /** Sends the question to one lane. Returns the ticket, which later lanes of the same address family can share. */
  #send(at: number, now: number, shared: Ticket | undefined): Ticket | undefined {
    const lane = this.#lanes[at]!
    lane.sends++
    if (lane.upstream.spec.protocol !== 'udp') {
      this.#overStream(at)
      return shared
    }
    const { exchanges } = this.#context
    const { family } = this.peers[at]!
    let ticket = shared
    if (ticket?.family !== family) {
      ticket = exchanges.ask(this.#question, this, family, now)
      ticket.sibling = this.#tickets
      this.#tickets = ticket
    }
    exchanges.send(ticket, at, lane.wireOf(this.#question))
    return ticket
  }

  /** Sends the question again to each lane that is late, by that lane's own retransmission time. */
  #sendAgain(now: number): void {
    const { retransmit } = this.#rules
    let ticket: Ticket | undefined
    for (let i = 0; i < this.#next; i++) {
      const lane = this.#lanes[i]!
      const due = retransmit[lane.sends - 1]
      if (lane.state !== ASKED || due === undefined || now - lane.askedAt < due) continue
      lane.upstream.liveness.suspected(now, lane.askedAt)
      const last = lane.sends === retransmit.length
      // TCP retransmits by itself. A second attempt opens a new connection, because the first may swallow questions.
      if (lane.stream && !last) {
        lane.sends++
        continue
      }
      this.#context.counts.add(lane.upstream.slot, 'retransmits')
      this.#watch?.(
        'retransmit',
        `${lane.upstream.name}, after ${(now - lane.askedAt).toFixed(0)} ms`,
      )
      if (lane.stream) {
        lane.sends++
        lane.stream.again()
        continue
      }
      // Some old servers do not answer a query with OPT, so the last try has none (RFC 6891 §6.2.2).
      // A query with DO=1 needs OPT. A reply to the plain try proves nothing about EDNS: the earlier packets may be lost.
      if (last && !this.#dnssecOk) lane.plain = true
      ticket = this.#send(i, now, ticket)
    }
  }

  /** Asks a lane over a stream: TCP after a truncated reply, otherwise the upstream's own TCP, TLS or HTTPS. */
  #overStream(at: number): void {
    const lane = this.#lanes[at]!
    const { overStream, now } = this.#context
    const question = lane.wireOf(this.#question)
    let sentAt = now()
    const attempts = new StreamAttempts((signal, fresh) => {
      sentAt = now()
      return overStream(lane.upstream, question, signal, fresh)
    })
    lane.stream = attempts
    attempts.response.then(
      wire => {
        if (lane.state !== ASKED || lane.stream !== attempts) return
        const t = now()
        if (!scan(wire, wire.length, mine) || !answers(this.#question, wire, mine))
          return this.#streamLost(at, 'other', t)
        this.#heard(at, wire, mine, t, t - sentAt)
      },
      () => {
        if (lane.state === ASKED && lane.stream === attempts)
          this.#streamLost(at, 'unreachable', now())
      },
    )
  }

  /**
   * Handles a stream that gave no usable reply. If a truncated datagram led to the stream, that datagram may have been
   * forged or damaged, so the lane still waits for a good one.
   */
  #streamLost(at: number, failure: Failure, now: number): void {
    const lane = this.#lanes[at]!
    if (lane.cut && this.#decidedAt === Infinity) lane.stream = undefined
    else this.#lost(at, failure, now)
  }

  /** Handles a reply that is unusable. After one over a stream, the lane expects no other reply. */
  #overTcp(at: number, now: number): void {
    const lane = this.#lanes[at]!
    if (this.#decidedAt < Infinity || lane.stream) return this.#settle(at, SOFT, now)
    this.#context.counts.add(lane.upstream.slot, 'tcpRetries')
    this.#overStream(at)
  }

  // Judging.

  /** Handles a valid response of one lane, which came `tookMs` after its query was sent. */
  #heard(at: number, b: Buffer, r: Records, now: number, tookMs: number): void {
    const lane = this.#lanes[at]!
    const { upstream } = lane
    const { counts } = this.#context
    let is = classify(b, r, this.#dnssecOk)
    counts.reply(upstream.slot, is.rcode, tookMs)
    const isCut = is.kind === 'truncated' && lane.stream === undefined
    // A truncated reply does not count as a sign of life: the answer over TCP does.
    if (!isCut && upstream.replied(now, tookMs)) counts.back(upstream)
    this.#watch?.(
      'reply',
      `${upstream.name}: ${is.kind}, rcode ${is.rcode}, ${tookMs.toFixed(1)} ms`,
    )
    if (
      is.kind === 'soft' &&
      refusesEdns(is.rcode) &&
      !lane.plain &&
      hasEdns(this.#question) &&
      this.#decidedAt === Infinity
    ) {
      lane.plain = lane.refusedEdns = true
      if (lane.stream) this.#overStream(at)
      else {
        // This is no retransmission: the first try was answered, with a refusal of OPT.
        lane.sends--
        this.#send(at, now, undefined)
      }
      return
    }
    if (isCut) return this.#overTcp(at, now)
    if (is.kind === 'truncated') is = soft(RCODE.SERVFAIL)
    if (lane.refusedEdns && is.kind !== 'soft') upstream.edns.lacking(now)
    if (this.#dnssecOk && this.#options.maybeSigned && is.kind !== 'soft' && r.opt < 0)
      is = lacksDnssec()
    if (is.kind === 'soft') return this.#heardSoft(at, is, now)
    const state = is.kind === 'nxdomain' ? NXDOMAIN : is.kind === 'nodata' ? NODATA : POSITIVE
    if (this.#decidedAt < Infinity) this.#heardLate(at, state, b, r, is, now)
    else if (state === POSITIVE) {
      lane.state = POSITIVE
      this.#pending--
      this.#win(at, b, r, is, now)
    } else {
      this.#verdictNow.negative(at, state, b, r.end)
      if (this.#graceEndsAt === Infinity) this.#graceEndsAt = now + this.#rules.grace
      this.#settle(at, state, now)
    }
  }

  #heardSoft(at: number, is: Classified, now: number): void {
    this.#blame(
      at,
      is.rcode === RCODE.SERVFAIL ? 'servfail' : is.rcode === RCODE.REFUSED ? 'refused' : 'other',
      now,
    )
    if (this.#decidedAt === Infinity) this.#verdictNow.soft(at, is)
    this.#settle(at, SOFT, now)
  }

  /** Compares a loser's reply with the response that was given, and counts a contradiction. */
  #heardLate(
    at: number,
    state: typeof POSITIVE | typeof NXDOMAIN | typeof NODATA,
    wire: Buffer,
    records: Records,
    is: Classified,
    now: number,
  ): void {
    const { upstream } = this.#lanes[at]!
    const given = this.#outcomeKind
    // External upstreams may differ legitimately: filters, views, servers chosen by location.
    if (this.#options.policy === 'race' && given !== 'failed') {
      const givenPositive = given === 'positive' || given === 'alias'
      if ((state === POSITIVE) !== givenPositive)
        this.#context.counts.disagree(upstream, given, is.kind)
      if (state === POSITIVE && !givenPositive)
        this.#owner?.late({ kind: 'response', upstream, wire, records, is })
    }
    this.#settle(at, state, now)
  }

  get #verdictNow(): Verdict {
    const { policy } = this.#options
    return (this.#verdict ??= new Verdict(policy === 'race' ? this.#lanes.length : 1))
  }

  /** Called when a lane has ended. Decides the race if no better reply is possible. */
  #settle(
    at: number,
    state: typeof NXDOMAIN | typeof NODATA | typeof POSITIVE | typeof SOFT | typeof FAILED,
    now: number,
  ): void {
    const lane = this.#lanes[at]!
    lane.state = state
    this.#pending--
    if (this.#decidedAt < Infinity) {
      if (this.#pending === 0) this.#close()
      return
    }
    if (this.#verdict?.agreed) return this.#decide(now)
    // A failed upstream loses its head start: the next one is asked now.
    if (this.#next < this.#lanes.length) this.#askNext(now)
    else if (this.#pending === 0) return this.#decide(now)
    // Asking can decide the race at once, for example if every upstream is unreachable.
    if (this.#decidedAt === Infinity) this.#schedule()
  }

  #decide(now: number): void {
    const verdict = this.#verdict
    if (verdict?.held) {
      const wire = verdict.held
      scan(wire, wire.length, mine)
      return this.#win(verdict.heldLane, wire, mine, classify(wire, mine, this.#dnssecOk), now)
    }
    if (verdict && verdict.softRcode >= 0) {
      const { upstream } = this.#lanes[verdict.softLane]!
      const { softRcode: rcode, softBecause: because } = verdict
      return this.#end({ kind: 'failed', why: 'soft', rcode, upstream, because }, now)
    }
    const why = this.#pending === 0 ? 'unreachable' : 'silence'
    this.#watch?.('failed', why)
    this.#end({ kind: 'failed', why, rcode: RCODE.SERVFAIL, upstream: undefined }, now)
  }

  #win(at: number, wire: Buffer, records: Records, is: Classified, now: number): void {
    const winner = this.#lanes[at]!
    const { upstream } = winner
    const { counts } = this.#context
    counts.add(upstream.slot, 'wins')
    this.#outcomeKind = is.kind
    this.#watch?.(
      'winner',
      `${upstream.name}: ${is.kind} after ${(now - this.#startedAt).toFixed(1)} ms`,
    )
    const positive = winner.state === POSITIVE
    for (const lane of this.#lanes) {
      if (positive && (lane.state === NXDOMAIN || lane.state === NODATA))
        counts.disagree(lane.upstream, 'positive', lane.state === NXDOMAIN ? 'nxdomain' : 'nodata')
      else if (lane.state === ASKED && lane.askedAt < winner.askedAt)
        lane.upstream.latency.overtaken(now - lane.askedAt)
    }
    this.#end({ kind: 'response', upstream, wire, records, is }, now)
  }

  /** Reports the outcome to the owner, and keeps listening to the losers. */
  #end(outcome: Outcome, now: number): void {
    this.#decidedAt = now
    this.#verdict = undefined
    const owner = this.#owner
    if (this.#outcomeKind === 'positive' || this.#outcomeKind === 'alias') this.#owner = undefined
    for (let i = this.#next; i < this.#lanes.length; i++)
      this.#lanes[i]!.upstream.liveness.wanted(now)
    if (this.#pending > 0 && this.#context.lingering.add(this)) this.#judgeSilence(now)
    else this.#close()
    owner?.finish(outcome)
  }

  /** The rule for silence: a loser has failed when it is well past its usual time. */
  #judgeSilence(now: number): void {
    let next = Infinity
    for (let i = 0; i < this.#next && this.#pending > 0; i++) {
      const lane = this.#lanes[i]!
      if (lane.state !== ASKED) continue
      const judgedAt = lane.askedAt + this.#patience(lane)
      if (judgedAt > now) next = Math.min(next, judgedAt)
      else this.#lost(i, 'timeout', now)
    }
    if (this.#pending > 0) this.#context.timers.schedule(this, next)
  }

  #patience({ upstream }: Lane): Milliseconds {
    const question =
      this.#outcomeKind === 'failed' ? 0 : SLOW_QUESTION * (this.#decidedAt - this.#startedAt)
    return Math.min(this.#rules.deadline, Math.max(upstream.latency.patienceMs, question))
  }

  #lost(at: number, failure: Failure, now: number): void {
    this.#blame(at, failure, now)
    this.#settle(at, FAILED, now)
  }

  #blame(at: number, failure: Failure, now: number): void {
    const lane = this.#lanes[at]!
    const { upstream } = lane
    const { counts } = this.#context
    if (failure === 'timeout') counts.add(upstream.slot, 'timeouts')
    else if (failure === 'unreachable') counts.add(upstream.slot, 'unreachable')
    if (upstream.failed(now, lane.askedAt, failure)) counts.dead(upstream, failure)
  }

  /** Ends the race completely: later replies are ignored. */
  #close(): void {
    this.#context.lingering.delete(this)
    for (let ticket = this.#tickets; ticket; ticket = ticket.sibling)
      this.#context.exchanges.end(ticket)
    this.#tickets = undefined
    this.#context.timers.cancel(this)
    for (const { stream } of this.#lanes) stream?.stop()
    this.#pending = 0
    this.#owner = undefined
  }

  #schedule(): void {
    const { deadline, retransmit } = this.#rules
    let at = Math.min(this.#startedAt + deadline, this.#graceEndsAt, this.#nextAt)
    for (let i = 0; i < this.#next; i++) {
      const lane = this.#lanes[i]!
      const due = lane.state === ASKED ? retransmit[lane.sends - 1] : undefined
      if (due !== undefined) at = Math.min(at, lane.askedAt + due)
    }
    this.#context.timers.schedule(this, at)
  }
}
