/**
 * The last minutes, in memory: what the counters said every few seconds, so
 * that the status page can speak of "now" instead of "since start", and the
 * last changes of state. Both are rings of fixed size.
 */
import {
  BLOCK,
  KINDS,
  RCODE_LABELS,
  SERVERS,
  SLOT,
  TIME_BUCKETS,
  TIME_CELLS,
  ZONES,
} from '../boundary/counters.ts'
import type { Milliseconds } from '../boundary/messages.ts'

const CELLS = SERVERS * ZONES

/** The counters summed over listeners and zones. */
export type Totals = {
  readonly at: Milliseconds
  readonly queries: number
  readonly lookups: number
  readonly hits: number
  readonly stale: number
  /** In the order of RCODE_LABELS. */
  readonly rcodes: readonly number[]
  /** Responses by time, one count a bucket of TIME_BUCKETS and one beyond. */
  readonly durations: readonly number[]
}

const sum = (counters: Float64Array, from: number, length: number): number => {
  let total = 0
  for (let i = from; i < from + length; i++) total += counters[i]!
  return total
}

/** Sum over all listeners and zones of column `i` of tables `width` wide. */
const column = (counters: Float64Array, block: number, width: number, i: number): number => {
  let total = 0
  for (let cell = 0; cell < CELLS; cell++) total += counters[block + cell * width + i]!
  return total
}

/** Reads and sums; some 20,000 additions, 30 µs. */
export const totals = (counters: Float64Array, at: Milliseconds): Totals => ({
  at,
  queries: sum(counters, BLOCK.requests, BLOCK.responses - BLOCK.requests),
  lookups: sum(counters, BLOCK.lookups, CELLS),
  hits: sum(counters, BLOCK.hits, CELLS * KINDS.length),
  stale: counters[SLOT.staleServed] ?? 0,
  rcodes: RCODE_LABELS.map((_, i) => column(counters, BLOCK.responses, RCODE_LABELS.length, i)),
  durations: Array.from({ length: TIME_CELLS - 1 }, (_, i) =>
    column(counters, BLOCK.duration, TIME_CELLS, i),
  ),
})

/**
 * The time in seconds within which a share of all responses left: the upper
 * bound of the bucket it falls in, drawn nearer by its place in the bucket.
 * Undefined without responses; Infinity beyond the last bound.
 */
export const quantile = (durations: readonly number[], share: number): number | undefined => {
  const count = durations.reduce((a, b) => a + b, 0)
  if (count === 0) return undefined
  let left = share * count
  for (const [i, upper] of TIME_BUCKETS.entries()) {
    const n = durations[i] ?? 0
    if (n > 0 && left <= n) {
      const lower = TIME_BUCKETS[i - 1] ?? 0
      return lower + (upper - lower) * (left / n)
    }
    left -= n
  }
  return Infinity
}

/** What happened between two looks at the counters. */
export type Rates = {
  readonly seconds: number
  readonly qps: number
  /** Share of look-ups answered from the cache, undefined without look-ups. */
  readonly hitRatio: number | undefined
  readonly stale: number
  /** Seconds, see `quantile`. */
  readonly p50: number | undefined
  readonly p99: number | undefined
  /** Counts of the RCODEs that occurred. */
  readonly rcodes: Readonly<Record<string, number>>
}

const less = (a: readonly number[], b: readonly number[]): number[] =>
  a.map((n, i) => n - (b[i] ?? 0))

const between = (from: Totals, to: Totals): Rates => {
  const seconds = (to.at - from.at) / 1000
  const lookups = to.lookups - from.lookups
  const durations = less(to.durations, from.durations)
  const rcodes = less(to.rcodes, from.rcodes)
  return {
    seconds,
    qps: seconds > 0 ? (to.queries - from.queries) / seconds : 0,
    hitRatio: lookups > 0 ? Math.min(1, (to.hits - from.hits) / lookups) : undefined,
    stale: to.stale - from.stale,
    p50: quantile(durations, 0.5),
    p99: quantile(durations, 0.99),
    rcodes: Object.fromEntries(
      RCODE_LABELS.map((label, i) => [label, rcodes[i] ?? 0] as const).filter(([, n]) => n > 0),
    ),
  }
}

/** How often `sample` is to be called. */
export const SAMPLE_MS = 5_000
/** Ten minutes of samples. */
const SAMPLES = 121

/** Remembers ten minutes of totals, sampled every SAMPLE_MS by its owner. */
export class Recent {
  readonly #counters: Float64Array
  readonly #ring: Totals[] = []

  constructor(counters: Float64Array, now: Milliseconds) {
    this.#counters = counters
    this.sample(now)
  }

  sample(now: Milliseconds): void {
    this.#ring.push(totals(this.#counters, now))
    if (this.#ring.length > SAMPLES) this.#ring.shift()
  }

  /** From the oldest sample within `window` (by default a minute) to this moment. */
  rates(now: Milliseconds, window: Milliseconds = 60_000): Rates {
    const from = this.#ring.find(({ at }) => at >= now - window) ?? this.#ring.at(-1)
    const to = totals(this.#counters, now)
    return between(from ?? to, to)
  }

  /** Queries per second between neighbouring samples, oldest first; at most 120. */
  history(): number[] {
    return this.#ring.slice(1).map((to, i) => between(this.#ring[i] ?? to, to).qps)
  }
}

/** A change of state worth an operator's eye. */
export type Event = {
  /** Unix time, milliseconds. */
  readonly at: number
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
  /** How many times in a row it was said; `at` is the last. */
  readonly count: number
}

/** The last 100 changes of state; a repetition only counts up. */
export class Events {
  readonly #ring: Event[] = []

  add(at: number, level: Event['level'], text: string): void {
    const last = this.#ring.at(-1)
    if (last?.text === text && last.level === level) {
      this.#ring[this.#ring.length - 1] = { ...last, at, count: last.count + 1 }
      return
    }
    // Texts can name what came from outside; one line of a page is enough of it.
    this.#ring.push({ at, level, text: text.slice(0, 300), count: 1 })
    if (this.#ring.length > 100) this.#ring.shift()
  }

  /** Newest first. */
  list(): Event[] {
    return [...this.#ring].reverse()
  }
}
