/** The plots of the status page: ten minutes of /v1/history, drawn by uPlot, which the page loads as a global. */
import type UPlot from 'uplot'
import type { History } from '../history.ts'

declare const uPlot: typeof UPlot

/** One plot: the unit of its axis, and its curves. */
type Plot = {
  readonly unit: string
  /** Curves in the order of the legend; a colour is the name of a CSS variable. */
  readonly curves: (history: History) => readonly Curve[]
  readonly most?: number
  /** Logarithmic scale, for values over several powers of ten. */
  readonly log?: true
}
type Curve = {
  readonly name: string
  readonly colour: string
  readonly values: readonly (number | null)[]
}

const COLOURS = ['--accent', '--good', '--warn', '--bad', '--soft'] as const
const colour = (i: number): string => COLOURS[i % COLOURS.length]!
const scaled = (values: readonly (number | null)[], by: number): (number | null)[] =>
  values.map(n => (n === null ? null : n * by))

/** Each value's share of the sum in percent; null if the sum is 0. */
const shares = (
  columns: Readonly<Record<string, readonly number[]>>,
): [string, (number | null)[]][] => {
  const all = Object.values(columns)
  return Object.entries(columns).map(([name, values]) => [
    name,
    values.map((n, i) => {
      const sum = all.reduce((total, column) => total + column[i]!, 0)
      return sum > 0 ? (100 * n) / sum : null
    }),
  ])
}

/** Keyed by the `data-plot` attribute of the element. */
const PLOTS: Readonly<Record<string, Plot>> = {
  outcomes: {
    unit: '/s',
    curves: h => [
      { name: 'all', colour: '--soft', values: h.queries },
      { name: 'from the cache', colour: '--good', values: h.hits },
      { name: 'asked on', colour: '--accent', values: h.misses },
      { name: 'stale', colour: '--warn', values: h.stale },
    ],
  },
  hits: {
    unit: '%',
    most: 100,
    curves: h => [{ name: 'hit rate', colour: '--good', values: scaled(h.hitRatio, 100) }],
  },
  latency: {
    unit: 'ms',
    log: true,
    curves: h => [
      { name: 'half', colour: '--accent', values: scaled(h.p50, 1000) },
      { name: '99 %', colour: '--warn', values: scaled(h.p99, 1000) },
    ],
  },
  wins: {
    unit: '%',
    most: 100,
    curves: h => shares(h.wins).map(([name, values], i) => ({ name, colour: colour(i), values })),
  },
  errors: {
    unit: '/s',
    curves: h =>
      Object.entries(h.errors).map(([name, values], i) => ({
        name,
        colour: name === 'SERVFAIL' ? '--bad' : colour(i + 1),
        values,
      })),
  },
}

const HEIGHT = 150

const css = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** A time in seconds as 14:05, or as 14:05:30 with `seconds`. */
const clock = (at: number, seconds = false): string =>
  new Date(at * 1000).toTimeString().slice(0, seconds ? 8 : 5)

/** Three digits are enough to read. */
const written = (n: number | null, unit: string): string =>
  n === null ? '–' : `${Number(n.toPrecision(3))} ${unit}`

const optionsOf = (plot: Plot, curves: readonly Curve[], width: number): UPlot.Options => {
  const axis = {
    stroke: css('--soft'),
    grid: { stroke: css('--line'), width: 1 },
    ticks: { show: false },
  }
  return {
    width,
    height: HEIGHT,
    cursor: { drag: { x: false, y: false } },
    scales: {
      y: plot.log
        ? { distr: 3 }
        : { range: (_, __, max) => [0, plot.most ?? Math.max(1, max * 1.1)] },
    },
    axes: [
      { ...axis, space: 60, values: (_, ticks) => ticks.map(at => clock(at)) },
      {
        ...axis,
        size: 56,
        values: (_, ticks) => ticks.map(n => (n === null ? '' : written(n, plot.unit))),
      },
    ],
    series: [
      { label: 'time', value: (_, at) => (at === null ? '–' : clock(at, true)) },
      ...curves.map(({ name, colour }) => ({
        label: name,
        stroke: css(colour),
        width: 1.5,
        points: { show: false },
        value: (_: UPlot, n: number | null) => written(n, plot.unit),
      })),
    ],
  }
}

type Drawn = { readonly chart: UPlot; readonly names: string }
const drawn = new Map<Element, Drawn>()

/** Draws or updates one plot. A new curve, width or colour scheme needs a new chart. */
const draw = (element: HTMLElement, plot: Plot, history: History): void => {
  const curves = plot.curves(history)
  const empty = curves.every(({ values }) => values.every(n => n === null))
  element.classList.toggle('empty', empty)
  const data = [history.at, ...curves.map(({ values }) => values)] as unknown as UPlot.AlignedData
  const names = [element.clientWidth, css('--paper'), ...curves.map(({ name }) => name)].join('\n')
  const before = drawn.get(element)
  if (before?.names === names) return before.chart.setData(data)
  before?.chart.destroy()
  const chart = new uPlot(optionsOf(plot, curves, element.clientWidth), data, element)
  drawn.set(element, { chart, names })
}

/** Draws every plot of the page. */
export const drawPlots = (history: History): void => {
  for (const element of document.querySelectorAll<HTMLElement>('[data-plot]')) {
    const plot = PLOTS[element.dataset['plot'] ?? '']
    if (plot && history.at.length > 0) draw(element, plot, history)
  }
}
