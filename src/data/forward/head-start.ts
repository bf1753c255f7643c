/**
 * The order in which external upstreams are asked, and how long each has the
 * question to itself before the next is asked too. Pure.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** Head start of an upstream whose latency is not known; people who run dig call this instant. */
const UNKNOWN_HEAD_START_MS = 100
const LEAST_HEAD_START_MS = 20
const MOST_HEAD_START_MS = 400
/** More than this many are never asked for one question. */
const MOST_LANES = 4
/** Ranks are expected milliseconds; these put the unknown after the known and the sick after both. */
const UNKNOWN_RANK = 1e5
const SICK_RANK = 1e6

/** Those who are asked, in order: the known by their expected time, then the unknown, then the sick. The dead are not asked. */
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

/** How long the next upstream waits for this one: twice the usual time. */
export const headStart = ({ latency }: Upstream): Milliseconds =>
  latency.known
    ? Math.min(MOST_HEAD_START_MS, Math.max(LEAST_HEAD_START_MS, 2 * latency.expectedMs))
    : UNKNOWN_HEAD_START_MS
