/**
 * A histogram of latencies with 64 buckets per doubling: a percentile is right to 1.6 %, and samples allocate
 * nothing.
 */
const STEPS = 64
const STEP_BITS = 6
const BUCKETS = STEPS * 27

/** The least value of a bucket, in microseconds. */
const lowest = (bucket: number): number =>
  bucket < STEPS ? bucket : ((bucket & (STEPS - 1)) + STEPS) * 2 ** (Math.floor(bucket / STEPS) - 1)

export class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Adds one latency in milliseconds. */
  add(ms: number): void {
    const us = ms > 0 ? Math.min(Math.round(ms * 1000), 0x7fffffff) : 0
    const doublings = us < STEPS ? 0 : 31 - Math.clz32(us) - STEP_BITS + 1
    const bucket =
      doublings === 0 ? us : doublings * STEPS + ((us >> (doublings - 1)) & (STEPS - 1))
    this.#buckets[bucket]!++
    this.#count++
  }

  /** The latency in microseconds below which this share of the samples lies; NaN without samples. */
  percentile(share: number): number {
    if (this.#count === 0) return NaN
    let left = Math.max(1, Math.ceil(this.#count * share))
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#buckets[bucket]!
      if (left <= 0) return lowest(bucket)
    }
    return NaN
  }

  /** Share of the samples over so many milliseconds; NaN without samples. */
  shareOver(ms: number): number {
    if (this.#count === 0) return NaN
    let over = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++)
      if (lowest(bucket) > ms * 1000) over += this.#buckets[bucket]!
    return over / this.#count
  }

  clear(): void {
    this.#buckets.fill(0)
    this.#count = 0
  }
}
