/** Completion as run by the shells, and the output of `version`. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { version } from '../../src/base/version.ts'
import { spartan } from '../fixture/cli.ts'

t.test('bash completes commands, their subcommands and their options', async t => {
  const { out: script } = await spartan('completion', 'bash')
  const complete = (...words: string[]): string[] => {
    const line = ['spartan', ...words].map(word => `'${word}'`).join(' ')
    const { stdout, stderr } = spawnSync(
      'bash',
      [
        '--norc',
        '-c',
        `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length}; _spartan; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ],
      { encoding: 'utf8' },
    )
    t.equal(stderr, '')
    return stdout.split('\n').filter(Boolean)
  }
  t.strictSame(complete('mes'), ['mesos-dns'])
  t.strictSame(complete('cache', 'f'), ['flush'])
  t.strictSame(complete('cache', 'list', '--lim'), ['--limit'])
  t.strictSame(complete('check', '--config', '/etc/host'), complete('run', '--config', '/etc/host'))
  t.ok(
    complete('check', '--config', '/etc/host').includes('/etc/hosts'),
    'files where files are taken',
  )
  t.ok(complete('').includes('status'))
  t.notOk(complete('status', '').includes('status'))
})

for (const shell of ['zsh', 'fish'] as const) {
  t.test(`${shell} reads its script`, async t => {
    const { exit, out } = await spartan('completion', shell)
    t.equal(exit, 0)
    for (const word of ['flush', 'limit', 'mesos-dns', 'keys']) t.match(out, word)
    const program = `/usr/bin/${shell}`
    if (!existsSync(program)) return t.comment(`SKIPPED the syntax: no ${shell} here`)
    const file = join(t.testdir({ script: out }), 'script')
    const { status, stderr } = spawnSync(program, ['-n', file], { encoding: 'utf8' })
    t.match({ status, stderr }, { status: 0, stderr: '' })
  })
}

t.test('an unknown shell is refused with the known ones', async t => {
  t.match(await spartan('completion', 'tcsh'), { exit: 2, err: /bash, zsh, fish/ })
})

t.test('the version for people and for programs', async t => {
  t.match(await spartan('version'), { exit: 0, out: `spartan ${version()}` })
  const { out } = await spartan('version', '--json')
  t.match(JSON.parse(out), {
    version: version(),
    commit: '',
    node: process.versions.node,
    features: { batchedIo: process.platform === 'linux' },
  })
})
