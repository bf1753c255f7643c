/** What `npm run package` makes, looked at without installing it. */
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { daemon } from '../fixture/daemon.ts'
import { debIn, makePackage, noDpkg, outside } from '../fixture/package.ts'

t.test(
  'the bundle runs without npm, with batched I/O and the files of the status page',
  async t => {
    const tree = t.testdir()
    t.match(makePackage('--tree', tree), { status: 0, stderr: '' })
    const home = join(tree, 'usr/lib/spartan')
    const main = join(home, 'dist/program/main.js')
    const run = (...args: string[]) => outside(process.execPath, main, ...args)
    const { status, stdout, stderr } = run('version', '--json')
    t.equal(status, 0, stderr)
    const facts = JSON.parse(stdout) as { features: { batchedIo: boolean } }
    t.equal(
      facts.features.batchedIo,
      true,
      'koffi is whole: held sockets cannot be used without it',
    )
    t.match(
      run('check', '--quiet', '--config', join(tree, 'etc/spartan/spartan.yaml')).status,
      /[01]/,
    )
    for (const file of [
      'dist/ops/browser/live.js',
      'node_modules/uplot/dist/uPlot.iife.min.js',
      'spartan.schema.json',
      'spartan-stop.sh',
    ])
      t.ok(existsSync(join(home, file)), file)
    for (const page of [
      'man8/spartan.8.gz',
      'man8/spartan-mesos-dns.8.gz',
      'man5/spartan.yaml.5.gz',
    ])
      t.ok(existsSync(join(tree, 'usr/share/man', page)), page)
    const units = join(tree, 'usr/lib/systemd/system')
    const stray = outside('grep', '-rlE', '/usr/local|/opt/', units)
    t.equal(stray.stdout, '', 'no unit names a place outside the package')
  },
)

t.test('what the bundle loads later works: its HTTP client and its metrics', async t => {
  const tree = t.testdir()
  t.match(makePackage('--tree', tree), { status: 0, stderr: '' })
  const server = createServer((_, response) => void response.end('[]'))
  const asked = once(server, 'request') as Promise<[IncomingMessage]>
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const program = [process.execPath, join(tree, 'usr/lib/spartan/dist/program/main.js')] as const
  const masters = { source: 'url', url: `http://127.0.0.1:${port}/masters` }
  const spartan = await daemon(t, { masters }, { program, patience: 200_000 })
  t.match(await asked, [{ url: '/masters' }])
  t.match(await spartan.page('/metrics'), /^spartan_build_info/m)
})

t.test(
  'lintian finds no error in the package',
  {
    skip:
      noDpkg ||
      (outside('lintian', '--version').error && 'SKIPPED: lintian is not installed') ||
      false,
  },
  async t => {
    const deb = debIn(t.testdir(), '0.1.0')
    const ran = outside('lintian', '--allow-root', '--fail-on', 'error', deb)
    t.equal(ran.status, 0, 'no error')
    const needed = outside('dpkg-deb', '-f', deb, 'Depends').stdout
    t.match(needed, /nftables, conntrack/, 'what the balancer runs comes with it')
    t.comment(ran.stdout + ran.stderr)
  },
)

t.test('the archive and the package have a layout for arm64, too', { skip: noDpkg }, async t => {
  const out = t.testdir()
  const { status, stderr } = makePackage('--arch', 'arm64', '--version', '0.1.0', '--out', out)
  if (status !== 0 && /npm (error|ERR!)/.test(stderr)) {
    t.pass('arm64', { skip: "SKIPPED: koffi's binary for arm64 cannot be fetched" })
    return
  }
  t.equal(status, 0, stderr)
  t.strictSame(readdirSync(out), ['spartan-0.1.0-linux-arm64.tar.gz', 'spartan_0.1.0_arm64.deb'])
  const said = (...args: string[]): string => outside('dpkg-deb', ...args).stdout
  const deb = join(out, 'spartan_0.1.0_arm64.deb')
  t.equal(said('-f', deb, 'Architecture'), 'arm64\n')
  const files = said('-c', deb)
  t.match(files, 'koffi-linux-arm64/linux_arm64/koffi.node')
  t.notMatch(files, 'x64')
})

t.test('what cannot be fetched is said in the words of npm', { skip: noDpkg }, t => {
  const script = join(import.meta.dirname, '../../scripts/package.js')
  const args = [script, '--arch', 'amd64', '--node', '20.0.999', '--out', t.testdir()]
  const { status, stderr } = outside('env', 'npm_config_offline=true', process.execPath, ...args)
  t.not(status, 0)
  t.match(stderr, /^npm (error|ERR!)/m)
  t.end()
})
