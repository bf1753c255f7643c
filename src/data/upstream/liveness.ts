/**
 * Whether one upstream answers: a failure score that halves every ten seconds,
 * and a rule for when silence is death. A dead upstream gets no questions,
 * only probes, and is alive again at its first reply.
 * Pure: every call says what time it is, in milliseconds on the data thread's clock.
 */
import type { Milliseconds } from '../../boundary/messages.ts'

const HALF_LIFE_MS = 10_000
/** A failure score above this makes an upstream sick: it is asked after the others. */
const SICK = 3
/** Questions in a row without a reply, and for how long, before an upstream is dead. */
const DEAD_AFTER = 2
const DEAD_AFTER_MS = 1_000
/** A port that is closed says so at once; this many refusals in a row need no second of silence. */
const DEAD_AFTER_REFUSALS = 4
const PROBE_FIRST_MS = 500
/** An upstream that answers again is noticed within this and the time until the next look (250 ms). */
const PROBE_MOST_MS = 4_000
/** An upstream whose neighbours are asked is itself asked at least this often, so that it is known when it is needed. */
const QUIET_MS = 2_000

export type Failure = 'timeout' | 'unreachable' | 'servfail' | 'refused' | 'other'
export type State = 'unknown' | 'up' | 'sick' | 'dead'

export class Liveness {
  #score = 0
  #scoreAt = 0
  /** Silent failures since the last reply, and when the first of those questions was sent. */
  #inARow = 0
  #silentSince = Infinity
  #dead = false
  #repliedAt = -Infinity
  /** When the next probe is due while it is suspect or dead; Infinity while it is neither. */
  #probeAt = Infinity
  #probePauseMs = PROBE_FIRST_MS
  /** When its route was last used without asking it, and when it was last probed for that. */
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
  /** Questions and probes in a row that it left without a reply. */
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

  /** It replied, whatever it said. True if that brought it back from the dead. */
  replied(now: Milliseconds): boolean {
    const back = this.#dead
    this.#repliedAt = now
    this.#inARow = 0
    this.#silentSince = Infinity
    this.#dead = false
    this.#probeAt = Infinity
    this.#probePauseMs = PROBE_FIRST_MS
    return back
  }

  /** A question sent at `sentAt` failed. True if that was what killed it. */
  failed(now: Milliseconds, sentAt: Milliseconds, failure: Failure): boolean {
    this.#score = this.score(now) + 1
    this.#scoreAt = now
    this.#failure = failure
    this.#failedAt = now
    // A server that says SERVFAIL is alive: it may be sick, but it is not dead.
    if (failure !== 'timeout' && failure !== 'unreachable') return false
    // It has replied since: this one question was slow or got lost.
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

  /** A question sent at `sentAt` is late. If nothing came since, a probe tells whether the question is slow or the upstream silent. */
  suspected(now: Milliseconds, sentAt: Milliseconds): void {
    if (sentAt > this.#repliedAt && this.#probeAt === Infinity) this.#probeAt = now
  }

  /** Its route is used, and this question does not go to it. */
  wanted(now: Milliseconds): void {
    this.#wantedAt = now
  }

  /** Whether to probe it now; says yes once for each time that a probe is due. */
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

  /** Milliseconds until the next probe of a suspect or dead upstream; 0 when it is neither. */
  nextProbeIn(now: Milliseconds): Milliseconds {
    return this.#probeAt === Infinity ? 0 : Math.max(0, this.#probeAt - now)
  }
}
