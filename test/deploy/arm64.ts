/**
 * The package for arm64 with its Node, run by qemu's emulation of a process: batched I/O, answers and the end are real.
 * Left out are what a machine would add: systemd, the package's scripts (they are the same for all processors), and
 * the shell's command, whose Node would be run without the emulator.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ask } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { makePackage, noDpkg, outside } from '../fixture/package.ts'
import { A } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'

const QEMU = 'qemu-aarch64-static'
/** Debian's C library for arm64, as its cross compiler uses it. */
const SYSTEM = '/usr/aarch64-linux-gnu'
/** The oldest Node line that the package supports, as the registry has it. */
const NODE = '20.20.2'

const skip =
  noDpkg ||
  (outside(QEMU, '--version').error ? `SKIPPED: ${QEMU} is not installed` : '') ||
  (existsSync(join(SYSTEM, 'lib/libstdc++.so.6'))
    ? ''
    : 'SKIPPED: libstdc++6-arm64-cross is not installed')

t.test('the package for arm64 answers under qemu', { skip }, async t => {
  const work = mkdtempSync(join(tmpdir(), 'spartan-arm64-'))
  t.teardown(() => rmSync(work, { recursive: true, force: true }))
  const made = makePackage('--arch', 'arm64', '--node', NODE, '--out', work)
  if (made.status !== 0 && /npm (error|ERR!)/.test(made.stderr)) {
    t.pass('arm64', { skip: 'SKIPPED: Node and koffi for arm64 cannot be fetched' })
    return
  }
  t.equal(made.status, 0, made.stderr)
  const root = join(work, 'root')
  for (const deb of readdirSync(work).filter(name => name.endsWith('_arm64.deb')))
    t.equal(outside('dpkg-deb', '-x', join(work, deb), root).status, 0, deb)
  const program = [
    QEMU,
    ...['-L', SYSTEM, join(root, 'usr/lib/spartan/node/bin/node'), '--single-threaded-gc'],
    join(root, 'usr/lib/spartan/dist/program/main.js'),
  ] as const
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } => {
    const [command, ...words] = program
    return spawnSync(command, [...words, ...args], { encoding: 'utf8' })
  }
  const facts = run('version', '--json')
  t.equal(facts.status, 0, facts.stderr)
  t.match(JSON.parse(facts.stdout), { node: NODE, arch: 'arm64', features: { batchedIo: true } })

  const up = await upstream(t, [A('www.example.org. 300 203.0.113.7')])
  const settings = { upstreams: [up.name] }
  const d = await daemon(t, settings, { program: [...program], patience: 180_000 })
  t.match(d.lines('packet i/o')[0], { body: 'batch' })
  const answered = { status: 'NOERROR', answers: [{ data: '203.0.113.7' }] }
  /** How often the upstream was asked. A query may be sent again, because all is slow here. */
  const asked = (): number => up.queries.filter(({ name }) => name === 'www.example.org').length
  t.match(await ask(d.at, 'www.example.org'), answered, 'asked for')
  const before = asked()
  t.ok(before > 0)
  t.match(await ask(d.at, 'www.example.org'), answered, 'cached')
  t.equal(asked(), before)
  t.match(await ask(d.at, 'ready.spartan', 'A', { tcp: true }), { status: 'NOERROR' }, 'over TCP')
  t.equal(await d.stop(), 0, 'SIGTERM ends it')
})
