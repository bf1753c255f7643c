/**
 * Declares metric families and converts their series to text. prom-client's Counter and Histogram cannot be used,
 * because they count themselves; ours read numbers that were counted elsewhere. The families are in metrics.ts.
 */
import type { MetricValue } from 'prom-client'

/** A metric as documentation, dashboards and tests see it. */
export type MetricDef = {
  /** Without the prefix. */
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly labels: readonly string[]
  readonly help: string
}

/** Upper bounds of a histogram. Its cells are one counter for each bound, one for +Inf, and the sum. */
export type Bounds = readonly number[]

/** Adds one series: its value, then its label values in the order of the declaration. */
export type Put = (value: number, ...labels: readonly string[]) => void
/** Adds one histogram: cells[at] is the count of the lowest bucket. Counts are per bucket, not cumulative. */
export type PutHistogram = (
  cells: ArrayLike<number>,
  at: number,
  ...labels: readonly string[]
) => void

/** A family and the function that reads its numbers; `S` is that function's source. */
export type Family<S> =
  | (MetricDef & { readonly type: 'counter' | 'gauge'; readonly read: (from: S, put: Put) => void })
  | (MetricDef & {
      readonly type: 'histogram'
      readonly bounds: Bounds
      readonly read: (from: S, put: PutHistogram) => void
    })

/** A family of one number without labels, of a reading that may be missing now: then it has no series. */
export const single = <R>(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  number: (reading: R) => number | undefined,
): Family<() => R | undefined> => ({
  name,
  type,
  labels: [],
  help,
  read: (from, put) => {
    const reading = from()
    const value = reading === undefined ? undefined : number(reading)
    if (value !== undefined) put(value)
  },
})

/** The families as a table, for the documentation. */
export const definitions = (families: readonly MetricDef[]): readonly MetricDef[] =>
  families.map(({ name, type, labels, help }) => ({ name, type, labels, help }))

/**
 * Limit of series in one family; further ones are summed under the label value 'other'. Our largest family has at
 * most 12,288, so only labels that other parties can invent reach this.
 */
export const SERIES_CAP = 16_384

type Value = MetricValue<string> & { metricName?: string; sharedLabels?: Record<string, string> }
/** The parts of a metric that prom-client's Registry uses. */
type Exposed = { name: string; help: string; type: string; values: Value[]; aggregator: 'sum' }

/** Series by label values; equal ones are summed, so that no series is written twice. */
const collect = <V>(
  labels: readonly string[],
  cap: number,
  add: (had: V | undefined, more: V) => V,
) => {
  const series = new Map<string, { readonly labels: Record<string, string>; value: V }>()
  const put = (value: V, values: readonly string[]): void => {
    const key = values.join('\0')
    const had = series.get(key)
    if (had) had.value = add(had.value, value)
    else if (series.size < cap || values.every(v => v === 'other')) {
      const named = Object.fromEntries(labels.map((label, i) => [label, values[i] ?? '']))
      series.set(key, { labels: named, value: add(undefined, value) })
    } else {
      put(
        value,
        labels.map(() => 'other'),
      )
    }
  }
  return { series, put }
}

const numbers = <S>(
  family: Family<S> & { type: 'counter' | 'gauge' },
  from: S,
  cap: number,
): Value[] => {
  const { series, put } = collect<number>(family.labels, cap, (had = 0, more) => had + more)
  family.read(from, (value, ...labels) => put(value, labels))
  return [...series.values()]
}

const histograms = <S>(
  family: Family<S> & { type: 'histogram' },
  name: string,
  from: S,
  cap: number,
): Value[] => {
  const width = family.bounds.length + 2
  const { series, put } = collect<Float64Array>(family.labels, cap, (had, more) => {
    if (had === undefined) return more
    for (let i = 0; i < width; i++) had[i]! += more[i]!
    return had
  })
  // The cells are copied first, because the data thread goes on counting and the last bucket must equal the count.
  family.read(from, (cells, at, ...labels) =>
    put(
      Float64Array.from({ length: width }, (_, i) => cells[at + i] ?? 0),
      labels,
    ),
  )
  const values: Value[] = []
  for (const { labels: sharedLabels, value: cells } of series.values()) {
    let count = 0
    for (let i = 0; i < width - 1; i++) {
      count += cells[i]!
      const le = family.bounds[i] ?? '+Inf'
      values.push({ metricName: `${name}_bucket`, labels: { le }, sharedLabels, value: count })
    }
    values.push({ metricName: `${name}_sum`, labels: {}, sharedLabels, value: cells[width - 1]! })
    values.push({ metricName: `${name}_count`, labels: {}, sharedLabels, value: count })
  }
  return values
}

/** A family as prom-client's Registry expects it: `get` reads its numbers at scrape time. */
export const exposed = <S>(family: Family<S>, prefix: string, from: S, cap = SERIES_CAP) => {
  const name = prefix + family.name
  const { help, type } = family
  return {
    name,
    help,
    type,
    get: (): Promise<Exposed> =>
      Promise.resolve({
        name,
        help,
        type,
        aggregator: 'sum',
        values:
          family.type === 'histogram'
            ? histograms(family, name, from, cap)
            : numbers(family, from, cap),
      }),
    reset: (): void => {},
  }
}
