/**
 * Converts weights to slots. A VIP has a list of slots, and a backend has as many as its weight says; the kernel
 * picks one at random for each new connection. Slots cost memory and time in the kernel, so weights are divided by
 * their greatest common divisor and, if necessary, scaled down.
 */

/** Limit of slots for one VIP, unless it has more backends than this. */
export const MOST_SLOTS = 256
/** Limit of backends for one VIP; further ones get no connections, which is reported. */
export const MOST_BACKENDS = 1_024
/** Limit of slots of all VIPs together; nft loads this many in about 3 s. */
export const TOTAL_SLOTS = 250_000

export type Slots = {
  /** Number of slots of each backend, in the order of the weights. */
  readonly counts: readonly number[]
  /** Whether the shares differ from the weights. */
  readonly capped: boolean
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))
const sum = (values: readonly number[]): number => values.reduce((all, one) => all + one, 0)

/** Slots for weights that are all above 0; `most` is at least 1. */
export const slotsOf = (weights: readonly number[], most: number = MOST_SLOTS): Slots => {
  const used = weights.slice(0, MOST_BACKENDS)
  const divisor = used.reduce(gcd, 0) || 1
  const shares = used.map(weight => weight / divisor)
  const total = sum(shares)
  const cut = used.length < weights.length
  const fit = (counts: readonly number[], capped: boolean): Slots => ({
    counts: [...counts, ...new Array<number>(weights.length - used.length).fill(0)],
    capped: capped || cut,
  })
  const limit = Math.max(most, used.length)
  if (total <= limit) return fit(shares, false)
  // One slot for each, and the others in proportion to the weights; the largest remainders are rounded up.
  const room = limit - used.length
  const exact = shares.map(share => (share / total) * room)
  const counts = exact.map(share => 1 + Math.floor(share))
  const order = exact
    .map((share, i) => ({ i, rest: share - Math.floor(share) }))
    .sort((a, b) => b.rest - a.rest || a.i - b.i)
  for (let left = limit - sum(counts), k = 0; left > 0; left--, k++) counts[order[k]!.i]!++
  const shrunk = counts.reduce(gcd, 0)
  return fit(
    counts.map(count => count / shrunk),
    true,
  )
}
