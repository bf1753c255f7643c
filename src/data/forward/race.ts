/**
 * The judged race: one question to several upstreams at once, their replies
 * ranked and not merely timed (design, section 2.2).
 *
 *     NOERROR with an answer      wins at once
 *     NXDOMAIN, NODATA            held; wins when a majority says the same,
 *                                 when all have answered, or after the grace
 *     SERVFAIL, REFUSED, ...      kept; given only if nothing better came
 *     TC                          the same upstream is asked over TCP
 *
 * A race is a state machine over three events: a reply, a refusal, a timer.
 * It makes no promise per lane: p-any's cost 15 µs a race (design, 2.1), so
 * p-any races what is a promise anyway (hedge.ts). Losers that answer later
 * still teach us their latency and whether they disagree.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Peer } from '../io/packet-io.ts'
import { RCODE } from '../../wire/codes.ts'
import { Records, scan } from '../../wire/scan.ts'
import { classify, type Classified, type ResponseKind } from './classify.ts'
import { answers, type Exchange, type Exchanges, type Ticket } from '../upstream/exchange.ts'
import { hasEdns, withoutEdns } from '../../wire/question.ts'
import type { Timed, Timers } from '../timers.ts'
import type { Failure, Upstream } from '../upstream/upstream.ts'
import type { UpstreamCounts } from '../upstream/upstream-counts.ts'

/** What became of a question: a response to use, or why there is none. */
export type Outcome =
  | {
      readonly kind: 'response'
      readonly upstream: Upstream
      readonly wire: Buffer
      readonly records: Records
      readonly is: Classified
    }
  | {
      readonly kind: 'failed'
      readonly why: 'silence' | 'unreachable' | 'soft'
      readonly rcode: number
      readonly upstream: Upstream | undefined
    }

export type RaceRules = {
  readonly grace: Milliseconds
  readonly deadline: Milliseconds
  readonly retransmit: readonly Milliseconds[]
}

export type RaceMeans = {
  readonly exchanges: Exchanges
  readonly timers: Timers
  readonly rules: RaceRules
  /** The same question to one upstream over its stream: TCP, TLS or HTTPS. */
  readonly overStream: (
    upstream: Upstream,
    question: Buffer,
    signal: AbortSignal,
  ) => Promise<Buffer>
  readonly peerOf: (upstream: Upstream) => Peer
  readonly counts: UpstreamCounts
  readonly now: () => Milliseconds
}

/** Who started a race. */
export interface RaceOwner {
  /** Its end, once; a response is wire[0, records.end), valid during the call only. */
  finish(outcome: Outcome): void
  /** A positive answer came after a negative one had been given. */
  late(outcome: Outcome): void
}

/** Told of each step when somebody watches (query --trace). */
export type Watch = (step: string, detail: string) => void

const PENDING = 0
const TCP = 1
const POSITIVE = 2
const NXDOMAIN = 3
const NODATA = 4
const SOFT = 5
const FAILED = 6

/** How long a decided race waits for its losers, to learn from them. */
const LINGER_MS = 400

const mine = new Records()
const pending = (): number => PENDING

export class Race implements Exchange, Timed {
  due = 0
  place = -1
  readonly peers: readonly Peer[]
  readonly #lanes: readonly Upstream[]
  readonly #state: number[]
  readonly #means: RaceMeans
  /** Let go of when nothing that may still come would interest it: losers can be slow, and it holds much. */
  #owner: RaceOwner | undefined
  readonly #watch: Watch | undefined
  readonly #question: Buffer
  #stop: AbortController | undefined
  /** Lanes that count for a majority: those not known dead. */
  readonly #voters: number
  #ticket: Ticket | undefined
  #startedAt = 0
  #sends = 1
  #pending: number
  #done = false
  #outcomeKind: ResponseKind | 'failed' = 'failed'
  #held: Buffer | undefined
  #heldLane = 0
  #graceEndsAt = Infinity
  #softRcode = -1
  #softLane = 0
  /** Lanes that were asked without OPT, a bit each. */
  #plain = 0

  /**
   * @param lanes who is asked; probes of dead upstreams last
   * @param voters how many of them are not known dead
   * @param peers where the lanes are, when the caller has them at hand
   */
  constructor(
    question: Buffer,
    lanes: readonly Upstream[],
    voters: number,
    means: RaceMeans,
    owner: RaceOwner,
    watch?: Watch,
    peers: readonly Peer[] = lanes.map(means.peerOf),
  ) {
    this.#question = question
    this.#lanes = lanes
    this.#voters = voters
    this.#state = lanes.map(pending)
    this.#pending = lanes.length
    this.#means = means
    this.#owner = owner
    this.#watch = watch
    this.peers = peers
  }

  start(): void {
    const { exchanges, counts, now } = this.#means
    this.#startedAt = now()
    for (const upstream of this.#lanes) counts.add(upstream.slot, 'requests')
    this.#ticket = exchanges.ask(this.#question, this)
    if (!this.#ticket) return this.#fail('unreachable')
    const edns = hasEdns(this.#question)
    for (let lane = 0; lane < this.#lanes.length; lane++) {
      if (edns && !this.#lanes[lane]!.wantsEdns(this.#startedAt)) this.#sendPlain(lane)
      else exchanges.send(this.#ticket, lane, this.#question)
    }
    this.#schedule()
  }

  /** Gives up without an outcome; used when somebody else has won. */
  cancel(): void {
    if (!this.#done) this.#close()
    this.#done = true
  }

  onReply(lane: number, b: Buffer, r: Records, now: number): void {
    if (this.#state[lane] !== PENDING) return
    const upstream = this.#lanes[lane]!
    const is = classify(b, r)
    const { counts } = this.#means
    const tookMs = now - this.#startedAt
    counts.reply(upstream.slot, is.rcode, tookMs)
    this.#watch?.(
      'reply',
      `${upstream.name}: ${is.kind}, rcode ${is.rcode}, ${tookMs.toFixed(1)} ms`,
    )
    if (
      is.kind === 'soft' &&
      (is.rcode === RCODE.FORMERR || is.rcode === RCODE.NOTIMP) &&
      hasEdns(this.#question) &&
      (this.#plain & (1 << lane)) === 0
    ) {
      upstream.dropEdns(now)
      this.#sendPlain(lane)
      return
    }
    // A sample after a retransmit may belong to either send (Karn); it is left out.
    const back = upstream.replied(now, this.#sends === 1 ? tookMs : upstream.srttMs || tookMs)
    if (back) counts.back(upstream)
    if (is.kind === 'truncated') {
      if (this.#done) this.#settle(lane, SOFT, now)
      else this.#askTcp(lane)
      return
    }
    this.#judge(lane, b, r, is, now)
  }

  onRefused(lane: number, code: string, now: number): void {
    if (this.#state[lane] !== PENDING) return
    const upstream = this.#lanes[lane]!
    this.#watch?.('refused', `${upstream.name}: ${code}`)
    this.#lost(lane, 'unreachable', now)
  }

  fire(now: number): void {
    if (this.#done) return this.#endLinger(now)
    const elapsed = now - this.#startedAt
    if (elapsed >= this.#means.rules.deadline || now >= this.#graceEndsAt) return this.#decide(now)
    const next = this.#means.rules.retransmit[this.#sends - 1]
    if (next !== undefined && elapsed >= next) {
      this.#sends++
      for (let lane = 0; lane < this.#lanes.length; lane++) {
        if (this.#state[lane] !== PENDING || !this.#ticket) continue
        this.#means.counts.add(this.#lanes[lane]!.slot, 'retransmits')
        // Some old servers stay silent to any OPT; the last try goes without (RFC 6891 §6.2.2).
        if (
          (this.#sends > this.#means.rules.retransmit.length || this.#plain & (1 << lane)) &&
          hasEdns(this.#question)
        )
          this.#sendPlain(lane)
        else this.#means.exchanges.send(this.#ticket, lane, this.#question)
      }
      this.#watch?.('retransmit', `after ${elapsed.toFixed(0)} ms`)
    }
    this.#schedule()
  }

  #judge(lane: number, b: Buffer, r: Records, is: Classified, now: number): void {
    const upstream = this.#lanes[lane]!
    if (is.kind === 'soft') {
      const failure: Failure =
        is.rcode === RCODE.SERVFAIL ? 'servfail' : is.rcode === RCODE.REFUSED ? 'refused' : 'other'
      if (upstream.failed(now, failure)) this.#means.counts.dead(upstream)
      if (
        this.#softRcode !== RCODE.SERVFAIL &&
        (this.#softRcode < 0 || is.rcode === RCODE.SERVFAIL)
      ) {
        this.#softRcode = is.rcode
        this.#softLane = lane
      }
      return this.#settle(lane, SOFT, now)
    }
    const state = is.kind === 'positive' ? POSITIVE : is.kind === 'nxdomain' ? NXDOMAIN : NODATA
    if (this.#done) {
      const contradicts =
        (is.kind === 'positive') !== (this.#outcomeKind === 'positive') &&
        this.#outcomeKind !== 'failed'
      if (contradicts) this.#means.counts.disagree(upstream, this.#outcomeKind, is.kind)
      if (is.kind === 'positive' && this.#outcomeKind !== 'positive') {
        this.#owner?.late({ kind: 'response', upstream, wire: b, records: r, is })
      }
      return this.#settle(lane, state, now)
    }
    if (is.kind === 'positive') {
      this.#state[lane] = POSITIVE
      this.#pending--
      return this.#win(lane, b, r, is, now)
    }
    // Of two kinds of no, NODATA says less and so harms less when it is wrong.
    if (
      !this.#held ||
      (state === NODATA && this.#state[this.#heldLane] === NXDOMAIN && !this.#agreed(NXDOMAIN))
    ) {
      this.#held = Buffer.from(b.subarray(0, r.end))
      this.#heldLane = lane
    }
    if (this.#graceEndsAt === Infinity) this.#graceEndsAt = now + this.#means.rules.grace
    this.#settle(lane, state, now)
  }

  /** A lane has its end; decide if nothing better can come. */
  #settle(lane: number, state: number, now: number): void {
    if (this.#state[lane] === PENDING || this.#state[lane] === TCP) this.#pending--
    this.#state[lane] = state
    if (this.#done) {
      if (this.#pending === 0) this.#close()
    } else if (this.#pending === 0 || this.#agreed(NXDOMAIN) || this.#agreed(NODATA))
      this.#decide(now)
    else this.#schedule()
  }

  /** A majority of the voters says the same no. */
  #agreed(state: number): boolean {
    let n = 0
    for (const s of this.#state) if (s === state) n++
    return n > 0 && n >= Math.floor(this.#voters / 2) + 1
  }

  #decide(now: number): void {
    if (this.#held) {
      const wire = this.#held
      scan(wire, wire.length, mine)
      return this.#win(this.#heldLane, wire, mine, classify(wire, mine), now)
    }
    if (this.#softRcode >= 0) {
      return this.#end({
        kind: 'failed',
        why: 'soft',
        rcode: this.#softRcode,
        upstream: this.#lanes[this.#softLane],
      })
    }
    this.#fail(this.#pending === 0 ? 'unreachable' : 'silence')
  }

  #win(lane: number, wire: Buffer, records: Records, is: Classified, now: number): void {
    const upstream = this.#lanes[lane]!
    const { counts } = this.#means
    counts.add(upstream.slot, 'wins')
    this.#outcomeKind = is.kind
    this.#watch?.(
      'winner',
      `${upstream.name}: ${is.kind} after ${(now - this.#startedAt).toFixed(1)} ms`,
    )
    for (let i = 0; i < this.#lanes.length; i++) {
      const said = this.#state[i]!
      if (is.kind === 'positive' && (said === NXDOMAIN || said === NODATA)) {
        counts.disagree(this.#lanes[i]!, 'positive', said === NXDOMAIN ? 'nxdomain' : 'nodata')
      }
    }
    this.#end({ kind: 'response', upstream, wire, records, is })
  }

  #fail(why: 'silence' | 'unreachable'): void {
    this.#watch?.('failed', why)
    this.#end({ kind: 'failed', why, rcode: RCODE.SERVFAIL, upstream: undefined })
  }

  #end(outcome: Outcome): void {
    this.#done = true
    this.#stop?.abort()
    this.#held = undefined
    if (this.#pending === 0) this.#close()
    else this.#means.timers.schedule(this, this.#means.now() + LINGER_MS)
    const owner = this.#owner
    if (this.#outcomeKind === 'positive') this.#owner = undefined
    owner?.finish(outcome)
  }

  /** Those still silent at the end have failed. */
  #endLinger(now: number): void {
    for (let lane = 0; lane < this.#lanes.length; lane++) {
      if (this.#state[lane] === PENDING) this.#blame(lane, 'timeout', now)
    }
    this.#close()
  }

  #lost(lane: number, failure: Failure, now: number): void {
    this.#blame(lane, failure, now)
    this.#settle(lane, FAILED, now)
  }

  #blame(lane: number, failure: Failure, now: number): void {
    const upstream = this.#lanes[lane]!
    this.#means.counts.add(upstream.slot, failure === 'timeout' ? 'timeouts' : 'unreachable')
    if (upstream.failed(now, failure)) this.#means.counts.dead(upstream)
  }

  #close(): void {
    if (this.#ticket) this.#means.exchanges.end(this.#ticket)
    this.#ticket = undefined
    this.#means.timers.cancel(this)
    this.#stop?.abort()
  }

  #schedule(): void {
    const { rules, timers } = this.#means
    const retransmit = rules.retransmit[this.#sends - 1] ?? Infinity
    timers.schedule(
      this,
      Math.min(this.#startedAt + Math.min(retransmit, rules.deadline), this.#graceEndsAt),
    )
  }

  #sendPlain(lane: number): void {
    this.#plain |= 1 << lane
    if (this.#ticket) this.#means.exchanges.send(this.#ticket, lane, withoutEdns(this.#question))
  }

  #askTcp(lane: number): void {
    const upstream = this.#lanes[lane]!
    this.#state[lane] = TCP
    this.#means.counts.add(upstream.slot, 'tcpRetries')
    this.#means
      .overStream(upstream, this.#question, (this.#stop ??= new AbortController()).signal)
      .then(
        wire => {
          const now = this.#means.now()
          if (this.#state[lane] !== TCP || this.#done) return
          if (!scan(wire, wire.length, mine) || !answers(this.#question, wire, mine))
            return this.#lost(lane, 'other', now)
          const is = classify(wire, mine)
          // TC over TCP promises nothing more.
          if (is.kind === 'truncated') this.#lost(lane, 'other', now)
          else this.#judge(lane, wire, mine, is, now)
        },
        () => {
          if (this.#state[lane] === TCP && !this.#done)
            this.#lost(lane, 'unreachable', this.#means.now())
        },
      )
  }
}
