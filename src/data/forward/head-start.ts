/**
 * The order in which external upstreams are asked, and how long each has before the next one is asked, too. Pure.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Head start of an upstream with unknown latency; short enough that people do not notice it. */
const UNKNOWN_HEAD_START_MS = 100
const LEAST_HEAD_START_MS = 20
const MOST_HEAD_START_MS = 400
/** Limit of upstreams asked for one question. */
const MOST_LANES = 4
/** Ranks are expected milliseconds; these values put unknown upstreams after known ones, and sick ones last. */
const UNKNOWN_RANK = 1e5
const SICK_RANK = 1e6

/**
 * The upstreams to ask in order: known ones by expected time, then unknown ones, then sick ones. Dead ones are left
 * out.
 */
export const askingOrder = (upstreams: readonly Upstream[], now: Milliseconds): Upstream[] =>
  upstreams
    .filter(u => !u.dead)
    .sort((a, b) => rank(a, now) - rank(b, now))
    .slice(0, MOST_LANES)

const rank = (upstream: Upstream, now: Milliseconds): number => {
  const { latency, liveness } = upstream
  const sick = liveness.state(now) === 'sick' ? SICK_RANK : 0
  return sick + (latency.known ? 0 : UNKNOWN_RANK) + latency.expectedMs
}

/** How long to wait for this upstream before the next one is asked: twice its usual time. */
export const headStart = ({ latency }: Upstream): Milliseconds =>
  latency.known
    ? Math.min(MOST_HEAD_START_MS, Math.max(LEAST_HEAD_START_MS, 2 * latency.expectedMs))
    : UNKNOWN_HEAD_START_MS
