/**
 * How long an answer is kept. Cluster names change often, and their clients assume that they are not cached;
 * external names use their own TTLs within configured limits.
 */
import type { Seconds } from '../../boundary/messages.ts'

export type TtlClamps = {
  readonly minTtl: Seconds
  readonly maxTtl: Seconds
  readonly maxNegativeTtl: Seconds
  readonly serveStale: Seconds
}

/** `.mesos` names change with each task; DC/OS uses 5 for local zones, too. */
const CLUSTER_TTL = 5
/** Admin Router resolves the leader periodically and assumes that nothing caches it. */
const LEADER_TTL = 1
/** Schedulers repeat a look-up at start until their own name exists (dcos-commons#2548). */
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

/** `ttl` undefined: without SOA the answer may not be kept (RFC 2308 §5), in the cluster for a second. */
export const negativeTtl = (
  policy: 'cluster' | 'external',
  ttl: Seconds | undefined,
  clamps: TtlClamps,
): Seconds => {
  if (policy === 'cluster') return Math.min(ttl ?? CLUSTER_NEGATIVE_TTL, CLUSTER_NEGATIVE_TTL)
  return ttl === undefined ? 0 : Math.min(Math.max(ttl, clamps.minTtl), clamps.maxNegativeTtl)
}

/** RFC 9520 §3.2: at least a second, then doubled, up to 30 s. */
export const failureTtl = (failuresBefore: number): Seconds =>
  Math.min(30, 2 ** Math.min(failuresBefore, 5))

/** TTL shown by a stale answer of a route with this policy. */
export const staleTtlOf = (policy: 'cluster' | 'external'): Seconds =>
  policy === 'cluster' ? CLUSTER_STALE_TTL : EXTERNAL_STALE_TTL
