/** The README's commands, pasted as they stand into a machine that has just booted, and the way out. */
import { chmodSync, chownSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import t, { type Test } from 'tap'
import { boot, cannotBoot, installInto } from '../fixture/booted.ts'

t.setTimeout(590_000)

/** The lines of the shell blocks in "Running it", without comments. */
const README = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
const [, running = ''] = /\n## Running it\n([^]*?)\n## /.exec(README) ?? []
const [installing = [], starting = [], leaving = []] = [
  ...running.matchAll(/```sh\n([^]*?)```/g),
].map(([, block = '']) =>
  block
    .split('\n')
    .map(line => line.replace(/\s+#.*/, ''))
    .filter(line => line !== ''),
)

/** The demo's Mesos and its resolver, which knows example.org and nothing else. */
const WORLD = `
import { Cluster } from './src/demo/cluster/cluster.ts'
import { startResolver } from './src/demo/resolver.ts'
await startResolver({ address: '127.9.9.9', port: 53 })
const agents = [1, 2, 3].map(n => ({ address: '127.53.1.' + n, port: 5051 }))
await Cluster.start({ masters: [{ address: '127.53.0.1', port: 5050 }], agents, now: Date.now, random: () => 0.5 })
`

const CONFIG = `
listen: { addresses: [198.51.100.1, 198.51.100.2, 198.51.100.3] }
masters: { source: static, addresses: [127.53.0.1] }
upstreams: [127.9.9.9]
gossip: { bind: '127.0.0.1:7946', keyring: /var/lib/spartan/keyring.json }
vips: { agent: 'http://127.53.1.1:5051' }
stateDir: /var/lib/spartan
`

const MESOS_DNS = {
  masters: ['127.53.0.1:5050'],
  refreshSeconds: 1,
  port: 61053,
  listener: '127.53.0.1',
  httpListener: '127.53.0.1',
  resolvers: ['127.9.9.9'],
}

/** Octets that no text has, no newline at the end, and a group of its own: all must come back. */
const ORIGINAL = Buffer.from(
  '# caf\xe9\r\nnameserver 127.9.9.9\nsearch corp.example\noptions ndots:2',
  'latin1',
)
const GROUP_ADM = 4

const prepare = (root: string): void => {
  installInto(root)
  // The product has no program that starts these alone.
  buildSync({
    stdin: { contents: WORLD, resolveDir: join(import.meta.dirname, '../..') },
    outfile: join(root, 'root/world.mjs'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    banner: {
      js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);",
    },
  })
  writeFileSync(join(root, 'etc/spartan/spartan.yaml'), CONFIG)
  writeFileSync(join(root, 'etc/spartan/mesos-dns.json'), JSON.stringify(MESOS_DNS))
  const resolvConf = join(root, 'etc/resolv.conf')
  rmSync(resolvConf, { force: true })
  writeFileSync(resolvConf, ORIGINAL)
  chmodSync(resolvConf, 0o644)
  chownSync(resolvConf, 0, GROUP_ADM)
}

t.test('the README shows how to install, how to start, and the way out', async t => {
  t.match(installing, [/install\.sh/])
  t.match(starting.join('\n'), /spartan check[^]*systemctl enable[^]*spartan status/)
  t.match(leaving.join('\n'), /systemctl disable/)
})

t.test(
  'the documented path ends with DNS, and the way out with the host as it was',
  { skip: cannotBoot(), timeout: 580_000 },
  async t => {
    const { run, until } = await boot(t, prepare)
    t.teardown(() => {
      if (t.passing()) return
      t.comment(run('journalctl -b -o short-precise | grep -v kernel: | tail -120').out)
      t.comment(run('cat /etc/resolv.conf; systemctl list-units --all "spartan*"; uptime').out)
    })
    const ok = (t: Test, line: string): void => {
      const { status, out, err } = run(line)
      if (!t.equal(status, 0, line)) t.comment(out + err)
    }
    /** Everything about the file that a restore must bring back. */
    const look = (): string =>
      run(
        'stat -c "%F %a %u %g" /etc/resolv.conf; readlink /etc/resolv.conf; od -c /etc/resolv.conf',
      ).out
    const state = (unit: string): string => run(`systemctl is-active ${unit}`).out.trim()
    const applied = (): Promise<string> =>
      until('grep -q "^nameserver 198.51.100.1$" /etc/resolv.conf')
    const resolves = async (t: Test, name: string, address: RegExp): Promise<void> => {
      t.match(await until(`getent ahostsv4 ${name}`), address, name)
    }
    const original = look()

    await t.test("the README's commands, before any upstream is there", async t => {
      ok(
        t,
        'systemd-sysusers spartan.conf && systemd-tmpfiles --create spartan.conf && systemctl daemon-reload',
      )
      ok(t, 'spartan keys generate')
      for (const line of starting) ok(t, line)
      t.equal(look(), original, 'nothing is applied while no upstream has ever answered')
      t.match(state('spartan-resolvconf.service'), /^(active|reloading)$/, 'it is tried again')
    })

    await t.test('the host resolves through it as soon as an upstream has answered', async t => {
      ok(t, `systemd-run --quiet --unit=world ${process.execPath} /root/world.mjs`)
      await applied()
      const text = run('cat /etc/resolv.conf').out
      for (const n of [1, 2, 3]) t.match(text, `nameserver 198.51.100.${n}\n`)
      t.match(text, /^search corp\.example$/m)
      t.match(text, /^options timeout:1 attempts:3 ndots:2$/m)
      await resolves(t, 'example.org', /203\.0\.113\.80/)
      ok(t, 'systemctl start spartan-mesos-dns')
      await resolves(t, 'web.marathon.mesos', /\d+\.\d+\.\d+\.\d+/)
      await resolves(t, 'web.marathon.l4lb.thisdcos.directory', /\d+\.\d+\.\d+\.\d+/)
      t.match(run('spartan resolvconf status').out, /^applied +yes$/m)
    })

    await t.test('a restart and a crash leave the file and the sockets alone', async t => {
      const same = (): string =>
        run(
          'stat -c "%i %Y" /etc/resolv.conf; systemctl show -P ActiveEnterTimestamp spartan.socket',
        ).out
      const before = same()
      ok(t, 'systemctl restart spartan')
      ok(t, 'systemctl kill --kill-who=main -s KILL spartan')
      await until(
        'test "$(systemctl show -P NRestarts spartan)" = 1 && systemctl is-active spartan',
      )
      t.equal(same(), before)
    })

    await t.test('stopped, the host resolves without it, and nothing starts it', async t => {
      ok(t, 'systemctl stop spartan')
      t.equal(look(), original)
      await resolves(t, 'example.org', /203\.0\.113\.80/)
      await until('test "$(systemctl is-active spartan.socket)" = inactive')
      ok(t, 'systemctl start spartan-resolvconf-again; systemctl restart spartan-mesos-dns')
      ok(t, 'systemctl start spartan-resolvconf')
      t.equal(state('spartan.service'), 'inactive')
      t.equal(look(), original)
      await until('test "$(systemctl is-active spartan-resolvconf.timer)" = inactive')
    })

    await t.test('a start during a late run of the timer is not undone by it', async t => {
      const wrapper = '/usr/local/bin/systemctl'
      ok(
        t,
        `printf '#!/bin/sh\\n[ "$1" != stop ] || until [ -e /run/go ]; do sleep 0.1; touch /run/waits; done\\nexec /bin/systemctl "$@"\\n' > ${wrapper}; chmod +x ${wrapper}`,
      )
      ok(t, '/bin/systemctl start --no-block spartan-resolvconf-again')
      await until('test -e /run/waits')
      ok(t, '/bin/systemctl start spartan')
      await applied()
      ok(t, `touch /run/go; /bin/systemctl start spartan-resolvconf-again; rm ${wrapper}`)
      t.equal(state('spartan-resolvconf.service'), 'active')
      await applied()
      ok(t, 'systemctl stop spartan')
    })

    await t.test('stopped while it waits for a configuration, too', async t => {
      ok(t, 'systemctl start spartan')
      await applied()
      ok(
        t,
        'cp /etc/spartan/spartan.yaml /root/good.yaml; echo "adresses: 1" >> /etc/spartan/spartan.yaml',
      )
      ok(t, 'systemctl --no-block restart spartan')
      await until('test "$(systemctl show -P SubState spartan)" = start')
      ok(t, 'systemctl stop spartan')
      t.equal(look(), original)
      ok(t, 'cp /root/good.yaml /etc/spartan/spartan.yaml')
    })

    await t.test(
      'beside systemd-resolved: its link is put back, and its file is never ours',
      async t => {
        ok(t, 'mkdir -p /run/systemd/resolve')
        ok(t, 'cp /etc/resolv.conf /run/systemd/resolve/stub-resolv.conf')
        ok(t, 'ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf')
        const link = look()
        t.match(link, 'symbolic link')
        for (const line of starting) ok(t, line)
        await applied()
        t.match(look(), /^regular file/)
        await resolves(t, 'example.org', /203\.0\.113\.80/)
        for (const line of leaving) ok(t, line)
        t.equal(look(), link)
        await resolves(t, 'example.org', /203\.0\.113\.80/)
      },
    )

    await t.test('after the way out nothing of it is active or would start again', async t => {
      for (const unit of ['service', 'socket'].map(kind => `spartan.${kind}`)) {
        t.equal(state(unit), 'inactive', unit)
        t.equal(run(`systemctl is-enabled ${unit}`).out.trim(), 'disabled', unit)
      }
      t.equal(state('spartan-resolvconf.service'), 'inactive')
      t.equal(run('systemctl is-enabled spartan-resolvconf').out.trim(), 'disabled')
      t.equal(run('systemctl --failed --no-legend list-units "spartan*"').out, '')
    })
  },
)
