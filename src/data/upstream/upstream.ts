/**
 * One upstream: how fast it answers, how often it fails, and whether it is
 * asked at all. The failure score halves every ten seconds (the originals
 * counted for ever, so one bad minute pushed a server behind until restart).
 * A dead upstream is probed with a growing pause and comes back at its first
 * reply. Pure: every call says what time it is.
 */
import { showUpstream } from '../../config/address.ts'
import type { Milliseconds, UpstreamSpec, UpstreamStatus } from '../../boundary/messages.ts'

const HALF_LIFE_MS = 10_000
/** Failures in a row, and the time since the last reply, that make an upstream dead. */
const DEAD_AFTER = 4
const DEAD_AFTER_MS = 1_000
/** A failure score above this makes it sick: asked after the others when hedging. */
const SICK = 3
const PROBE_FIRST_MS = 500
/** Masters come back all at once after an outage; more than this would be felt. */
const PROBE_MOST_MS = 5_000
/** Weight of a new latency sample, as in TCP's estimate (RFC 6298 §2). */
const GAIN = 1 / 8

export type Failure = 'timeout' | 'unreachable' | 'servfail' | 'refused' | 'other'

export class Upstream {
  readonly spec: UpstreamSpec
  /** As it is called in logs, metrics and traces. */
  readonly name: string
  /** Smoothed round-trip time; 0 before the first reply. */
  srttMs = 0
  /** False for a while after it choked on our OPT. */
  edns = true
  #ednsAgainAt = 0
  #score = 0
  #scoreAt = 0
  #inARow = 0
  #lastReplyAt = -Infinity
  #firstFailureAt = -Infinity
  #dead = false
  #probeAt = 0
  #probePauseMs = PROBE_FIRST_MS
  #lastFailure: Failure | '' = ''

  constructor(spec: UpstreamSpec) {
    this.spec = spec
    this.name = upstreamName(spec)
  }

  get dead(): boolean {
    return this.#dead
  }
  get slot(): number {
    return this.spec.slot
  }

  score(now: Milliseconds): number {
    return this.#score * 2 ** (-(now - this.#scoreAt) / HALF_LIFE_MS)
  }

  sick(now: Milliseconds): boolean {
    return this.#dead || this.score(now) > SICK
  }

  /** A reply that counts for its health came. True if that brought it back. */
  replied(now: Milliseconds, tookMs: Milliseconds): boolean {
    this.srttMs = this.srttMs === 0 ? tookMs : this.srttMs + GAIN * (tookMs - this.srttMs)
    this.#lastReplyAt = now
    this.#inARow = 0
    const back = this.#dead
    this.#dead = false
    this.#probePauseMs = PROBE_FIRST_MS
    return back
  }

  /** It failed. True if that was what killed it. */
  failed(now: Milliseconds, failure: Failure): boolean {
    this.#score = this.score(now) + 1
    this.#scoreAt = now
    this.#lastFailure = failure
    // A server that says SERVFAIL is alive: it counts as sick, never as dead.
    if (failure !== 'timeout' && failure !== 'unreachable') return false
    if (this.#inARow++ === 0) this.#firstFailureAt = now
    if (this.#dead) return false
    const silentMs = now - Math.max(this.#lastReplyAt, this.#firstFailureAt)
    if (this.#inARow < DEAD_AFTER || (failure === 'timeout' && silentMs < DEAD_AFTER_MS))
      return false
    this.#dead = true
    this.#probePauseMs = PROBE_FIRST_MS
    this.#probeAt = now + this.#probePauseMs
    return true
  }

  /** Whether a dead upstream may be asked now; says yes once per pause. */
  takeProbe(now: Milliseconds): boolean {
    if (!this.#dead || now < this.#probeAt) return false
    this.#probePauseMs = Math.min(PROBE_MOST_MS, this.#probePauseMs * 2)
    this.#probeAt = now + this.#probePauseMs
    return true
  }

  /** It answered FORMERR, or nothing, to a query with OPT: leave OPT out for a minute. */
  dropEdns(now: Milliseconds): void {
    this.edns = false
    this.#ednsAgainAt = now + 60_000
  }

  /** Whether to send OPT now. */
  wantsEdns(now: Milliseconds): boolean {
    if (!this.edns && now >= this.#ednsAgainAt) this.edns = true
    return this.edns
  }

  status(now: Milliseconds): UpstreamStatus {
    return {
      slot: this.slot,
      name: this.name,
      state: this.#dead ? 'dead' : this.sick(now) ? 'sick' : 'up',
      srttMs: this.srttMs,
      failureScore: this.score(now),
      lastFailure: this.#lastFailure,
      nextProbeInMs: this.#dead ? Math.max(0, this.#probeAt - now) : 0,
    }
  }
}

/** 192.0.2.1:53, [2001:db8::1]:53, tls://192.0.2.1:853#name or the URL: two that differ in it are two upstreams. */
export const upstreamName: (spec: UpstreamSpec) => string = showUpstream
