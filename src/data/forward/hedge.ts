/**
 * External upstreams, asked one after another with head starts: the best
 * first, the next when the best is later than usual, or at once when it
 * failed. p-any takes the first response that is good enough; losing is not
 * failing, and the losers are told to stop.
 */
import pAny from 'p-any'
import type { Milliseconds } from '../../boundary/messages.ts'
import { RCODE } from '../../wire/codes.ts'
import { Records, scan } from '../../wire/scan.ts'
import { classify } from './classify.ts'
import { answers } from '../upstream/exchange.ts'
import { Race, type Outcome, type RaceMeans, type Watch } from './race.ts'
import type { Timed, Timers } from '../timers.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Head start of an upstream whose latency is not known; dig's users call this instant. */
const FIRST_HEAD_START_MS = 100
const LEAST_HEAD_START_MS = 20
const MOST_HEAD_START_MS = 400
/** More than this many are never asked for one question. */
const MOST_LANES = 4

/** Upstreams in the order they are asked: well before sick, then by latency; the unknown count as fast so that they get known. */
export const hedgeOrder = (upstreams: readonly Upstream[], now: Milliseconds): Upstream[] => {
  const well = upstreams.filter(u => !u.dead || u.takeProbe(now))
  const order = well.length > 0 ? well : [...upstreams]
  const rank = (u: Upstream): number => (u.dead ? 1e9 : u.sick(now) ? 1e6 : 0) + u.srttMs
  return order.sort((a, b) => rank(a) - rank(b)).slice(0, MOST_LANES)
}

/** How long the next upstream waits for this one. */
export const headStart = (upstream: Upstream): Milliseconds =>
  upstream.srttMs === 0
    ? FIRST_HEAD_START_MS
    : Math.min(MOST_HEAD_START_MS, Math.max(LEAST_HEAD_START_MS, 2 * upstream.srttMs))

/** An attempt that failed, as what p-any collects; never seen by a client. */
type Failed = Extract<Outcome, { kind: 'failed' }>

/**
 * Asks `upstreams` until one gives a usable response. Of a response, `wire` is
 * the caller's to keep and to scan again; `records` are not.
 */
export const hedge = async (
  question: Buffer,
  upstreams: readonly Upstream[],
  means: RaceMeans,
  watch?: Watch,
): Promise<Outcome> => {
  const order = hedgeOrder(upstreams, means.now())
  const stop = new Stop()
  const late = new Gate(means.timers, means.rules.deadline, means.now())
  const failures: Failed[] = []
  const doors = order.map((_, i) => (i === 0 ? undefined : new Gate(means.timers)))
  const attempts = order.map(async (upstream, i) => {
    await doors[i]?.opened
    if (stop.stopped) throw new Error('too late')
    const next = doors[i + 1]
    next?.openIn(headStart(upstream), means.now())
    const outcome = await attempt(question, upstream, means, stop, watch)
    if (outcome.kind === 'response') return outcome
    failures.push(outcome)
    next?.open()
    throw new Error(outcome.why)
  })
  const silence = late.opened.then((): Outcome => SILENCE)
  try {
    return await Promise.race([pAny<Outcome>(attempts), silence])
  } catch {
    // Every attempt failed: the most telling of them is the answer.
    return (
      failures.find(f => f.why === 'soft' && f.rcode === RCODE.SERVFAIL) ??
      failures.find(f => f.why === 'soft') ??
      failures[0] ??
      SILENCE
    )
  } finally {
    stop.stop()
    late.open()
    for (const door of doors) door?.open()
  }
}

const SILENCE: Failed = {
  kind: 'failed',
  why: 'silence',
  rcode: RCODE.SERVFAIL,
  upstream: undefined,
}

const mine = new Records()

/** One upstream's answer: over UDP as a race of one, else over its stream. The response is a copy. */
const attempt = async (
  question: Buffer,
  upstream: Upstream,
  means: RaceMeans,
  stop: Stop,
  watch?: Watch,
): Promise<Outcome> => {
  if (upstream.spec.protocol === 'udp') {
    return new Promise(resolve => {
      const owner = { finish: (outcome: Outcome) => resolve(kept(outcome)), late: () => {} }
      const race = new Race(question, [upstream], 1, means, owner, watch)
      stop.also(() => race.cancel())
      race.start()
    })
  }
  const startedAt = means.now()
  const controller = new AbortController()
  stop.also(() => controller.abort())
  means.counts.add(upstream.slot, 'requests')
  try {
    const wire = await means.overStream(upstream, question, controller.signal)
    const now = means.now()
    if (!scan(wire, wire.length, mine) || !answers(question, wire, mine))
      throw new Error('not an answer to the question')
    const is = classify(wire, mine)
    means.counts.reply(upstream.slot, is.rcode, now - startedAt)
    watch?.(
      'reply',
      `${upstream.name}: ${is.kind}, rcode ${is.rcode}, ${(now - startedAt).toFixed(1)} ms`,
    )
    if (is.kind === 'soft' || is.kind === 'truncated') {
      upstream.failed(now, 'servfail')
      return { kind: 'failed', why: 'soft', rcode: is.rcode, upstream }
    }
    if (upstream.replied(now, now - startedAt)) means.counts.back(upstream)
    means.counts.add(upstream.slot, 'wins')
    return kept({ kind: 'response', upstream, wire, records: mine, is })
  } catch {
    if (!stop.stopped) {
      means.counts.add(upstream.slot, 'unreachable')
      if (upstream.failed(means.now(), 'unreachable')) means.counts.dead(upstream)
    }
    return { kind: 'failed', why: 'unreachable', rcode: RCODE.SERVFAIL, upstream }
  }
}

/** An outcome whose bytes outlive the call that brought them. Its records do not: whoever uses it scans again. */
const kept = (outcome: Outcome): Outcome =>
  outcome.kind === 'response'
    ? { ...outcome, wire: Buffer.from(outcome.wire.subarray(0, outcome.records.end)) }
    : outcome

/** Tells attempts that they are no longer wanted. An AbortController per question took 2 kB. */
class Stop {
  stopped = false
  readonly #then: (() => void)[] = []

  also(what: () => void): void {
    this.#then.push(what)
  }

  stop(): void {
    this.stopped = true
    for (const what of this.#then) what()
  }
}

/** A door that opens at a time, or before it. */
class Gate implements Timed {
  due = 0
  place = -1
  readonly #timers: Timers
  #open!: () => void
  readonly opened = new Promise<void>(resolve => {
    this.#open = resolve
  })

  constructor(timers: Timers, afterMs?: Milliseconds, now = 0) {
    this.#timers = timers
    if (afterMs !== undefined) this.openIn(afterMs, now)
  }

  openIn(ms: Milliseconds, now: Milliseconds): void {
    this.#timers.schedule(this, now + ms)
  }

  open(): void {
    this.#timers.cancel(this)
    this.#open()
  }

  fire(): void {
    this.#open()
  }
}
