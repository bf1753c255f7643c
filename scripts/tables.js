// Writes the configuration and metrics tables of the README from the code.
// Usage: npm run tables            (with --check: exit 1 if they are not up to date)
import { readFileSync, writeFileSync } from 'node:fs'
import { KEYS } from '../dist/config/schema.js'
import { GOSSIP_METRICS } from '../dist/control/sharing/gossip-metrics.js'
import { METRICS } from '../dist/ops/metrics.js'

const cell = text => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ')
const row = cells => `| ${cells.map(cell).join(' | ')} |`
const table = (head, rows) =>
  [row(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(row)].join('\n')

export const tables = {
  configuration: table(
    ['key', 'type', 'default', 'what it does'],
    KEYS.map(k => [`\`${k.path}\``, k.type, `\`${k.default}\``, k.description]),
  ),
  metrics: table(
    ['name', 'type', 'labels', 'meaning'],
    [...METRICS, ...GOSSIP_METRICS].map(m => [
      `\`${m.name}\``,
      m.type,
      m.labels.map(l => `\`${l}\``).join(' '),
      m.help,
    ]),
  ),
}

/** The text with each block between its markers replaced. */
export const withTables = text =>
  Object.entries(tables).reduce((all, [name, body]) => {
    const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
    const from = all.indexOf(open)
    const to = all.indexOf(close)
    if (from < 0 || to < from) throw new Error(`README.md has no block ${open}`)
    return `${all.slice(0, from + open.length)}\n${body}\n${all.slice(to)}`
  }, text)

const README = new URL('../README.md', import.meta.url)
if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split('/').pop())) {
  const before = readFileSync(README, 'utf8')
  const after = withTables(before)
  if (process.argv.includes('--check')) {
    if (before !== after) {
      console.error('README.md: its tables differ from the code; run npm run tables')
      process.exitCode = 1
    }
  } else writeFileSync(README, after)
}
