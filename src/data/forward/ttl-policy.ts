/**
 * How long an answer is kept. Cluster names change under
 * load, and their consumers assume that nobody caches them; external names
 * follow their owners within the configured clamps.
 */
import type { Seconds } from '../../boundary/messages.ts'

export type TtlClamps = {
  readonly minTtl: Seconds
  readonly maxTtl: Seconds
  readonly maxNegativeTtl: Seconds
  readonly serveStale: Seconds
}

/** `.mesos` data moves with each task; local zones of the original said 5, too. */
const CLUSTER_TTL = 5
/** Admin Router re-resolves the leader on its own cycle and assumes no cache behind it. */
const LEADER_TTL = 1
/** Schedulers loop at start until their own name exists (dcos-commons#2548). */
const CLUSTER_NEGATIVE_TTL = 1
const CLUSTER_STALE_TTL = 1
/** RFC 8767 §4. */
const EXTERNAL_STALE_TTL = 30

const LEADER = /^(leader|master\d*)\.mesos$/

export const positiveTtl = (
  policy: 'cluster' | 'external',
  name: string,
  ttl: Seconds,
  clamps: TtlClamps,
): Seconds => {
  if (policy === 'cluster') return Math.min(ttl, LEADER.test(name) ? LEADER_TTL : CLUSTER_TTL)
  return Math.min(Math.max(ttl, clamps.minTtl), clamps.maxTtl)
}

/** `ttl` undefined: no SOA came, so the answer may not be kept (RFC 2308 §5), or for a second in the cluster. */
export const negativeTtl = (
  policy: 'cluster' | 'external',
  ttl: Seconds | undefined,
  clamps: TtlClamps,
): Seconds => {
  if (policy === 'cluster') return Math.min(ttl ?? CLUSTER_NEGATIVE_TTL, CLUSTER_NEGATIVE_TTL)
  return ttl === undefined ? 0 : Math.min(Math.max(ttl, clamps.minTtl), clamps.maxNegativeTtl)
}

/** RFC 9520 §3.2: at least a second, then doubling; 30 s is where we stop. */
export const failureTtl = (failuresBefore: number): Seconds =>
  Math.min(30, 2 ** Math.min(failuresBefore, 5))

/** TTL shown by a stale answer of a route with this policy. */
export const staleTtlOf = (policy: 'cluster' | 'external'): Seconds =>
  policy === 'cluster' ? CLUSTER_STALE_TTL : EXTERNAL_STALE_TTL
