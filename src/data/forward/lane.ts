/** One upstream's place in a race. */
import type { Milliseconds } from '../../boundary/messages.ts'
import { hasEdns, withoutEdns } from '../../wire/question.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { StreamAttempts } from './stream-attempts.ts'

/** Not asked yet: its turn comes when those before it are late. */
export const IDLE = 0
/** Asked, and no end in sight: it may still answer over UDP or over its stream. */
export const ASKED = 1
export const POSITIVE = 2
export const NXDOMAIN = 3
export const NODATA = 4
/** It answered, and another upstream may do better. */
export const SOFT = 5
/** It was refused, or silent for too long. */
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
  /** When it was first asked, and how often it was. */
  askedAt: Milliseconds = 0
  sends = 0
  /** It is asked without OPT from now on. */
  plain = false
  /** It is asked without OPT because it refused a query with one. */
  refusedEdns = false
  /** A reply of it came cut or damaged, so that it was asked over TCP. */
  cut = false
  /** The question over TCP, TLS or HTTPS, once it is asked there. */
  stream: StreamAttempts | undefined

  constructor(upstream: Upstream) {
    this.upstream = upstream
  }

  /** The question as it is sent to this upstream. */
  wireOf(question: Buffer): Buffer {
    return this.plain && hasEdns(question) ? withoutEdns(question) : question
  }
}
