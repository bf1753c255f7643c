import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { APPLIES } from '../src/config/applies.ts'
import { KEYS } from '../src/config/schema.ts'
import { SERVER_METRICS } from '../src/mesos-dns/server-metrics.ts'
import { AGENT_METRICS } from './fixture/metrics.ts'

const METRICS = [...AGENT_METRICS, ...SERVER_METRICS]

const root = new URL('..', import.meta.url).pathname
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const readme = read('README.md')
/** The rows of a generated table. */
const block = (path: string, name: string): string[] => {
  const page = read(path)
  return page
    .slice(page.indexOf(`<!-- ${name} -->`), page.indexOf(`<!-- /${name} -->`))
    .split('\n')
    .filter(line => line.startsWith('| `'))
}
const plain = (text: string): string => text.replaceAll('\\|', '|')

t.test(
  'the configuration table has every key of the code, its default and what it does, and no other',
  async t => {
    const rows = block('deploy/configuration.md', 'configuration')
    t.equal(rows.length, KEYS.length)
    KEYS.forEach((key, i) =>
      t.equal(
        plain(rows[i] ?? ''),
        `| \`${key.path}\` | ${key.type} | \`${key.default}\` | ${APPLIES.get(key.path)?.applies} | ${key.description} |`,
      ),
    )
  },
)

t.test('spartan.yaml(5) has every key of the code, and no other', async t => {
  const named = [...read('deploy/spartan.yaml.5').matchAll(/^\.It Va (\S+)\n(.*)\n\.br\n(.*)$/gm)]
  t.strictSame(
    named.map(([, path, , description]) => [path, description]),
    KEYS.map(({ path, description }) => [path, description.replaceAll('\\', '\\e')]),
  )
})

t.test('config/applies.ts says of every key who uses it and when a reload applies it', async t => {
  t.strictSame([...APPLIES.keys()].sort(), KEYS.map(({ path }) => path).sort())
})

t.test('the metrics table has every metric of the code and no other', async t => {
  const rows = block('deploy/metrics.md', 'metrics')
  t.equal(rows.length, METRICS.length)
  METRICS.forEach((m, i) =>
    t.equal(
      plain(rows[i] ?? ''),
      `| \`${m.name}\` | ${m.type} | ${m.labels.map(l => `\`${l}\``).join(' ')} | ${m.help} |`,
    ),
  )
})

t.test('every metric that the README speaks of exists', async t => {
  const named = [...readme.matchAll(/`([a-z_]+_total)`/g)].map(m => m[1]!)
  t.ok(named.length > 0)
  for (const name of named)
    t.ok(
      METRICS.some(m => m.name === name),
      name,
    )
})

t.test('the README is a page, not a manual', async t => {
  t.ok(readme.split('\n').length <= 200, 'at most 200 lines')
})

t.test('relative links lead somewhere', async t => {
  const pages = [
    'README.md',
    'CHANGELOG.md',
    'deploy/configuration.md',
    'deploy/container.md',
    'deploy/metrics.md',
    'deploy/migrate.md',
    'scripts/bench/README.md',
    'src/README.md',
    'src/gossip/README.md',
    'test/README.md',
  ].filter(p => existsSync(join(root, p)))
  for (const page of pages) {
    for (const [, link] of read(page).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      t.ok(existsSync(join(root, dirname(page), link!)), `${page}: ${link}`)
    }
  }
})

t.test('npm scripts that the documents name exist', async t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  const named = new Set(
    [...`${readme}${read('src/README.md')}`.matchAll(/npm run ([a-z]+)/g)].map(m => m[1]!),
  )
  for (const name of named) t.ok(scripts[name], name)
})

t.test('folders and files that the map names exist', async t => {
  const map = read('src/README.md')
  for (const [, path] of map.matchAll(/`((?:[a-z-]+\/)*[a-z-]+\.ts|(?:[a-z-]+\/)+)`/g)) {
    const found =
      existsSync(join(root, 'src', path!)) ||
      readdirSync(join(root, 'src'), { recursive: true }).some(file => String(file).endsWith(path!))
    t.ok(found, path!)
  }
})
