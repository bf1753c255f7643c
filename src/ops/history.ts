/** The data of /v1/history, which the plots of the status page draw. */

/**
 * Ten minutes in columns: one value for each pair of neighbouring samples, oldest first, at most 120. Counts are per
 * second, times in seconds; null means no value.
 */
export type History = {
  /** Unix time in seconds at the end of each interval. */
  readonly at: readonly number[]
  /** Queries answered from the cache, by upstreams, and by stale answers. */
  readonly hits: readonly number[]
  readonly misses: readonly number[]
  readonly stale: readonly number[]
  readonly queries: readonly number[]
  readonly hitRatio: readonly (number | null)[]
  readonly p50: readonly (number | null)[]
  readonly p99: readonly (number | null)[]
  /** Responses per second by RCODE, without NOERROR and NXDOMAIN; only RCODEs that occurred. */
  readonly errors: Readonly<Record<string, readonly number[]>>
  /** Races won per second by upstream; only upstreams that won one. */
  readonly wins: Readonly<Record<string, readonly number[]>>
}
