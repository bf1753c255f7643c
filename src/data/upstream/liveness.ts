/**
 * Tracks whether one upstream answers. A failure score halves every ten seconds; enough silence makes the upstream
 * dead. A dead upstream gets probes but no questions, and is alive again after its first reply.
 * Pure: each call passes the time, in milliseconds on the data thread's clock.
 */
import type { Milliseconds } from '../../boundary/messages.ts'

const HALF_LIFE_MS = 10_000
/** A failure score above this makes an upstream sick: it is asked after the others. */
const SICK = 3
/** An upstream is dead after this many unanswered questions in a row, if they span at least this time. */
const DEAD_AFTER = 2
const DEAD_AFTER_MS = 1_000
/** A closed port is reported at once, so this many refusals in a row need no waiting time. */
const DEAD_AFTER_REFUSALS = 4
const PROBE_FIRST_MS = 500
/** Longest pause between probes. A returning upstream is noticed within this plus the check interval of 250 ms. */
const PROBE_MOST_MS = 4_000
/** While the other upstreams of its route are asked, this one is probed at least this often, so that its state is known. */
const QUIET_MS = 2_000

export type Failure = 'timeout' | 'unreachable' | 'servfail' | 'refused' | 'other'
export type State = 'unknown' | 'up' | 'sick' | 'dead'

export class Liveness {
  #score = 0
  #scoreAt = 0
  /** Unanswered questions since the last reply, and the time when the first of them was sent. */
  #inARow = 0
  #silentSince = Infinity
  #dead = false
  #repliedAt = -Infinity
  /** When the next probe is due while it is suspect or dead; Infinity while it is neither. */
  #probeAt = Infinity
  #probePauseMs = PROBE_FIRST_MS
  /** When its route was last used without this upstream, and when a probe was last sent because of that. */
  #wantedAt = -Infinity
  #lookedAt = -Infinity
  #failure: Failure | '' = ''
  #failedAt = -Infinity

  get dead(): boolean {
    return this.#dead
  }
  /** The last failure and when it was; '' and -Infinity when there was none. */
  get failure(): Failure | '' {
    return this.#failure
  }
  get failedAt(): Milliseconds {
    return this.#failedAt
  }
  /** Unanswered questions and probes in a row. */
  get silences(): number {
    return this.#inARow
  }
  /** When it last replied; -Infinity when it never has. */
  get repliedAt(): Milliseconds {
    return this.#repliedAt
  }

  score(now: Milliseconds): number {
    return this.#score * 2 ** (-(now - this.#scoreAt) / HALF_LIFE_MS)
  }

  state(now: Milliseconds): State {
    if (this.#dead) return 'dead'
    if (this.#repliedAt === -Infinity) return 'unknown'
    return this.score(now) > SICK ? 'sick' : 'up'
  }

  /** Records a reply of any kind. True if the upstream was dead before. */
  replied(now: Milliseconds): boolean {
    const back = this.#dead
    // Its silence counts no longer, but with its next failure it is sick: it may answer only now and then.
    if (back) {
      this.#score = Math.min(this.score(now), SICK)
      this.#scoreAt = now
    }
    this.#repliedAt = now
    this.#inARow = 0
    this.#silentSince = Infinity
    this.#dead = false
    this.#probeAt = Infinity
    this.#probePauseMs = PROBE_FIRST_MS
    return back
  }

  /** Records the failure of a question that was sent at `sentAt`. True if the upstream is dead because of it. */
  failed(now: Milliseconds, sentAt: Milliseconds, failure: Failure): boolean {
    this.#score = this.score(now) + 1
    this.#scoreAt = now
    this.#failure = failure
    this.#failedAt = now
    // A server that says SERVFAIL is alive: it may be sick, but it is not dead.
    if (failure !== 'timeout' && failure !== 'unreachable') return false
    // It has replied since, so only this question was slow or lost.
    if (failure === 'timeout' && sentAt <= this.#repliedAt) return false
    this.#inARow++
    this.#silentSince = Math.min(this.#silentSince, sentAt)
    this.suspected(now, sentAt)
    if (this.#dead) return false
    this.#dead =
      (this.#inARow >= DEAD_AFTER && now - this.#silentSince >= DEAD_AFTER_MS) ||
      (failure === 'unreachable' && this.#inARow >= DEAD_AFTER_REFUSALS)
    return this.#dead
  }

  /** Records that a question sent at `sentAt` is late. If there was no reply since, a probe shows whether the upstream is silent. */
  suspected(now: Milliseconds, sentAt: Milliseconds): void {
    if (sentAt > this.#repliedAt && this.#probeAt === Infinity) this.#probeAt = now
  }

  /** Records that its route was used by a question that did not go to this upstream. */
  wanted(now: Milliseconds): void {
    this.#wantedAt = now
  }

  /** Whether to send a probe now. True only once for each due probe. */
  takeProbe(now: Milliseconds): boolean {
    if (now >= this.#probeAt) {
      this.#probeAt = now + this.#probePauseMs
      this.#probePauseMs = Math.min(PROBE_MOST_MS, this.#probePauseMs * 2)
      return true
    }
    const heardAt = Math.max(this.#repliedAt, this.#lookedAt)
    if (this.#probeAt !== Infinity || this.#wantedAt <= heardAt || now - heardAt < QUIET_MS)
      return false
    this.#lookedAt = now
    return true
  }

  /** Whether a probe will be due without any further question. */
  get awaitsProbe(): boolean {
    return this.#probeAt !== Infinity || this.#wantedAt > Math.max(this.#repliedAt, this.#lookedAt)
  }

  /** Milliseconds until the next probe of a suspect or dead upstream; 0 when it is neither. */
  nextProbeIn(now: Milliseconds): Milliseconds {
    return this.#probeAt === Infinity ? 0 : Math.max(0, this.#probeAt - now)
  }
}
