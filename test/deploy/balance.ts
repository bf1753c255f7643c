/**
 * The shipped spartan-balance.service beside the shipped spartan.service, under a booted systemd: a process with
 * CAP_NET_ADMIN and nothing else balances VIPs. Without systemd-nspawn the tests in test/balance still run the
 * balancer with that one capability.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { boot, cannotBoot, installInto } from '../fixture/booted.ts'
import { missing } from '../fixture/netns.ts'

const ECHO = join(import.meta.dirname, '../fixture/echo.mjs')
const TREE = process.env['SPARTAN_TREE']
const NAME = 'echo.marathon.l4lb.thisdcos.directory'

/** Milliseconds from a command that removes our rules to their return. */
const MENDING = (command: string): string => `
  began=$(date +%s%N); nft ${command}
  until nft list table ip spartan_balance 2>/dev/null | grep -q 'goto tcp'; do sleep 0.02; done
  echo $((($(date +%s%N) - began) / 1000000))`

const install = (root: string): void => {
  installInto(root, TREE)
  copyFileSync(ECHO, join(root, 'root/echo.mjs'))
  mkdirSync(join(root, 'etc/spartan/vips.d'), { recursive: true })
  writeFileSync(
    join(root, 'etc/spartan/vips.d/a.yaml'),
    'framework: marathon\nvips:\n  - { vip: /echo:80, backends: ["10.88.0.1:7001"] }\n',
  )
  writeFileSync(
    join(root, 'etc/spartan/spartan.yaml'),
    `listen: { addresses: [198.51.100.1, 198.51.100.2, 198.51.100.3] }\nvips: { files: [/etc/spartan/vips.d] }\n`,
  )
}

const skip = cannotBoot() || missing('nft', 'conntrack')
t.test('the units of daemon and balancer connect VIPs', { skip, timeout: 500_000 }, async t => {
  const { run, until } = await boot(t, install)
  t.teardown(() => {
    if (!t.passing())
      t.comment(run('journalctl -u spartan-balance -o short-precise | tail -40').out)
  })
  /** What a new connection to the VIP receives. */
  const connected = `address=$(spartan query ${NAME} A --short) && case $address in 11.*) node /root/echo.mjs ask tcp "$address" 80 ;; *) false ;; esac | grep here:7001`
  // Addresses of dummy links do not count as this host's address.
  run(
    'ip link add uplink type veth peer name far; ip address add 10.88.0.1/24 dev uplink; ip link set uplink up; ip link set far up',
  )
  run(`systemd-run --unit=echo ${process.execPath} /root/echo.mjs serve here 7001`)
  t.match(
    run(
      'systemd-sysusers spartan.conf && systemctl daemon-reload && systemctl start spartan spartan-balance',
    ),
    { status: 0, err: '' },
  )
  await until(connected)
  t.pass('a VIP connects')

  const pid = run('systemctl show -P MainPID spartan-balance').out.trim()
  const status = run(`cat /proc/${pid}/status`).out
  const field = (name: string): string =>
    new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? ''
  t.notMatch(field('Uid'), /\b0\b/)
  t.equal(field('CapEff'), '0000000000001000', 'CAP_NET_ADMIN and nothing else')
  t.equal(field('CapBnd'), '0000000000001000')
  t.equal(field('NoNewPrivs'), '1')
  t.equal(field('Seccomp'), '2')
  t.match(run('spartan vips').out, /echo\.marathon/)

  run('nft add table ip theirs; nft add chain ip theirs c')
  const deleted = run(MENDING('delete table ip spartan_balance'))
  t.comment(`after the table is deleted, the rules are back within ${deleted.out.trim()} ms`)
  t.match(run('nft list table ip theirs').out, /chain c/, 'rules of others stay')
  const flushed = run(MENDING('flush ruleset'))
  t.comment(`after everything is flushed, the rules are back within ${flushed.out.trim()} ms`)
  await until(connected)
  // The check every 25 s would say that they are gone.
  await until(
    'test $(journalctl -u spartan-balance -o cat | grep -c "somebody else changed our rules") = 2',
  )
  t.equal(run('journalctl -u spartan-balance -o cat | grep -c "monitor ended"').out.trim(), '0')
  t.equal(run('systemctl show -P NRestarts spartan-balance').out.trim(), '0')

  run('systemctl kill -s KILL spartan-balance')
  await until('test "$(systemctl show -P NRestarts spartan-balance)" = 1')
  t.match(run(connected), { status: 0 }, 'connections need no balancer')
  await until('systemctl is-active spartan-balance')
  t.match(run('systemctl stop spartan-balance'), { status: 0 })
  t.match(run(connected), { status: 0 }, 'its rules stay when it is stopped')
  t.match(run('spartan balance --cleanup'), { status: 0, err: '' })
  t.equal(run('nft list ruleset; ip route show proto 178; ip -6 route show proto 178').out, '')
})
