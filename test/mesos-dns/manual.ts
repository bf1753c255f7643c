/** spartan-mesos-dns(8) against the code: its keys, their defaults, its options and its paths. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { createProgram } from '../../src/cli/program.ts'
import { QUIET } from '../fixture/cli.ts'
import { settingsFromJson } from '../../src/mesos-dns/config.ts'
import { KEY_DOCS } from '../../src/mesos-dns/key-docs.ts'
import { opsRoutes } from '../../src/ops/ops-routes.ts'

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const manual = read('deploy/spartan-mesos-dns.8')

/** The part of the manual under one heading. */
const section = (title: string): string =>
  manual.split(/^\.Sh /m).find(part => part.startsWith(`${title}\n`)) ?? ''

t.test('the manual has every key with its type, default and meaning, and no other', async t => {
  const told = [
    ...section('CONFIGURATION').matchAll(/^\.It Va (\S+)\n(.*); default (.*)\.\n\.br\n(.*)$/gm),
  ]
  t.strictSame(
    told.map(([, key, type, byDefault, description]) => [key, type, byDefault, description]),
    KEY_DOCS.map(one => [one.key, one.type, JSON.stringify(one.default), one.description]),
    'npm run tables writes them',
  )
})

t.test('a key that is left out has the default of the manual', async t => {
  const needed = { masters: ['203.0.113.1:5050'] }
  const settings = (more: object) => settingsFromJson({ ...needed, ...more }, 'f', []).settings
  const without = settings({})
  for (const { key, default: byDefault } of KEY_DOCS) {
    if (key === 'masters') continue
    t.strictSame(settings({ [key]: byDefault }), without, key)
  }
})

t.test('the manual has the options of the command, and no other', async t => {
  const program = await createProgram(QUIET, () => {})
  const command = program.commands.find(one => one.name() === 'mesos-dns')
  const told = [...section('OPTIONS').matchAll(/^\.It Fl (\w) , Fl (-[\w-]+)/gm)]
  t.strictSame(
    told.map(([, short, long]) => [`-${short}`, `-${long}`]),
    [...(command?.options ?? []).map(({ short, long }) => [short, long]), ['-h', '--help']],
  )
})

t.test('the manual has every path that all daemons have', async t => {
  const told = [...section('HTTP API').matchAll(/^\.It Pa (\S+)/gm)].map(([, path]) => path)
  // Only the table of routes is looked at; nothing is asked of them.
  const own = opsRoutes({} as Parameters<typeof opsRoutes>[0]).map(({ path }) => path)
  t.strictSame(told.slice(6).sort(), own.filter(path => !path.startsWith('/page/')).sort())
})
