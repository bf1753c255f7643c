import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import type { Packet } from 'dns-packet'
import { ownAddress } from '../../fixture/address.ts'
import { spartan } from '../../fixture/cli.ts'
import { dnsServer } from '../../fixture/dns-server.ts'

/** A running forwarder; its answer about the root shows whether an upstream works. */
const forwarder = async (t: Test, upstream: { answers: boolean }) => {
  const address = ownAddress()
  const port = await dnsServer(t, address, (query: Packet) =>
    query.questions?.[0]?.name === 'ready.spartan'
      ? { answers: [{ name: 'ready.spartan', type: 'A', ttl: 5, data: '127.0.0.1' }] }
      : { flags: upstream.answers ? 0x0180 : 0x0182 },
  )
  return { address, port }
}

type Options = { readonly answers?: boolean; readonly files: Record<string, string> }

/** A host's files in a folder, and the command applied to them. */
const host = async (t: Test, { answers = true, files }: Options) => {
  const upstream = { answers }
  const { address, port } = await forwarder(t, upstream)
  const root = t.testdir({ etc: {} })
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  const config = join(root, 'spartan.yaml')
  writeFileSync(
    config,
    `listen: { addresses: ['${address}'], port: ${port} }\nupstreams: [192.0.2.1]\nadmin: { listen: '', socket: '' }\n`,
  )
  const resolvconf = (action: string, ...more: string[]) =>
    spartan('resolvconf', action, '--root', root, '-c', config, '--port', String(port), ...more)
  return { root, address, upstream, resolvconf, etc: join(root, 'etc/resolv.conf') }
}

/** Everything in a folder: path → kind, mode, owner, and octets or target. */
const everything = (folder: string, at = ''): Record<string, string> =>
  Object.fromEntries(
    readdirSync(join(folder, at)).flatMap(name => {
      const path = join(at, name)
      const { mode, uid, gid } = lstatSync(join(folder, path))
      const about = `${mode.toString(8)} ${uid}:${gid}`
      if (lstatSync(join(folder, path)).isDirectory())
        return Object.entries(everything(folder, path))
      const content = lstatSync(join(folder, path)).isSymbolicLink()
        ? readlinkSync(join(folder, path))
        : readFileSync(join(folder, path), 'base64')
      return [[path, `${about} ${content}`]]
    }),
  )

t.test('a plain file is replaced, and put back octet for octet with its mode', async t => {
  const { root, address, resolvconf, etc } = await host(t, {
    files: { 'etc/resolv.conf': '' },
  })
  // Not UTF-8, and with CRLF line ends.
  writeFileSync(etc, 'nameserver 10.0.0.2\r\n# caf\xe9\nsearch corp.example\n', 'latin1')
  chmodSync(etc, 0o640)
  const before = everything(root)
  t.match(await resolvconf('status'), { exit: 0, out: /^applied +no$/m })
  t.match(await resolvconf('apply'), {
    exit: 0,
    out: new RegExp(`^\\+nameserver ${address}$`, 'm'),
  })
  t.match(readFileSync(etc, 'utf8'), /^search corp\.example$/m)
  t.match(await resolvconf('status', '--json'), { exit: 0, out: /"applied": true/ })
  t.match(await resolvconf('apply'), { exit: 0, err: /already/ })
  t.match(await resolvconf('restore'), { exit: 0, out: /is again what it was/ })
  t.strictSame(everything(root), before)
  t.match(await resolvconf('restore'), { exit: 0, err: /nothing to restore/ })
})

t.test("systemd-resolved's link is replaced, its own file never", async t => {
  const stub = 'nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan.example\n'
  const { root, resolvconf, etc } = await host(t, {
    files: {
      'run/systemd/resolve/stub-resolv.conf': stub,
      'etc/nsswitch.conf': 'hosts: files resolve dns\n',
    },
  })
  symlinkSync('../run/systemd/resolve/stub-resolv.conf', etc)
  const before = everything(root)
  t.match(await resolvconf('apply'), { exit: 0 })
  t.notOk(lstatSync(etc).isSymbolicLink())
  t.match(readFileSync(etc, 'utf8'), /^options timeout:1 attempts:3 edns0 trust-ad$/m)
  t.equal(readFileSync(join(root, 'run/systemd/resolve/stub-resolv.conf'), 'utf8'), stub)
  t.match(
    readFileSync(join(root, 'etc/systemd/resolved.conf.d/90-spartan.conf'), 'utf8'),
    /^Domains=~\.$/m,
  )
  t.match(await resolvconf('restore'), { exit: 0 })
  t.strictSame(everything(root), before)
})

t.test('--write refuses to write through a link into a file of another program', async t => {
  const { address, port } = await forwarder(t, { answers: true })
  const dir = t.testdir({})
  // The link leads outside the test folder, to the usual path of systemd-resolved.
  symlinkSync('/run/systemd/resolve/stub-resolv.conf', `${dir}/resolv.conf`)
  const had = existsSync('/run/systemd/resolve/stub-resolv.conf')
  t.match(
    await spartan('resolvconf', '-w', `${dir}/resolv.conf`, '-a', address, '--port', String(port)),
    { exit: 1, err: /a file of systemd-resolved/ },
  )
  t.equal(existsSync('/run/systemd/resolve/stub-resolv.conf'), had)
})

t.test('nothing is applied before an upstream has answered, and then it stays', async t => {
  const { root, upstream, resolvconf, etc } = await host(t, {
    answers: false,
    files: { 'etc/resolv.conf': 'nameserver 10.0.0.2\n' },
  })
  const before = everything(root)
  t.match(await resolvconf('apply'), {
    exit: 1,
    out: '',
    err: /no upstream has ever answered .*left as it is\n$/,
  })
  t.strictSame(everything(root), before)
  upstream.answers = true
  t.match(await resolvconf('apply'), { exit: 0 })
  upstream.answers = false
  const applied = readFileSync(etc, 'utf8')
  t.match(await resolvconf('apply'), { exit: 0 }, 'an outage later changes nothing')
  t.equal(readFileSync(etc, 'utf8'), applied)
})

t.test('no address that answers changes nothing', async t => {
  const { root, resolvconf } = await host(t, {
    files: { 'etc/resolv.conf': 'nameserver 10.0.0.2\n' },
  })
  const before = everything(root)
  t.match(await resolvconf('apply', '-a', '127.0.0.77'), { exit: 1, err: /no address answers/ })
  t.strictSame(everything(root), before)
})

const cannotUnshare = spawnSync('unshare', ['-n', 'true']).status !== 0
t.test(
  'an address without a route is left out in a sentence',
  { skip: cannotUnshare && 'SKIPPED: needs root and unshare' },
  async t => {
    // A new network namespace has no routes at all.
    const main = new URL('../../../src/main.ts', import.meta.url).pathname
    const { status, stderr } = spawnSync(
      'unshare',
      [
        '-n',
        process.execPath,
        ...process.execArgv,
        main,
        'resolvconf',
        '-a',
        '198.51.100.1',
        '2001:db8::1',
      ],
      { encoding: 'utf8' },
    )
    t.equal(status, 1)
    t.equal(
      stderr,
      ['198.51.100.1:53', '[2001:db8::1]:53']
        .map(at => `spartan: ${at} left out: over UDP: the address cannot be reached\n`)
        .join('') + 'spartan: no address answers\n',
    )
  },
)

t.test('a file of ours without an original cannot be restored, and that is said', async t => {
  const { root, resolvconf, etc } = await host(t, {
    files: { 'etc/resolv.conf': 'nameserver 10.0.0.2\n' },
  })
  await resolvconf('apply')
  unlinkSync(join(root, 'var/lib/spartan-resolvconf/kept.json'))
  const text = readFileSync(etc, 'utf8')
  t.match(await resolvconf('restore'), { exit: 1, err: /nothing was kept/ })
  t.equal(readFileSync(etc, 'utf8'), text, 'it is better than none')
  writeFileSync(join(root, 'var/lib/spartan-resolvconf/kept.json'), '{"manager": 1}')
  t.match(await resolvconf('restore'), { exit: 1, err: /kept\.json is damaged/ })
  t.equal(readFileSync(etc, 'utf8'), text)
})

t.test('a loop of links, a folder and an unknown action are refused in a sentence', async t => {
  const { resolvconf, etc } = await host(t, { files: {} })
  symlinkSync('resolv.conf', etc)
  t.match(await resolvconf('apply'), { exit: 1, err: /^spartan: .*loop of symbolic links\n$/ })
  unlinkSync(etc)
  mkdirSync(etc)
  t.match(await resolvconf('apply'), { exit: 1, err: /^spartan: .*not a text file/ })
  t.match(await resolvconf('aply'), { exit: 2, err: /none of print, apply, restore, status/ })
})
