/**
 * Formats plain data as aligned tables and outlines. Data from HTTP may have any shape; control characters are
 * escaped.
 */
import { oneLine } from '../base/printable.ts'

/** A value on one line. Control characters are escaped, because a name may hold any octet. */
export const cell = (value: unknown): string => {
  if (value === undefined || value === null || value === '') return '-'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'number' && !Number.isInteger(value))
    return String(Math.round(value * 1000) / 1000)
  const text =
    Array.isArray(value) && value.every(one => typeof one !== 'object')
      ? value.join(' ')
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value)
  return oneLine(text) || '-'
}

type Row = Readonly<Record<string, unknown>>

/** A column: its heading and the value for a row. Numbers are right-aligned. */
export type Column = readonly [heading: string, value: (row: Row) => unknown]

/** Columns for objects of unknown shape. */
export const columnsOf = (rows: readonly Row[]): Column[] =>
  [...new Set(rows.flatMap(row => Object.keys(row)))].map(key => [
    key.toUpperCase(),
    row => row[key],
  ])

/** An aligned table with a heading; each line ends with a newline. '' without rows. */
export const table = (
  rows: readonly Row[],
  columns: readonly Column[] = columnsOf(rows),
): string => {
  if (!rows.length) return ''
  const cells = rows.map(row => columns.map(([, value]) => cell(value(row))))
  const widths = columns.map(([heading], i) =>
    cells.reduce((width, line) => Math.max(width, line[i]?.length ?? 0), heading.length),
  )
  const right = columns.map(([, value]) =>
    rows.every(row => ['number', 'undefined'].includes(typeof value(row))),
  )
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, i) => (right[i] ? text.padStart(widths[i]!) : text.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  return `${[columns.map(([heading]) => heading), ...cells].map(line).join('\n')}\n`
}

/** Lines of 'name  value', values aligned. */
export const pairs = (list: readonly (readonly [name: string, value: unknown])[]): string => {
  const width = Math.max(0, ...list.map(([name]) => name.length))
  return list.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}\n`).join('')
}

/** The rows in an answer that is a list, or an object with a list under one of these names. */
export const rowsOf = (json: unknown, ...names: string[]): Row[] => {
  const list = Array.isArray(json)
    ? json
    : names.map(name => (json as Record<string, unknown> | null)?.[name]).find(Array.isArray)
  return (list ?? []).filter((row): row is Row => typeof row === 'object' && row !== null)
}

/** '3d 4h', '12m 5s', '250 ms': the two largest units. */
export const showDuration = (ms: number): string => {
  if (!Number.isFinite(ms)) return '-'
  if (ms < 1000) return `${Math.round(ms)} ms`
  const s = Math.round(ms / 1000)
  const parts: [number, string][] = [
    [Math.floor(s / 86_400), 'd'],
    [Math.floor(s / 3600) % 24, 'h'],
    [Math.floor(s / 60) % 60, 'm'],
    [s % 60, 's'],
  ]
  const first = parts.findIndex(([n]) => n > 0)
  return parts
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n}${unit}`)
    .join(' ')
}

/** '31.4 MiB'. */
export const showBytes = (bytes: number): string => {
  if (!Number.isFinite(bytes)) return '-'
  const step = [...'KMG'].findLastIndex((_, i) => bytes >= 1024 ** (i + 1))
  return step < 0 ? `${bytes} B` : `${(bytes / 1024 ** (step + 1)).toFixed(1)} ${'KMG'[step]}iB`
}

/** '1 entry', '2 entries'. */
export const counted = (n: number, one: string, many: string): string =>
  `${n} ${n === 1 ? one : many}`
