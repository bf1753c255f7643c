/** scripts/install.sh: what it puts where, and the mistakes that it refuses. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'

t.setTimeout(590_000)

const ROOT = join(import.meta.dirname, '../..')
const { NODE_OPTIONS: _, ...env } = process.env

/** A new folder, gone with the test. */
const folder = (t: Test, prefix = join(tmpdir(), 'install-')): string => {
  const path = mkdtempSync(prefix)
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const PROGRAM = 'usr/lib/spartan/dist/program/main.js'
const UNIT = 'usr/lib/systemd/system/spartan.service'

/** An unpacked archive with little in it. */
const archive = (t: Test): string => {
  const at = folder(t)
  cpSync(join(ROOT, 'scripts/install.sh'), join(at, 'install.sh'))
  const put = (path: string, text: string, mode = 0o644): void => {
    const to = join(at, 'tree', path)
    mkdirSync(dirname(to), { recursive: true })
    writeFileSync(to, text, { mode })
  }
  put(PROGRAM, "console.log('built')\n")
  put('usr/lib/spartan/chunk', 'x'.repeat(300_000))
  put('usr/bin/spartan', readFileSync(join(ROOT, 'deploy/spartan.sh'), 'utf8'), 0o755)
  put('etc/spartan/spartan.yaml', '# ours')
  put(UNIT, '')
  return at
}

/** A checkout, built or not, whose packages are not installed. */
const checkout = (t: Test, built: boolean): string => {
  const at = folder(t)
  for (const name of built ? ['scripts', 'dist', 'node_modules'] : ['scripts'])
    mkdirSync(join(at, name))
  for (const name of [
    'package.json',
    'scripts/install.sh',
    'scripts/package.js',
    'scripts/package',
  ])
    cpSync(join(ROOT, name), join(at, name), { recursive: true })
  if (built) writeFileSync(join(at, 'dist/main.js'), '')
  return at
}

/** A root for DESTDIR; below usr/lib there is room for the program. */
const newRoot = (t: Test): string => {
  const root = folder(t)
  mkdirSync(join(root, 'usr/lib'), { recursive: true })
  return root
}

const install = (from: string, root: string, over: Record<string, string> = {}, before = ':') =>
  spawnSync('sh', ['-c', `${before}; exec sh "$0"`, from], {
    encoding: 'utf8',
    env: { ...env, DESTDIR: root, NODE: process.execPath, ...over },
  })

t.test('the archive is put in place, and again over itself', async t => {
  const from = archive(t)
  const script = join(from, 'install.sh')
  const root = newRoot(t)
  t.match(install(script, root), { status: 0, stderr: '' })
  t.ok(existsSync(join(root, UNIT)))
  t.equal(readlinkSync(join(root, 'usr/lib/spartan/node/bin/node')), process.execPath)
  writeFileSync(join(root, 'etc/spartan/spartan.yaml'), '# mine')
  writeFileSync(join(from, 'tree/usr/lib/spartan/new'), '')
  rmSync(join(from, 'tree/usr/lib/spartan/chunk'))
  t.match(install(script, root), { status: 0, stderr: '' })
  const config = readFileSync(join(root, 'etc/spartan/spartan.yaml'), 'utf8')
  t.equal(config, '# mine', 'a configuration is never overwritten')
  t.strictSame(readdirSync(join(root, 'usr/lib/spartan')).sort(), ['dist', 'new', 'node'])
  t.strictSame(readdirSync(join(root, 'usr/lib')).sort(), ['spartan', 'systemd'], 'no more')
})

t.test('what a version before put elsewhere is gone', async t => {
  const root = newRoot(t)
  const old = [
    'opt/spartan/dist/main.js',
    'usr/local/bin/spartan',
    'etc/systemd/system/spartan.service',
  ]
  const kept = [
    'etc/systemd/system/spartan.service.d/own.conf',
    'opt/other',
    'etc/systemd/system/mine.service',
  ]
  for (const path of [...old, ...kept]) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), '')
  }
  t.match(install(join(archive(t), 'install.sh'), root), { status: 0, stderr: '' })
  for (const path of old) t.notOk(existsSync(join(root, path)), path)
  for (const path of kept) t.ok(existsSync(join(root, path)), path)
})

t.test('a checkout is installed as its package would be', async t => {
  const root = newRoot(t)
  t.match(install(join(ROOT, 'scripts/install.sh'), root), { status: 0, stderr: '' })
  const ran = spawnSync(process.execPath, [join(root, PROGRAM), '--version'], {
    encoding: 'utf8',
    env,
  })
  t.match(ran, { status: 0 })
  t.ok(existsSync(join(root, UNIT)))
  t.match(readdirSync(join(root, 'usr/lib/spartan/compiled')), [/^v/], 'it is compiled')
})

t.test('a program that cannot be compiled is installed nevertheless', async t => {
  const from = archive(t)
  writeFileSync(join(from, 'tree/usr/lib/spartan/dist/compile.js'), 'process.exit(1)')
  const root = newRoot(t)
  t.match(install(join(from, 'install.sh'), root), {
    status: 0,
    stderr: /^install\.sh: [^\n]*starts more slowly\n$/,
  })
  t.ok(existsSync(join(root, PROGRAM)))
})

t.test('a strict umask, of the archive too, hides nothing from the daemon', async t => {
  const from = archive(t)
  const root = newRoot(t)
  spawnSync('chmod', ['-R', 'go=', from])
  t.match(install(join(from, 'install.sh'), root, {}, 'umask 077'), { status: 0, stderr: '' })
  const mode = (path: string): number => statSync(join(root, path)).mode & 0o777
  for (const path of ['usr/lib/spartan', 'usr/lib/spartan/dist', 'usr/bin/spartan', 'etc/spartan'])
    t.equal(mode(path), 0o755, path)
  for (const path of [PROGRAM, UNIT, 'etc/spartan/spartan.yaml']) t.equal(mode(path), 0o644, path)
})

/** A program in place of Node. */
const fakeNode = (dir: string, script: string): string => {
  const path = join(dir, 'node')
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}

t.test('each mistake is refused in one sentence, and nothing is changed', async t => {
  const script = join(archive(t), 'install.sh')
  const temporary = folder(t)
  // Where the daemon could see it, or that would be what is refused.
  const visible = folder(t, process.getuid?.() === 0 ? '/opt/node-' : join(ROOT, '.tap/node-'))
  const unbuilt = join(checkout(t, false), 'scripts/install.sh')
  const incomplete = join(checkout(t, true), 'scripts/install.sh')
  const broken = archive(t)
  writeFileSync(join(broken, 'tree', PROGRAM), 'process.exit(1)')
  const bad = (program: string) => ({ NODE: fakeNode(visible, program) })
  const table: readonly [
    string,
    script: string,
    env: () => Record<string, string>,
    says: RegExp,
  ][] = [
    ['no Node', script, () => ({ NODE: '', PATH: '/nowhere' }), /there is no Node/],
    ['no such Node', script, () => ({ NODE: '/nowhere/node' }), /is no program/],
    [
      'an old Node',
      script,
      () => bad('[ "$1" != --version ] || echo v18.19.0; [ "$1" != -e ]'),
      /needed.*v18\.19\.0/,
    ],
    ['no Node at all', script, () => bad('exit 1'), /none that runs/],
    ['Node in a home', script, () => ({ NODE: fakeNode(temporary, '') }), /daemon cannot see/],
    ['not built', unbuilt, () => ({}), /not built yet/],
    ['half installed', incomplete, () => ({}), /cannot be copied.*'esbuild'/],
    ['a broken build', join(broken, 'install.sh'), () => ({}), /does not run/],
  ]
  for (const [what, from, over, says] of table) {
    const root = newRoot(t)
    // An empty PATH has no shell either, hence the shell by its path.
    const { status, stderr } = spawnSync('/bin/sh', [from], {
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
    t.strictSame(left, ['usr', 'usr/lib'], `${what}: nothing was changed`)
  }
})

const noDpkg = spawnSync('dpkg-query', ['--version']).error
t.test(
  'beside the package it is refused',
  { skip: noDpkg ? 'SKIPPED: dpkg-query is not installed' : false },
  async t => {
    const root = newRoot(t)
    mkdirSync(join(root, 'var/lib/dpkg'), { recursive: true })
    const status =
      'Package: spartan\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n'
    writeFileSync(join(root, 'var/lib/dpkg/status'), status)
    const ran = install(join(archive(t), 'install.sh'), root)
    t.match(ran, {
      status: 1,
      stderr: /the package spartan is installed here.*nothing was changed/,
    })
    t.strictSame(readdirSync(join(root, 'usr/lib')), [])
  },
)

const cannotMount = spawnSync('unshare', ['-m', 'true']).status !== 0
t.test(
  'a full disk is found out before anything is replaced',
  { skip: cannotMount && 'SKIPPED: needs root and unshare' },
  async t => {
    const root = newRoot(t)
    const lib = join(root, 'usr/lib')
    const script = `mount -t tmpfs -o size=200k none ${lib} && mkdir ${lib}/spartan && echo old > ${lib}/spartan/program && sh "$0"; s=$?; cat ${lib}/spartan/program; ls -A ${lib}; exit $s`
    const ran = spawnSync('unshare', ['-m', 'sh', '-c', script, join(archive(t), 'install.sh')], {
      encoding: 'utf8',
      env: { ...env, DESTDIR: root, NODE: process.execPath },
    })
    t.equal(ran.status, 1)
    t.match(ran.stderr, /^install\.sh: [^\n]*[Nn]o space[^\n]*; nothing was changed\n$/)
    t.equal(ran.stdout, 'old\nspartan\n')
    t.strictSame(readdirSync(root), ['usr'])
  },
)
