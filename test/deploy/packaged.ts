/** The life of the Debian package on a machine, from install to purge. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { boot, cannotBoot } from '../fixture/booted.ts'
import { putResolver, startResolver } from '../fixture/debian.ts'
import { noDpkg, putPackages } from '../fixture/package.ts'

const ORIGINAL = '# as it was\nnameserver 127.9.9.9\nsearch corp.example\noptions ndots:1\n'

const prepare =
  (t: Test) =>
  (root: string): void => {
    putPackages(t, root)
    putResolver(root)
    rmSync(join(root, 'etc/resolv.conf'), { force: true })
    writeFileSync(join(root, 'etc/resolv.conf'), ORIGINAL)
  }

t.test(
  'install, start, upgrade, downgrade, remove and purge',
  { skip: cannotBoot() || noDpkg },
  async t => {
    const { run, until } = await boot(t, prepare(t))
    t.teardown(() => {
      if (t.passing()) return
      t.comment(run('journalctl -b -o short-precise | grep -v kernel: | tail -80').out)
      t.comment(run('cat /etc/resolv.conf').out)
    })
    const ok = (t: Test, line: string): string => {
      const { status, out, err } = run(line)
      if (!t.equal(status, 0, line)) t.comment(out + err)
      return out + err
    }
    /** Node of this machine may be no Debian package. */
    const install = (version: string): string => `dpkg -i --force-depends /root/${version}.deb`
    const resolvConf = (): string => run('cat /etc/resolv.conf').out
    const applied = (): Promise<string> =>
      until('grep -q "^nameserver 198.51.100.1$" /etc/resolv.conf')
    const resolves = async (t: Test, name: string, address: RegExp): Promise<void> => {
      t.match(await until(`getent ahostsv4 ${name}`), address, name)
    }

    await t.test('installed, it has changed nothing yet', async t => {
      ok(t, `touch /root/before; ${startResolver('127.9.9.9')}`)
      ok(t, install('0.1.0'))
      t.equal(resolvConf(), ORIGINAL)
      t.equal(run('systemctl is-active spartan spartan.socket').out, 'inactive\ninactive\n')
      t.match(ok(t, 'spartan version'), /batched i\/o/)
    })

    await t.test('it is compiled for this Node, and again after another one came', async t => {
      const code = 'ls /usr/lib/spartan/compiled/*/thread.js'
      ok(t, code)
      ok(t, 'rm -r /usr/lib/spartan/compiled')
      ok(
        t,
        'dpkg-trigger --by-package=nodejs /usr/bin/node && dpkg --triggers-only --force-depends -a',
      )
      ok(t, code)
    })

    await t.test('a keyring that root makes can be read by the daemon', async t => {
      ok(t, 'spartan keys generate')
      t.equal(run('stat -c "%U:%G %a" /var/lib/spartan/keyring.json').out, 'spartan:spartan 600\n')
    })

    await t.test('started, the host resolves through it', async t => {
      const config =
        'listen: { addresses: [198.51.100.1, 198.51.100.2, 198.51.100.3] }\\nupstreams: [127.9.9.9]\\n'
      ok(t, `printf '${config}' > /etc/spartan/spartan.yaml`)
      ok(t, 'systemctl enable --now spartan spartan-resolvconf')
      await applied()
      await resolves(t, 'www.example.org', /203\.0\.113\.7/)
      await resolves(t, 'ready.spartan', /127\.0\.0\.1/)
    })

    await t.test('an upgrade takes over, a downgrade too', async t => {
      const pid = (): string => run('systemctl show -P MainPID spartan').out
      for (const version of ['0.2.0', '0.1.0']) {
        const before = pid()
        ok(t, install(version))
        t.not(pid(), before, `${version} runs`)
        t.match(run('spartan --version').out, version)
        await resolves(t, 'ready.spartan', /127\.0\.0\.1/)
      }
    })

    await t.test('one that refuses the configuration leaves the old one running', async t => {
      const before = run('systemctl show -P MainPID spartan').out
      ok(
        t,
        'cp /etc/spartan/spartan.yaml /root/good.yaml; echo "adresses: 1" >> /etc/spartan/spartan.yaml',
      )
      t.match(ok(t, install('0.2.0')), /the old version goes on/)
      t.equal(run('systemctl show -P MainPID spartan').out, before)
      await resolves(t, 'ready.spartan', /127\.0\.0\.1/)
      ok(t, 'cp /root/good.yaml /etc/spartan/spartan.yaml; systemctl restart spartan')
    })

    await t.test('removed, the host is as before; purged, nothing is left', async t => {
      await applied()
      ok(t, 'dpkg -r spartan')
      t.equal(resolvConf(), ORIGINAL)
      await resolves(t, 'www.example.org', /203\.0\.113\.7/)
      t.equal(run('cat /etc/spartan/spartan.yaml').status, 0, 'the configuration stays')
      ok(t, 'dpkg -P spartan')
      const left = run(
        'find /etc /usr /var/lib /run -xdev -name "*spartan*" -newer /root/before; ip -o link show spartan 2>/dev/null; getent passwd spartan; getent group spartan',
      )
      t.equal(left.out, '')
    })
  },
)
