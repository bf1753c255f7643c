/** Building blocks of the status page: formatted numbers and times, tags, tables, bars and the curve. */
import { Html, html, type Piece } from './html.ts'

/** Rows shown of a long table; /v1/status has all. */
export const ROWS = 40

/** The colour of a tag, which repeats what its text says. */
export type Tone = 'good' | 'warn' | 'bad' | 'flat'

/** A state in one word. */
export const tag = (tone: Tone, text: string): Html =>
  html`<span class="tag ${tone}">${text}</span>`
/** Text that one would type: names, addresses, paths. */
export const mono = (text: string): Html => html`<span class="mono">${text}</span>`
/** An address, without line breaks. */
export const whole = (text: string): Html => html`<span class="mono whole">${text}</span>`
/** A number and its noun. */
export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${count(n)} ${n === 1 ? one : many}`

/** Thin spaces between thousands, as in 12 345. */
export const count = (n: number): string =>
  Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, '\u202f')

/** A duration rounded to one unit: 45 s, 12 min, 3 h, 5 d. */
export const span = (seconds: number): string => {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}
/** Time since `at`, both Unix milliseconds; 0 means never. */
export const ago = (at: number, now: number): string =>
  at === 0 ? 'never' : `${span(Math.max(0, (now - at) / 1000))} ago`
/** Time of day, UTC. */
export const clock = (at: number): string => new Date(at).toISOString().slice(11, 19)

/** Octets as B, KiB or MiB. */
export const bytes = (n: number): string => {
  if (n < 1024) return `${n} B`
  return n < 1024 ** 2 ? `${(n / 1024).toFixed(0)} KiB` : `${(n / 1024 ** 2).toFixed(1)} MiB`
}

/** A duration in seconds, as figure and unit. */
export const figureOf = (seconds: number | undefined): [string, string] => {
  if (seconds === undefined) return ['–', '']
  if (seconds === Infinity) return ['> 8', 's']
  if (seconds < 0.001) return [(seconds * 1e6).toFixed(0), 'µs']
  if (seconds >= 1) return [seconds.toFixed(1), 's']
  return [(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0), 'ms']
}

/** A card with one large number. */
export const figure = (
  title: string,
  [value, unit]: readonly [string, string],
  note: Piece,
): Html =>
  html` <div class="card w3">
    <h3>${title}</h3>
    <div class="figure">${value} <small>${unit}</small></div>
    <div class="soft">${note}</div>
  </div>`

/** A share from 0 to 1 as a bar. */
export const bar = (share: number): Html =>
  html`<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
    <rect class="rail" width="100" height="6" />
    <rect class="fill" width="${(100 * Math.min(1, Math.max(0, share))).toFixed(1)}" height="6" />
  </svg>`

/** A table, or a sentence if it has no rows. Rows beyond ROWS are only counted. */
export const table = (
  heads: readonly Piece[],
  rows: readonly Html[],
  none: string,
  id?: string,
): Html => {
  if (rows.length === 0) return html`<div class="soft">${none}</div>`
  const more = rows.length - ROWS
  return html`<div class="wide">
      <table${id !== undefined && new Html(` id="${id}"`)}>
        <thead>
          <tr>
            ${heads}
          </tr>
        </thead>
        <tbody>
          ${rows.slice(0, ROWS)}
        </tbody>
      </table>
    </div>
    ${
      more > 0 &&
      html`<div class="soft">and ${count(more)} more in <a href="/v1/status">/v1/status</a></div>`
    }`
}
/** An input field that hides rows of the table `id` without its words; shown only with scripts. */
export const filter = (id: string): Html =>
  html`<input
    type="search"
    id="${id}-filter"
    data-filter="${id}"
    placeholder="filter"
    aria-label="filter ${id}"
  />`
/** A column of words. */
export const th = (text: string): Html => html`<th scope="col">${text}</th>`
/** A column of numbers. */
export const thNum = (text: string): Html => html`<th scope="col" class="num">${text}</th>`

/** Samples in ten minutes. */
const SLOTS = 120

/**
 * Queries per second over ten minutes as an area chart that ends with the present. The words beside it say the same.
 */
export const spark = (qps: readonly number[]): Html => {
  const top = Math.max(1, ...qps)
  const x = (i: number): string => (600 - ((qps.length - 1 - i) * 600) / (SLOTS - 1)).toFixed(1)
  const line = qps.map((n, i) => `${x(i)},${(79 - (n / top) * 76).toFixed(1)}`).join(' ')
  return html`<svg
    class="spark"
    viewBox="0 0 600 80"
    preserveAspectRatio="none"
    role="img"
    aria-label="Queries per second, peak ${count(top)}"
  >
    <polygon class="area" points="${x(0)},80 ${line} 600,80" />
    <polyline class="stroke" points="${line}" />
  </svg>`
}

/** A share in percent; a small share is never shown as 0. */
export const percentOf = (share: number): string =>
  share > 0 && share < 0.001 ? '< 0.1 %' : `${(100 * share).toFixed(1)} %`
