// Writes the tables of keys and metrics from the code into the pages beside what they describe.
// Usage: npm run tables            (with --check: exit 1 if they are not up to date)
import { readFileSync, writeFileSync } from 'node:fs'
import { APPLIES } from '../dist/config/applies.js'
import { KEYS } from '../dist/config/schema.js'
import { GOSSIP_METRICS } from '../dist/control/sharing/gossip-metrics.js'
import { BALANCE_METRICS } from '../dist/control/vips/balance-metrics.js'
import { METRICS } from '../dist/ops/metrics.js'

const cell = text => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ')
const row = cells => `| ${cells.map(cell).join(' | ')} |`
const table = (head, rows) =>
  [row(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(row)].join('\n')

/** Each table with the page that holds it, between the markers `<!-- name -->` and `<!-- /name -->`. */
export const tables = [
  {
    page: 'deploy/configuration.md',
    name: 'configuration',
    text: table(
      ['key', 'type', 'default', 'on reload', 'what it does'],
      KEYS.map(k => [
        `\`${k.path}\``,
        k.type,
        `\`${k.default}\``,
        APPLIES.get(k.path)?.applies ?? '',
        k.description,
      ]),
    ),
  },
  {
    page: 'deploy/metrics.md',
    name: 'metrics',
    text: table(
      ['name', 'type', 'labels', 'meaning'],
      [...METRICS, ...GOSSIP_METRICS, ...BALANCE_METRICS].map(m => [
        `\`${m.name}\``,
        m.type,
        m.labels.map(l => `\`${l}\``).join(' '),
        m.help,
      ]),
    ),
  },
]

const between = (page, name, text) => {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const from = page.indexOf(open)
  const to = page.indexOf(close)
  if (from < 0 || to < from) throw new Error(`no block ${open}`)
  return `${page.slice(0, from + open.length)}\n${text}\n${page.slice(to)}`
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split('/').pop())) {
  for (const { page, name, text } of tables) {
    const path = new URL(`../${page}`, import.meta.url)
    const before = readFileSync(path, 'utf8')
    const after = between(before, name, text)
    if (!process.argv.includes('--check')) writeFileSync(path, after)
    else if (before !== after) {
      console.error(`${page}: its table differs from the code; run npm run tables`)
      process.exitCode = 1
    }
  }
}
