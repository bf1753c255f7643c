import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { Command } from 'commander'
import { createProgram } from '../../src/cli/program.ts'
import { loadConfig } from '../../src/config/load.ts'
import { KEYS } from '../../src/config/schema.ts'

const read = (path: string): string =>
  readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const man = read('deploy/spartan.8')

/** The part of the manual under one heading. */
const section = (title: string): string =>
  man.split(/^\.Sh /m).find(part => part.startsWith(`${title}\n`)) ?? ''

/** Every command with an action, with its full words. */
const leaves = (
  command: Command,
  words: readonly string[] = [],
): [words: string[], command: Command][] =>
  command.commands.length
    ? command.commands.flatMap(inner => leaves(inner, [...words, inner.name()]))
    : [[[...words], command]]

const program = await createProgram(
  {
    out: () => {},
    err: () => {},
    input: async () => '',
    tty: false,
    interrupted: new AbortController().signal,
  },
  () => {},
)

t.test('the manual describes every key with its type, default and meaning', async t => {
  const text = section('CONFIGURATION')
  for (const { path, type, default: fallback, description } of KEYS) {
    const [, item = ''] = text.split(`\n.It Va ${path}\n`)
    const own = item.split(/\n\.(?:It|El)/)[0]!.replace(/\n/g, ' ')
    t.ok(own.toLowerCase().includes(type.toLowerCase()), `${path} is a ${type}`)
    t.ok(own.includes(fallback), `${path} has its default, ${fallback}`)
    t.ok(own.endsWith(description), `${path}: ${description}`)
  }
})

t.test('the manual describes no key that there is not', async t => {
  const known = new Set(KEYS.map(({ path }) => path))
  const told = [...section('CONFIGURATION').matchAll(/^\.It Va (\S+)$/gm)].map(([, path]) => path!)
  t.strictSame(
    told.filter(path => !known.has(path)),
    [],
  )
  t.strictSame(told, [...known], 'and has them in the order of the declaration')
})

/** Options that the manual describes once for all commands. */
const SHARED = ['--config', '--admin', '--token', '--ca', '--json', '--help']

t.test('the manual describes every command and option', async t => {
  const text = section('COMMANDS')
  for (const flag of SHARED) t.ok(text.includes(`Fl -${flag.slice(2)}`), flag)
  for (const [words, command] of leaves(program)) {
    const name = words.join(' ')
    const head = text
      .split('\n')
      .find(line =>
        new RegExp(`^\\.It Cm ${name.replace(' list', '( Op Cm list| list)')}( |$)`).test(line),
      )
    t.ok(head, `${name} is described`)
    const [, after = ''] = text.split(`\n${head}\n`)
    const own = after.split(/\n\.(?:It Cm|Ss) /)[0]!
    for (const option of command.options) {
      const long = option.long ?? ''
      if (SHARED.includes(long) && !new RegExp(`^\\.It .*Fl ${long.slice(1)}\\b`, 'm').test(own))
        continue
      const line = own
        .split('\n')
        .find(one => one.startsWith('.It ') && one.includes(`Fl ${long.slice(1)}`))
      t.ok(line, `${name} ${long} is described`)
      if (option.short)
        t.ok(line?.startsWith(`.It Fl ${option.short.slice(1)} , `), `${name} ${option.short}`)
    }
    const known = new Set(command.options.map(({ long }) => long))
    for (const [, flag] of own.matchAll(/^\.It (?:Fl \w , )?Fl (-[\w-]+)/gm)) {
      t.ok(known.has(`-${flag}`), `${name} has the option -${flag} that the manual tells of`)
    }
  }
})

t.test(
  'what help says of an option begins like a sentence continued, and has no option twice',
  async t => {
    for (const [words, command] of leaves(program)) {
      const flags = command.options.flatMap(({ short, long }) =>
        [short, long].filter(flag => flag !== undefined),
      )
      t.equal(new Set(flags).size, flags.length, words.join(' '))
      for (const { description } of command.options) t.match(description, /^[a-zI]/, description)
    }
  },
)

t.test('the annotated configuration names every key', async t => {
  const text = read('deploy/spartan.yaml')
  for (const { path } of KEYS) {
    const [top = '', ...rest] = path.split('.')
    t.match(text, new RegExp(`^(# ?)?${top}:`, 'm'), path)
    for (const word of rest) t.match(text, new RegExp(`\\b${word}:`), path)
  }
})

t.test('the annotated configuration is good with all its settings on, too', async t => {
  const text = read('deploy/spartan.yaml').replace(/^( *)#(?=\S)/gm, '$1')
  const { config, origins } = loadConfig('spartan.yaml', text, { hostname: 'a', networks: [] })
  t.ok(config.gossip && config.vips && config.mesos)
  const silent = [...origins].filter(([, origin]) => origin === 'default').map(([path]) => path)
  t.strictSame(
    silent,
    [
      'masters.addresses',
      'masters.url',
      'masters.exhibitor',
      'masters.name',
      'masters.zk',
      'masters.zkDigest',
    ],
    'the other sources',
  )
})

const tool = ['mandoc', 'groff'].find(name => spawnSync(name, ['--version']).error === undefined)
t.test(
  'the manuals are good mdoc',
  { skip: !tool && 'SKIPPED: neither mandoc nor groff is installed' },
  async t => {
    for (const name of ['spartan.8', 'spartan-mesos-dns.8', 'spartan.yaml.5']) {
      const file = new URL(`../../deploy/${name}`, import.meta.url).pathname
      const ran =
        tool === 'mandoc'
          ? spawnSync('mandoc', ['-Tlint', '-Wwarning', file], { encoding: 'utf8' })
          : spawnSync('groff', ['-mdoc', '-Tutf8', '-ww', '-z', file], { encoding: 'utf8' })
      t.equal(ran.stdout + ran.stderr, '', name)
    }
  },
)
