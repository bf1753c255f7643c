/**
 * Formats measurements: medians, ratios to spartan, a table for the terminal and one for README.md in this folder.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fail } from '../../src/base/error.ts'
import type { Measured } from './measure.ts'
import type { Pauses } from './pauses.ts'

/** All runs of one server in one case. */
export type Row = {
  readonly case: string
  readonly title: string
  readonly server: string
  readonly version: string
  readonly runs: readonly Measured[]
  /** Bytes; NaN if not measured. */
  readonly residentBytes: number
  /** Bytes more than before the first measurement. */
  readonly grownBytes: number
  /** Whether the share of late answers is to be said. */
  readonly late: boolean
}

/** How long a server took to start, in milliseconds. */
export type Start = { readonly server: string; readonly readyMs: readonly number[] }

export const median = (values: readonly number[]): number => {
  const sorted = values.filter(v => !Number.isNaN(v)).sort((a, b) => a - b)
  const half = sorted.length >> 1
  if (sorted.length === 0) return NaN
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

type Numbers = 'qps' | 'cpuUs' | 'core' | 'wakeups' | 'p50' | 'p99' | 'p999'
const mid = (row: Row, key: Numbers): number => median(row.runs.map(run => run[key]))
const sum = (row: Row, key: 'lost' | 'wrong' | 'unsent'): number =>
  row.runs.reduce((n, run) => n + run[key], 0)

/** The server name of our own build. */
const OURS = 'spartan'

const oursOf = (rows: readonly Row[], name: string): Row | undefined =>
  rows.find(row => row.case === name && row.server === OURS)

const show = (n: number, digits = 0): string =>
  Number.isNaN(n)
    ? '-'
    : n.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })

const HEAD = [
  'server',
  'CPU µs/answer',
  '× ours',
  '% core',
  'wake-ups/s',
  'qps',
  'p50 µs',
  'p99 µs',
  'p99.9 µs',
  'lost',
  'wrong',
  'RSS MB',
]

const cells = (row: Row, ours: Row | undefined): string[] => [
  row.version ? `${row.server} ${row.version}` : row.server,
  show(mid(row, 'cpuUs'), 2),
  ours ? show(mid(row, 'cpuUs') / mid(ours, 'cpuUs'), 2) : '-',
  show(mid(row, 'core'), 2),
  show(mid(row, 'wakeups'), 1),
  show(mid(row, 'qps')),
  show(mid(row, 'p50')),
  show(mid(row, 'p99')),
  show(mid(row, 'p999')),
  show(sum(row, 'lost') + sum(row, 'unsent')),
  show(sum(row, 'wrong')),
  show(row.residentBytes / 1e6),
]

const aligned = (table: readonly (readonly string[])[]): string => {
  const widths = table[0]!.map((_, i) => Math.max(...table.map(line => line[i]!.length)))
  return table
    .map(line =>
      line
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
        .join('  '),
    )
    .join('\n')
}

const casesOf = (rows: readonly Row[]): string[] => [...new Set(rows.map(row => row.case))]

/** The whole report as aligned text, one block for each case. */
export const textReport = (
  rows: readonly Row[],
  starts: readonly Start[],
  machine: Pauses,
): string => {
  const blocks = casesOf(rows).map(name => {
    const mine = rows.filter(row => row.case === name)
    const ours = oursOf(rows, name)
    return `${name}: ${mine[0]!.title}\n${aligned([HEAD, ...mine.map(row => cells(row, ours))])}`
  })
  return [...blocks, ...facts(rows, starts, machine)].join('\n\n') + '\n'
}

/** Sentences with results that are not in the table. */
const facts = (rows: readonly Row[], starts: readonly Start[], machine: Pauses): string[] => {
  const lines: string[] = []
  const direct = rows.find(row => row.case === 'latency' && row.server === 'direct')
  if (direct) {
    for (const row of rows) {
      if (row.case !== 'latency' || row === direct) continue
      const added = mid(row, 'p50') - mid(direct, 'p50')
      lines.push(`${row.server} adds ${show(added)} µs to a raced miss (p50, one query at a time)`)
    }
  }
  for (const { server, runs, late, grownBytes, case: name } of rows) {
    const { note } = runs.at(-1)!
    if (note) lines.push(`${name}, ${server}: ${note}`)
    if (!Number.isNaN(grownBytes))
      lines.push(`${name}, ${server}: RSS grew by ${show(grownBytes / 1e6, 1)} MB`)
    // Before the first run the other client had never asked.
    const { p99Before } = runs[0]!
    if (!Number.isNaN(p99Before)) {
      const times = (key: 'p99' | 'p99After'): string =>
        `${show(median(runs.map(run => run[key])) / p99Before, 2)} x`
      lines.push(
        `${name}, ${server}: p99 ${show(p99Before)} µs before the other client, ${times('p99')} beside it, ${times('p99After')} after it`,
      )
    }
    if (late) {
      const share = median(runs.map(run => run.late))
      lines.push(
        `${name}, ${server}: ${show(share * 100, 2)} % of the queries waited for an upstream`,
      )
    }
  }
  for (const { server, readyMs } of starts) {
    lines.push(`${server} is ready ${show(median(readyMs))} ms after its start`)
  }
  const { count, overMs, longestMs, totalMs, lookedMs } = machine
  lines.push(
    `the machine kept a thread that only reads the clock from it ${show(count)} times for over ${overMs} ms in ${show(lookedMs / 1000, 1)} s, ${show(totalMs)} ms in all and ${show(longestMs, 1)} ms at the longest; every p99.9 holds that too`,
  )
  const wrong = rows.flatMap(row =>
    row.runs.filter(run => run.example).map(run => `${row.server}: ${run.example}`),
  )
  if (wrong.length > 0) lines.push(`first wrong answer: ${wrong[0]}`)
  return [lines.join('\n')]
}

/** The table for README.md, with the machine and the command that produced it. */
export const markdownReport = (
  rows: readonly Row[],
  starts: readonly Start[],
  machine: Pauses,
  command: string,
  date: Date,
): string => {
  const where = `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.versions.node}`
  const head = ['case', ...HEAD]
  const lines = rows.map(row => [row.title, ...cells(row, oursOf(rows, row.case))])
  const runs = Math.max(0, ...rows.map(row => row.runs.length))
  return [
    `${date.toISOString().slice(0, 10)}, ${where}, loopback, one core for the server; medians of ${runs} interleaved runs. Made by \`${command}\`.`,
    '',
    `| ${head.join(' | ')} |`,
    `|${head.map((_, i) => (i < 2 ? '---' : '--:')).join('|')}|`,
    ...lines.map(line => `| ${line.join(' | ')} |`),
    '',
    ...facts(rows, starts, machine).flatMap(block => block.split('\n').map(line => `- ${line}`)),
  ].join('\n')
}

const BEGIN = '<!-- bench -->'
const END = '<!-- /bench -->'

/** Replaces the text between the markers of a file. Throws EDATA if they are missing. */
export const writeBetweenMarkers = (path: string, text: string): void => {
  const whole = readFileSync(path, 'utf8')
  const from = whole.indexOf(BEGIN)
  const to = whole.indexOf(END)
  if (from < 0 || to < from) throw fail(`${path} has no ${BEGIN} ... ${END}`, 'EDATA', { path })
  writeFileSync(path, `${whole.slice(0, from + BEGIN.length)}\n${text}\n${whole.slice(to)}`)
}
