/** What answers while the service restarts, on a machine with the units, and that nothing of it is left. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { boot, cannotBoot, installInto } from '../fixture/booted.ts'

const NAMES = 500
const RATE = 200
const CONFIG = JSON.stringify({
  listen: { addresses: ['198.51.100.1', '198.51.100.2', '198.51.100.3'] },
  upstreams: ['127.9.9.9'],
  gossip: { bind: '127.0.0.1:7946', keyring: '/var/lib/spartan/keyring.json' },
  vips: { files: ['/etc/spartan/vips.d'] },
  cache: { snapshot: '/var/lib/spartan/cache' },
  stateDir: '/var/lib/spartan',
})
const VIPS = 'framework: marathon\nvips:\n  - vip: /app:80\n    backends: [192.0.2.7:8080]\n'
const VIP = 'app.marathon.l4lb.thisdcos.directory'

const prepare = (root: string): void => {
  installInto(root)
  cpSync(join(import.meta.dirname, '../fixture/numbered.mjs'), join(root, 'root/numbered.mjs'))
  writeFileSync(join(root, 'etc/spartan/spartan.yaml'), CONFIG)
  mkdirSync(join(root, 'etc/spartan/vips.d'), { recursive: true })
  writeFileSync(join(root, 'etc/spartan/vips.d/app.yaml'), VIPS)
}

t.test(
  'while the service restarts, everything that was known is answered',
  { skip: cannotBoot() },
  async t => {
    const { run, until } = await boot(t, prepare)
    t.teardown(() => {
      if (!t.passing())
        t.comment(run('journalctl -b -o short-precise | grep -v kernel: | tail -150').out)
    })
    const ok = (t: Test, line: string): string => {
      const { status, out, err } = run(line)
      if (!t.equal(status, 0, line)) t.comment(out + err)
      return out
    }
    const state = (unit: string): string => run(`systemctl is-active ${unit}`).out.trim()
    const mainPid = (): string => run('systemctl show -P MainPID spartan').out.trim()
    /** How many times the handover has begun to answer. */
    const handovers = (): number =>
      Number(run('journalctl -b -u spartan-handover | grep -c ": Started "').out)
    const numbered = `${process.execPath} /root/numbered.mjs`
    const start = (unit: string, command: string): string =>
      `systemd-run --quiet --collect --unit=${unit} --property=StandardOutput=file:/root/${unit} ${command}`

    await t.test('it knows names of its cache and a VIP', async t => {
      ok(
        t,
        'systemd-sysusers spartan.conf && systemd-tmpfiles --create spartan.conf && systemctl daemon-reload && spartan keys generate',
      )
      ok(t, start('upstream', `${numbered} upstream 127.9.9.9`))
      ok(t, 'systemctl enable --now spartan')
      ok(t, `${numbered} fill 198.51.100.1 ${NAMES}`)
      await until(`dig +short @198.51.100.1 ${VIP} | grep .`)
      ok(t, 'systemctl stop upstream')
    })

    await t.test('asked to, the daemon writes what a restart needs', async t => {
      const files = '/var/lib/spartan/cache /var/lib/spartan/records'
      ok(t, `rm -f ${files}`)
      const save = 'curl -sS --unix-socket /run/spartan/admin.sock -X POST http://agent/v1/save'
      t.equal(ok(t, save).trim(), '{"saved":true}')
      ok(t, `for file in ${files}; do test -s $file; done`)
    })

    await t.test('a restart: each question is answered, and the handover leaves', async t => {
      ok(t, start('asking', `${numbered} ask ${RATE} ${NAMES} 198.51.100.1 198.51.100.2`))
      ok(
        t,
        start(
          'vip',
          `sh -c 'until [ -e /root/enough ]; do dig +short +tries=1 +time=1 @198.51.100.3 ${VIP}; done'`,
        ),
      )
      for (let n = 1; n <= 2; n++) {
        const before = mainPid()
        ok(t, 'systemctl restart spartan')
        t.not(mainPid(), before)
        await until('test "$(systemctl is-active spartan-handover)" = inactive')
        t.equal(handovers(), n)
        t.equal(run('systemctl is-failed spartan-handover').out, 'inactive\n')
      }
      ok(t, 'touch /root/enough; systemctl kill -s TERM asking')
      const said = JSON.parse(await until('grep asked /root/asking')) as Record<string, unknown>
      t.comment(JSON.stringify(said))
      t.match(said, { wrong: 0, silent: 0, again: 0, examples: [] })
      t.ok(Number(said['asked']) > RATE)
      await until('test "$(systemctl is-active vip)" = inactive')
      const answers = new Set(ok(t, 'cat /root/vip').trim().split('\n'))
      t.equal(answers.size, 1, `one answer for the VIP all the time: ${[...answers].join(' ')}`)
      t.equal(run('ls /run/spartan-handover').status, 2, 'its copies are gone')
      t.equal(run('pgrep -f "[r]un --handover"').out, '')
    })

    await t.test('who restarts the sockets, too, gets new ones', async t => {
      const before = handovers()
      ok(t, 'systemctl restart spartan.socket')
      await until(
        'systemctl is-active spartan && dig +short @198.51.100.1 ready.spartan | grep 127',
      )
      t.equal(handovers(), before)
    })

    await t.test('a crash has none: it would take as long to start', async t => {
      const [before, pid] = [handovers(), mainPid()]
      ok(t, 'systemctl kill --kill-who=main -s KILL spartan')
      await until(
        `test "$(systemctl show -P MainPID spartan)" != ${pid} && systemctl is-active spartan`,
      )
      t.equal(handovers(), before)
    })

    await t.test('without it, a restart is one in which queries wait', async t => {
      const [before, pid] = [handovers(), mainPid()]
      ok(t, 'systemctl mask --runtime spartan-handover && systemctl restart spartan')
      t.not(mainPid(), pid)
      t.equal(state('spartan'), 'active')
      t.equal(handovers(), before)
      ok(t, 'systemctl unmask --runtime spartan-handover')
    })

    await t.test('a configuration that cannot be used does not delay it', async t => {
      ok(t, 'cp /etc/spartan/spartan.yaml /root/good; echo "{}" > /etc/spartan/spartan.yaml')
      ok(t, 'systemctl --no-block restart spartan')
      await until('journalctl -b -u spartan | grep -q "this section is required"')
      t.equal(state('spartan-handover'), 'inactive')
      ok(t, 'cp /root/good /etc/spartan/spartan.yaml')
      await until('systemctl is-active spartan')
    })

    await t.test('an operator who stops it meanwhile stops both', async t => {
      ok(t, 'systemctl --no-block restart spartan')
      await until('test "$(systemctl is-active spartan-handover)" = activating')
      ok(t, 'systemctl stop spartan')
      for (const unit of ['spartan', 'spartan-handover', 'spartan.socket'])
        await until(`test "$(systemctl is-active ${unit})" = inactive`)
      t.equal(run('ss -Hlnu "sport = :53"').out, '', 'nobody holds the sockets')
    })

    await t.test('a stop has none', async t => {
      ok(t, 'systemctl start spartan')
      const before = handovers()
      ok(t, 'systemctl stop spartan')
      t.equal(handovers(), before)
      t.equal(state('spartan-handover'), 'inactive')
    })
  },
)
