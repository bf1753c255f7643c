/** What /v1/history says and the plots of the status page draw. */

/**
 * Ten minutes as columns, one value for each pair of neighbouring samples,
 * oldest first, at most 120. Counts are per second; times are seconds; null is
 * "nothing to tell", as JSON has no other word for it.
 */
export type History = {
  /** Unix time in seconds at the end of each interval. */
  readonly at: readonly number[]
  /** Queries answered from the cache, by asking on, and by a stale answer. */
  readonly hits: readonly number[]
  readonly misses: readonly number[]
  readonly stale: readonly number[]
  readonly queries: readonly number[]
  readonly hitRatio: readonly (number | null)[]
  readonly p50: readonly (number | null)[]
  readonly p99: readonly (number | null)[]
  /** Responses a second by RCODE, of those RCODEs other than NOERROR and NXDOMAIN that occurred. */
  readonly errors: Readonly<Record<string, readonly number[]>>
  /** Races won a second, by upstream, of those that won any. */
  readonly wins: Readonly<Record<string, readonly number[]>>
}
