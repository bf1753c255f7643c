/**
 * External upstreams, asked one after another with head starts: the best
 * first, the next when the best is later than usual, or at once when it
 * failed. p-any takes the first response that is good enough; losing is not
 * failing, and the losers are told to stop.
 */
import pAny from 'p-any'
import type { Milliseconds } from '../boundary.ts'
import { Records, scan } from '../wire/scan.ts'
import { classify } from './classify.ts'
import { answers } from './exchange.ts'
import { Race, type Outcome, type RaceMeans, type Watch } from './race.ts'
import type { Timed } from './timers.ts'
import type { Upstream } from './upstream.ts'

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
  const stop = new AbortController()
  const gates = order.map(() => new Gate())
  gates[0]?.open()
  const deadline = new Gate()
  means.timers.schedule(deadline, means.now() + means.rules.deadline)
  const failures: Failed[] = []
  const attempts = order.map(async (upstream, i) => {
    await gates[i]!.opened
    if (stop.signal.aborted) throw new Error('too late')
    const next = gates[i + 1]
    if (next) means.timers.schedule(next, means.now() + headStart(upstream))
    const outcome = await attempt(question, upstream, means, stop.signal, watch)
    if (outcome.kind === 'response') return outcome
    failures.push(outcome)
    next?.open()
    throw new Error(outcome.why)
  })
  const late = deadline.opened.then((): Outcome => ({
    kind: 'failed',
    why: 'silence',
    rcode: 2,
    upstream: undefined,
  }))
  try {
    return await Promise.race([pAny<Outcome>(attempts), late])
  } catch {
    // Every attempt failed: the most telling of them is the answer.
    return (
      failures.find(f => f.why === 'soft' && f.rcode === 2) ??
      failures.find(f => f.why === 'soft') ??
      failures[0] ?? { kind: 'failed', why: 'unreachable', rcode: 2, upstream: undefined }
    )
  } finally {
    stop.abort()
    deadline.due = Infinity
    for (const gate of gates) {
      gate.due = Infinity
      gate.open()
    }
  }
}

const mine = new Records()

/** One upstream's answer: over UDP as a race of one, else over its stream. The response is a copy. */
const attempt = async (
  question: Buffer,
  upstream: Upstream,
  means: RaceMeans,
  signal: AbortSignal,
  watch?: Watch,
): Promise<Outcome> => {
  if (upstream.spec.protocol === 'udp') {
    return new Promise(resolve => {
      const race = new Race(
        question,
        [upstream],
        1,
        means,
        outcome => resolve(kept(outcome)),
        undefined,
        watch,
      )
      signal.addEventListener('abort', () => race.cancel(), { once: true })
      race.start()
    })
  }
  const startedAt = means.now()
  means.counts.add(upstream.slot, 'requests')
  try {
    const wire = await means.overStream(upstream, question, signal)
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
    if (!signal.aborted) {
      means.counts.add(upstream.slot, 'unreachable')
      if (upstream.failed(means.now(), 'unreachable')) means.counts.dead(upstream)
    }
    return { kind: 'failed', why: 'unreachable', rcode: 2, upstream }
  }
}

/** An outcome whose bytes outlive the call that brought them. Its records do not: whoever uses it scans again. */
const kept = (outcome: Outcome): Outcome =>
  outcome.kind === 'response' ? { ...outcome, wire: Buffer.from(outcome.wire) } : outcome

/** A door that opens at a time, or before it. */
class Gate implements Timed {
  due = Infinity
  open!: () => void
  readonly opened = new Promise<void>(resolve => {
    this.open = resolve
  })
  fire(): void {
    this.open()
  }
}
