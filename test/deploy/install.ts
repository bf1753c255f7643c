/** scripts/install.sh: what it puts where, and the mistakes that it refuses. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'

t.setTimeout(300_000)

const ROOT = join(import.meta.dirname, '../..')
const { NODE_OPTIONS: _, ...env } = process.env

/** A new folder, gone with the test. */
const folder = (t: Test, prefix = join(tmpdir(), 'install-')): string => {
  const path = mkdtempSync(prefix)
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A checkout with little in it: a program, and the packages that the lock file names. */
const checkout = (t: Test): string => {
  const tree = folder(t)
  for (const name of ['scripts', 'dist', 'node_modules']) mkdirSync(join(tree, name))
  for (const name of ['deploy', 'package.json', 'scripts/install.sh', 'scripts/dependencies.js'])
    cpSync(join(ROOT, name), join(tree, name), { recursive: true })
  writeFileSync(join(tree, 'dist/main.js'), "console.log('built')\n")
  const packages = {
    '': {},
    'node_modules/needed': {},
    'node_modules/tool': { dev: true },
    'node_modules/other-machine': { optional: true },
  }
  writeFileSync(join(tree, 'package-lock.json'), JSON.stringify({ packages }))
  for (const name of ['needed', 'tool']) {
    mkdirSync(join(tree, 'node_modules', name))
    writeFileSync(join(tree, 'node_modules', name, 'package.json'), 'x'.repeat(300_000))
  }
  return tree
}

const install = (tree: string, root: string, over: Record<string, string> = {}, before = ':') =>
  spawnSync('sh', ['-c', `${before}; exec sh "$0"`, join(tree, 'scripts/install.sh')], {
    encoding: 'utf8',
    env: { ...env, DESTDIR: root, NODE: process.execPath, ...over },
  })

t.test('a built tree is put in place, and again over itself', async t => {
  const tree = checkout(t)
  const root = folder(t)
  t.match(install(tree, root), { status: 0, stderr: '' })
  t.strictSame(readdirSync(join(root, 'opt/spartan/node_modules')), ['needed'])
  const units = readdirSync(join(ROOT, 'deploy')).filter(n => /\.(service|socket|timer)$/.test(n))
  for (const name of units) t.ok(existsSync(join(root, 'etc/systemd/system', name)), name)
  t.equal(
    readFileSync(join(root, 'usr/local/bin/spartan'), 'utf8'),
    `#!/bin/sh\nexec ${process.execPath} --single-threaded-gc /opt/spartan/dist/main.js "$@"\n`,
  )
  writeFileSync(join(root, 'etc/spartan/spartan.yaml'), '# mine')
  mkdirSync(join(tree, 'dist/new'))
  t.match(install(tree, root), { status: 0, stderr: '' })
  const config = readFileSync(join(root, 'etc/spartan/spartan.yaml'), 'utf8')
  t.equal(config, '# mine', 'a configuration is never overwritten')
  t.ok(existsSync(join(root, 'opt/spartan/dist/new')))
  t.strictSame(readdirSync(join(root, 'opt')), ['spartan'], 'nothing is left lying about')
})

t.test('a strict umask, of the checkout too, hides nothing from the daemon', async t => {
  const tree = checkout(t)
  const root = folder(t)
  spawnSync('chmod', ['-R', 'go=', tree])
  t.match(install(tree, root, {}, 'umask 077'), { status: 0, stderr: '' })
  const mode = (path: string): number => statSync(join(root, path)).mode & 0o777
  for (const path of ['opt', 'opt/spartan', 'usr/local/bin/spartan', 'etc/spartan'])
    t.equal(mode(path), 0o755, path)
  t.equal(mode('opt/spartan/deploy/spartan-addresses.sh'), 0o755, 'the scripts can be run')
  for (const path of ['opt/spartan/dist/main.js', 'etc/spartan/spartan.yaml'])
    t.equal(mode(path), 0o644, path)
})

/** A program in place of Node. */
const fakeNode = (dir: string, script: string): string => {
  const path = join(dir, 'node')
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

t.test('each mistake is refused in one sentence, and nothing is changed', async t => {
  const tree = checkout(t)
  const temporary = folder(t)
  // Where the daemon could see it, or that would be what is refused.
  const visible = folder(t, process.getuid?.() === 0 ? '/opt/node-' : join(ROOT, '.tap/node-'))
  const unbuilt = checkout(t)
  rmSync(join(unbuilt, 'dist'), { recursive: true })
  const incomplete = checkout(t)
  rmSync(join(incomplete, 'node_modules/needed'), { recursive: true })
  const broken = checkout(t)
  writeFileSync(join(broken, 'dist/main.js'), 'process.exit(1)')
  const bad = (script: string) => ({ NODE: fakeNode(visible, script) })
  const table: readonly [string, tree: string, env: () => Record<string, string>, says: RegExp][] =
    [
      ['no Node', tree, () => ({ NODE: '', PATH: '/nowhere' }), /there is no Node/],
      ['no such Node', tree, () => ({ NODE: '/nowhere/node' }), /is no program/],
      [
        'an old Node',
        tree,
        () => bad('[ "$1" != --version ] || echo v18.19.0; [ "$1" != -e ]'),
        /needed.*v18\.19\.0/,
      ],
      ['no Node at all', tree, () => bad('exit 1'), /none that runs/],
      ['Node in a home', tree, () => ({ NODE: fakeNode(temporary, '') }), /daemon cannot see/],
      ['not built', unbuilt, () => ({}), /not built yet/],
      ['half installed', incomplete, () => ({}), /needed is not installed/],
      ['a broken build', broken, () => ({}), /does not run/],
    ]
  for (const [what, from, over, says] of table) {
    const root = folder(t)
    mkdirSync(join(root, 'opt'))
    // An empty PATH has no shell either, hence the shell by its path.
    const { status, stderr } = spawnSync('/bin/sh', [join(from, 'scripts/install.sh')], {
      encoding: 'utf8',
      env: { ...env, DESTDIR: root, NODE: process.execPath, ...over() },
    })
    t.equal(status, 1, what)
    t.match(stderr, says, what)
    t.match(
      stderr,
      /^(?:.*dirname.*\n)?install\.sh: [^\n]*; nothing was changed\n$/,
      'one sentence',
    )
    const left = readdirSync(root, { recursive: true })
    t.strictSame(left, ['opt'], `${what}: nothing was changed`)
  }
})

const cannotMount = spawnSync('unshare', ['-m', 'true']).status !== 0
t.test(
  'a full disk is found out before anything is replaced',
  { skip: cannotMount && 'SKIPPED: needs root and unshare' },
  async t => {
    const tree = checkout(t)
    const root = folder(t)
    const opt = join(root, 'opt')
    mkdirSync(opt)
    const script = `mount -t tmpfs -o size=200k none ${opt} && mkdir ${opt}/spartan && echo old > ${opt}/spartan/program && sh "$0"; s=$?; cat ${opt}/spartan/program; ls -A ${opt}; exit $s`
    const ran = spawnSync('unshare', ['-m', 'sh', '-c', script, join(tree, 'scripts/install.sh')], {
      encoding: 'utf8',
      env: { ...env, DESTDIR: root, NODE: process.execPath },
    })
    t.equal(ran.status, 1)
    t.match(ran.stderr, /^install\.sh: [^\n]*[Nn]o space[^\n]*; nothing was changed\n$/)
    t.equal(ran.stdout, 'old\nspartan\n')
    t.strictSame(readdirSync(root), ['opt'])
  },
)
