// Writes the tables of keys and metrics, what the manuals say of keys, and the schema of the file, from the code into deploy/.
// Usage: npm run tables            (with --check: exit 1 if they are not up to date)
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { APPLIES } from '../dist/config/applies.js'
import { jsonSchema } from '../dist/config/json-schema.js'
import { KEYS } from '../dist/config/schema.js'
import { GOSSIP_METRICS } from '../dist/control/sharing/gossip-metrics.js'
import { MESOS_METRICS } from '../dist/control/mesos/mesos-metrics.js'
import { VIP_METRICS } from '../dist/control/vips/vip-metrics.js'
import { KEY_DOCS } from '../dist/mesos-dns/key-docs.js'
import { SERVER_METRICS } from '../dist/mesos-dns/server-metrics.js'
import { BALANCE_METRICS } from '../dist/control/vips/balance-metrics.js'
import { DNSTAP_METRICS } from '../dist/ops/dnstap/dnstap-metrics.js'
import { METRICS } from '../dist/ops/metrics.js'

const cell = text => String(text).replaceAll('|', '\\|').replaceAll('\n', ' ')
const row = cells => `| ${cells.map(cell).join(' | ')} |`
const table = (head, rows) =>
  [row(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(row)].join('\n')

/** Each table and its page, where it stands between `<!-- name -->` and `<!-- /name -->`. */
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
      [
        ...METRICS,
        ...GOSSIP_METRICS,
        ...MESOS_METRICS,
        ...VIP_METRICS,
        ...BALANCE_METRICS,
        ...DNSTAP_METRICS,
        ...SERVER_METRICS,
      ].map(m => [`\`${m.name}\``, m.type, m.labels.map(l => `\`${l}\``).join(' '), m.help]),
    ),
  },
]

/** A line of text that mdoc takes as it is. */
const roff = text => text.replaceAll('\\', '\\e').replace(/^(?=[.'])/, '\\&')

/** spartan.yaml(5): every key. */
export const manual = `.\\" Written by "npm run tables" from the code; do not edit.
.Dd November 26, 2026
.Dt SPARTAN.YAML 5
.Os
.Sh NAME
.Nm spartan.yaml
.Nd configuration of the caching DNS forwarder spartan
.Sh DESCRIPTION
One YAML file, of which only
.Va listen.addresses
is required.
A dot stands for a section:
.Va listen.port
is the key
.Va port
below
.Va listen .
Addresses are ip, ip:port or [ipv6]:port, sizes 64KiB or 32MiB, times 250ms, 5s or 1d.
The daemon refuses a file with anything wrong in it;
.Ic spartan check
says what, and prints what is in effect.
After a reload a key is used at once, or after a restart.
.Sh KEYS
.Bl -tag -width Ds
${KEYS.map(
  k => `.It Va ${k.path}
${roff(`${k.type}; default ${k.default}; after a reload: ${APPLIES.get(k.path)?.applies ?? ''}.`)}
.br
${roff(k.description)}`,
).join('\n')}
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/spartan/spartan.yaml
The file that the units use.
.It Pa /usr/lib/spartan/spartan.schema.json
A JSON Schema of it, for editors.
.El
.Sh SEE ALSO
.Xr spartan 8
`

/** The keys in spartan-mesos-dns(8), between `.\" <keys>` and `.\" </keys>`. */
export const mesosDnsKeys = KEY_DOCS.map(
  ({ key, type, default: byDefault, description }) => `.It Va ${key}
${roff(`${type}; default ${JSON.stringify(byDefault)}.`)}
.br
${roff(description)}`,
).join('\n')

/** What editors check spartan.yaml by. */
export const schema = `${JSON.stringify(jsonSchema(), null, 2)}\n`

/** The page with `text` between two marks. */
const between = (page, [open, close], text) => {
  const from = page.indexOf(open)
  const to = page.indexOf(close)
  if (from < 0 || to < from) throw new Error(`no block ${open}`)
  return `${page.slice(0, from + open.length)}\n${text}\n${page.slice(to)}`
}

/** The path and the complete new text of each page. */
const pages = () => [
  ...tables.map(({ page, name, text }) => [
    page,
    before => between(before, [`<!-- ${name} -->`, `<!-- /${name} -->`], text),
  ]),
  [
    'deploy/spartan-mesos-dns.8',
    before => between(before, ['.\\" <keys>', '.\\" </keys>'], mesosDnsKeys),
  ],
  ['deploy/spartan.schema.json', () => schema],
  ['deploy/spartan.yaml.5', () => manual],
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
