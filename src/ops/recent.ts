/**
 * The last ten minutes in memory: samples of the counters, so that the status page can show current rates, and the
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
  UPSTREAM_ROW,
  UPSTREAM_SLOT,
  UPSTREAMS,
  ZONES,
} from '../boundary/counters.ts'
import type { Milliseconds } from '../boundary/messages.ts'
import type { History } from './history.ts'

/** The counters, summed over listeners and zones. */
export type Totals = {
  readonly at: Milliseconds
  readonly queries: number
  readonly lookups: number
  readonly hits: number
  readonly stale: number
  /** In the order of RCODE_LABELS. */
  readonly rcodes: readonly number[]
  /** Responses by time: one count for each of TIME_BUCKETS, and one above. */
  readonly durations: readonly number[]
  /** Races won, by the upstream's slot. */
  readonly wins: readonly number[]
}

/** Which of the rows of counters, one for each listener and zone, are used. */
export type Cells = {
  readonly servers: number
  readonly zones: number
  /** Index of the zone label that only the daemon's own queries have, -1 for none. */
  readonly own: number
}

const ALL: Cells = { servers: SERVERS, zones: ZONES, own: -1 }

/** Sums the rows of `width` counters, without the zone `own`. */
const sums = (counters: Float64Array, block: number, width: number, cells: Cells): number[] => {
  const total = new Array<number>(width).fill(0)
  const { servers, zones, own } = cells
  for (let server = 0; server < servers; server++)
    for (let zone = 0; zone < zones; zone++) {
      if (zone === own) continue
      const row = block + (server * ZONES + zone) * width
      for (let i = 0; i < width; i++) total[i]! += counters[row + i]!
    }
  return total
}

const add = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0)

/** Reads and sums the counters: 90 of each cell, 23,000 of all. */
export const totals = (counters: Float64Array, at: Milliseconds, cells: Cells = ALL): Totals => {
  const perCell = (BLOCK.responses - BLOCK.requests) / (SERVERS * ZONES)
  return {
    at,
    queries: add(sums(counters, BLOCK.requests, perCell, cells)),
    lookups: add(sums(counters, BLOCK.lookups, 1, cells)),
    hits: add(sums(counters, BLOCK.hits, KINDS.length, cells)),
    stale: counters[SLOT.staleServed] ?? 0,
    rcodes: sums(counters, BLOCK.responses, RCODE_LABELS.length, cells),
    // The last cell of a row is the sum of all times, not a count.
    durations: sums(counters, BLOCK.duration, TIME_CELLS, cells).slice(0, TIME_CELLS - 1),
    wins: Array.from(
      { length: UPSTREAMS },
      (_, slot) => counters[BLOCK.upstream + slot * UPSTREAM_ROW + UPSTREAM_SLOT.wins]!,
    ),
  }
}

/**
 * The time in seconds within which a share of all responses were sent, interpolated inside its bucket. Undefined
 * without responses; Infinity beyond the last bound.
 */
export const quantile = (durations: readonly number[], share: number): number | undefined => {
  const count = add(durations)
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

/** The changes between two samples. */
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

/** Interval at which `sample` must be called. */
export const SAMPLE_MS = 5_000
/** Ten minutes of samples. */
const SAMPLES = 121

export type RecentOptions = {
  /** The cells in use, all by default. Zones that were used once stay so; at most ZONES are counted. */
  readonly cells?: () => Cells
}

/** Keeps ten minutes of totals; the owner calls `sample` every SAMPLE_MS. */
export class Recent {
  readonly #counters: Float64Array
  readonly #cells: () => Cells
  #zones = 0
  readonly #ring: Totals[] = []

  constructor(
    counters: Float64Array,
    now: Milliseconds,
    { cells = () => ALL }: RecentOptions = {},
  ) {
    this.#counters = counters
    this.#cells = cells
    this.sample(now)
  }

  sample(now: Milliseconds): void {
    this.#ring.push(this.#totals(now))
    if (this.#ring.length > SAMPLES) this.#ring.shift()
  }

  /** Rates from the oldest sample within `window` (default: a minute) to now. */
  rates(now: Milliseconds, window: Milliseconds = 60_000): Rates {
    const from = this.#ring.find(({ at }) => at >= now - window) ?? this.#ring.at(-1)
    const to = this.#totals(now)
    return between(from ?? to, to)
  }

  /** Queries per second between neighbouring samples, oldest first; at most 120. */
  qps(): number[] {
    return this.#steps().map(({ rates }) => rates.qps)
  }

  /**
   * The data of all plots. `now` and `tick` are the current time as Unix milliseconds and on the clock of `sample`;
   * `upstreams` maps slots to names.
   */
  history(
    now: number,
    tick: Milliseconds,
    upstreams: readonly { readonly slot: number; readonly name: string }[],
  ): History {
    const steps = this.#steps()
    const perSecond = (of: (step: Step) => number): number[] =>
      steps.map(step => of(step) / Math.max(step.rates.seconds, 0.001))
    const some = (columns: [string, number[]][]): Record<string, number[]> =>
      Object.fromEntries(columns.filter(([, values]) => values.some(n => n > 0)))
    const finite = (n: number | undefined): number | null =>
      n === undefined ? null : Math.min(n, 2 * TIME_BUCKETS.at(-1)!)
    return {
      at: steps.map(({ to }) => Math.round((now - (tick - to.at)) / 1000)),
      hits: perSecond(({ from, to }) => to.hits - from.hits),
      misses: perSecond(({ from, to }) => to.lookups - from.lookups - (to.hits - from.hits)),
      stale: perSecond(({ rates }) => rates.stale),
      queries: steps.map(({ rates }) => rates.qps),
      hitRatio: steps.map(({ rates }) => rates.hitRatio ?? null),
      p50: steps.map(({ rates }) => finite(rates.p50)),
      p99: steps.map(({ rates }) => finite(rates.p99)),
      errors: some(
        RCODE_LABELS.filter(label => label !== 'NOERROR' && label !== 'NXDOMAIN').map(label => [
          label,
          perSecond(({ rates }) => rates.rcodes[label] ?? 0),
        ]),
      ),
      wins: some(
        upstreams.map(({ slot, name }) => [
          name,
          perSecond(({ from, to }) => (to.wins[slot] ?? 0) - (from.wins[slot] ?? 0)),
        ]),
      ),
    }
  }

  /** Since the start: races that this upstream won, and its replies that contradicted the client's answer. */
  upstream(slot: number): { wins: number; disagreements: number } {
    const row = BLOCK.upstream + slot * UPSTREAM_ROW
    return {
      wins: this.#counters[row + UPSTREAM_SLOT.wins]!,
      disagreements: this.#counters[row + UPSTREAM_SLOT.disagreements]!,
    }
  }

  #totals(now: Milliseconds): Totals {
    const cells = this.#cells()
    // Counts of a zone that a reload has removed are not taken back.
    this.#zones = Math.min(ZONES, Math.max(this.#zones, cells.zones))
    return totals(this.#counters, now, { ...cells, zones: this.#zones })
  }

  #steps(): Step[] {
    return this.#ring.slice(1).map((to, i) => {
      const from = this.#ring[i] ?? to
      return { from, to, rates: between(from, to) }
    })
  }
}

/** Two neighbouring samples and the rates between them. */
type Step = { readonly from: Totals; readonly to: Totals; readonly rates: Rates }

/** A change of state for the operator. */
export type Event = {
  /** Unix time, milliseconds. */
  readonly at: number
  readonly level: 'info' | 'warn' | 'error'
  readonly text: string
  /** How many times in a row it happened; `at` is the last time. */
  readonly count: number
}

/** The last 100 changes of state. A repetition only increments its count. */
export class Events {
  readonly #ring: Event[] = []

  add(at: number, level: Event['level'], text: string): void {
    const last = this.#ring.at(-1)
    if (last?.text === text && last.level === level) {
      this.#ring[this.#ring.length - 1] = { ...last, at, count: last.count + 1 }
      return
    }
    // Limited, because texts may contain data from outside.
    this.#ring.push({ at, level, text: text.slice(0, 300), count: 1 })
    if (this.#ring.length > 100) this.#ring.shift()
  }

  /** Newest first. */
  list(): Event[] {
    return [...this.#ring].reverse()
  }
}
