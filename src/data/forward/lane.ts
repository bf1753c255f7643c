/** One upstream in a race. */
import type { Milliseconds } from '../../boundary/messages.ts'
import { hasEdns, withoutEdns } from '../../wire/question.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { StreamAttempts } from './stream-attempts.ts'

/** Not asked yet; it will be asked when the upstreams before it are late. */
export const IDLE = 0
/** Asked; it may still answer over UDP or over its stream. */
export const ASKED = 1
export const POSITIVE = 2
export const NXDOMAIN = 3
export const NODATA = 4
/** It answered, but another upstream may do better. */
export const SOFT = 5
/** It refused the question, or was silent for too long. */
export const FAILED = 6
export type LaneState =
  | typeof IDLE
  | typeof ASKED
  | typeof POSITIVE
  | typeof NXDOMAIN
  | typeof NODATA
  | typeof SOFT
  | typeof FAILED

export class Lane {
  readonly upstream: Upstream
  state: LaneState = IDLE
  /** When it was first asked, and how often. */
  askedAt: Milliseconds = 0
  sends = 0
  /** From now on it is asked without OPT. */
  plain = false
  /** It is asked without OPT because it refused a query with OPT. */
  refusedEdns = false
  /** Its reply was truncated or damaged, so it is asked over TCP. */
  cut = false
  /** The question over TCP, TLS or HTTPS, if it is asked there. */
  stream: StreamAttempts | undefined

  constructor(upstream: Upstream) {
    this.upstream = upstream
  }

  /** The question as it is sent to this upstream. */
  wireOf(question: Buffer): Buffer {
    return this.plain && hasEdns(question) ? withoutEdns(question) : question
  }
}
