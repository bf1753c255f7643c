/**
 * Draws how updates spread as a self-contained SVG: the share of informed nodes over time, one line per update, and
 * the limits that the tests check.
 */
import type { Spread } from './scenarios.ts'

const WIDTH = 760
const HEIGHT = 420
const LEFT = 56
const TOP = 44
const RIGHT = 24
const BOTTOM = 48

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/** Creates the picture. `title` describes the run. */
export const plotSpreads = (title: string, spreads: readonly Spread[]): string => {
  const longest = Math.max(500, ...spreads.map(spread => spread.times.at(-1) ?? 0))
  const scale = Math.ceil(longest / 250) * 250
  const x = (ms: number): number => LEFT + (ms / scale) * (WIDTH - LEFT - RIGHT)
  const y = (share: number): number => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)
  const line = (x1: number, y1: number, x2: number, y2: number, style: string): string =>
    `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" ${style}/>`
  const text = (at: number, down: number, words: string, anchor = 'middle'): string =>
    `<text x="${at.toFixed(1)}" y="${down.toFixed(1)}" text-anchor="${anchor}">${escaped(words)}</text>`
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<g fill="#222">${text(LEFT, 24, title, 'start')}</g>`,
    '<g fill="#555">',
  ]
  for (const share of [0, 0.25, 0.5, 0.75, 0.99]) {
    parts.push(
      line(LEFT, y(share), WIDTH - RIGHT, y(share), 'stroke="#ddd"'),
      text(LEFT - 8, y(share) + 4, `${share * 100} %`, 'end'),
    )
  }
  const step = scale <= 1_000 ? 100 : scale <= 3_000 ? 250 : 1_000
  for (let ms = 0; ms <= scale; ms += step)
    parts.push(line(x(ms), y(0), x(ms), y(0) + 5, 'stroke="#555"'), text(x(ms), y(0) + 20, `${ms}`))
  parts.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, 'milliseconds after publishing'), '</g>')
  for (const spread of spreads) {
    const points = spread.times
      .filter(
        (_, i, all) => i % Math.max(1, Math.floor(all.length / 200)) === 0 || i === all.length - 1,
      )
      .map(
        ms =>
          `${x(ms).toFixed(1)},${y((spread.times.findLastIndex(t => t <= ms) + 1) / spread.nodes).toFixed(1)}`,
      )
    parts.push(
      `<polyline fill="none" stroke="#1565c0" stroke-opacity="${Math.max(0.15, 1 / Math.sqrt(spreads.length)).toFixed(2)}" stroke-width="1.5" points="${points.join(' ')}"/>`,
    )
  }
  for (const ms of [350, 1_000])
    if (ms <= scale)
      parts.push(line(x(ms), y(1), x(ms), y(0), 'stroke="#c62828" stroke-dasharray="4 3"'))
  parts.push('</svg>')
  return `${parts.join('\n')}\n`
}
