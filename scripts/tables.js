// Writes the tables of keys and metrics, and the schema of the file, from the code into deploy/.
// Usage: npm run tables            (with --check: exit 1 if they are not up to date)
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { APPLIES } from '../dist/config/applies.js'
import { jsonSchema } from '../dist/config/json-schema.js'
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

/** What editors check spartan.yaml by. */
export const schema = `${JSON.stringify(jsonSchema(), null, 2)}\n`

const between = (page, name, text) => {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const from = page.indexOf(open)
  const to = page.indexOf(close)
  if (from < 0 || to < from) throw new Error(`no block ${open}`)
  return `${page.slice(0, from + open.length)}\n${text}\n${page.slice(to)}`
}

/** Each page whole: where it is, and what it shall be. */
const pages = () => [
  ...tables.map(({ page, name, text }) => [page, before => between(before, name, text)]),
  ['deploy/spartan.schema.json', () => schema],
]

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split('/').pop())) {
  const check = process.argv.includes('--check')
  for (const [page, made] of pages()) {
    const path = new URL(`../${page}`, import.meta.url)
    const before = existsSync(path) ? readFileSync(path, 'utf8') : ''
    const after = made(before)
    if (!check) writeFileSync(path, after)
    else if (before !== after) {
      console.error(`${page} differs from the code; run npm run tables`)
      process.exitCode = 1
    }
  }
}
