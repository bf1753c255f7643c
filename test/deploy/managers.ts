/**
 * The programs that manage /etc/resolv.conf, as Debian has them, and running: the host asks spartan whatever they
 * are told afterwards, and is as before when the package is purged.
 */
import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { boot, cannotBoot, type Machine } from '../fixture/booted.ts'
import { aptGet, putNode, putResolver, startResolver } from '../fixture/debian.ts'
import { debIn, noDpkg } from '../fixture/package.ts'

t.setTimeout(580_000)

const UPSTREAM = '192.0.2.53'
const OURS = ['198.51.100.1', '198.51.100.2', '198.51.100.3']

const CONFIG = `listen: { addresses: [${OURS.join(', ')}] }\nupstreams: [${UPSTREAM}]\n`

/** Not on 127.0.0.0/8, which openresolv prefers; lan0 is the link whose servers the programs are told. */
const NETWORK = [
  `ip address add ${UPSTREAM} dev lo`,
  'ip link add lan0 type veth peer name lan1',
  'ip link set lan1 up',
  'ip link set lan0 up',
  'ip address add 192.0.2.10/24 dev lan0',
  startResolver(UPSTREAM),
]

type Packages = {
  readonly installed: readonly string[]
  /** In apt's folder of packages, to be installed later. */
  readonly kept?: readonly string[]
  /** Also done to the root. */
  readonly prepare?: (root: string) => void
}

/** Boots a machine with these packages; undefined, and a skip, if apt cannot get them. */
const machineWith = async (t: Test, packages: Packages): Promise<Machine | undefined> => {
  const { installed, kept = [], prepare } = packages
  const deb = debIn(t.testdir(), '0.1.0')
  let lacking = ''
  const machine = await boot(t, root => {
    // resolvconf(8) leaves no resolver there, so it is installed after the others are fetched.
    if (kept.length) lacking = aptGet(root, 'install', '--download-only', ...kept)
    lacking ||= aptGet(root, 'install', ...installed)
    prepare?.(root)
    copyFileSync(deb, join(root, 'root/spartan.deb'))
    writeFileSync(join(root, 'root/spartan.yaml'), CONFIG)
    putNode(root)
    putResolver(root)
  })
  if (lacking) {
    t.comment(lacking)
    t.pass('no packages', { skip: `SKIPPED: not all of ${[...installed, ...kept].join(' ')}` })
    return undefined
  }
  for (const line of NETWORK) ok(t, machine, line)
  return machine
}

const ok = (t: Test, { run }: Machine, line: string): string => {
  const { status, out, err } = run(line)
  if (!t.equal(status, 0, line)) t.comment(out + err)
  return out + err
}

type Manager = {
  /** As `spartan resolvconf status` calls it. */
  readonly name: string
  /** Tells it the servers and the search list of lan0. */
  readonly tell: (server: string, domain: string) => string
  /** A line that restarts it. */
  readonly restart: string
}

/**
 * Everything in /etc, and what a reader of resolv.conf gets; without the copies that useradd(8) makes, and what
 * nmcli itself writes.
 */
const FILES = "find etc ! -name '*-' ! -name lan.nmconnection"
const SNAPSHOT = `cd /; ${FILES} -printf '%p %y %m %u:%g %l\\n' | LC_ALL=C sort
${FILES} -type f -exec sha256sum {} + | LC_ALL=C sort -k2; cat etc/resolv.conf`

/** The life of the package beside such a program, from install to purge. */
const life = async (t: Test, machine: Machine, { name, tell, restart }: Manager): Promise<void> => {
  const { run, until } = machine
  t.teardown(() => {
    if (t.passing()) return
    t.comment(run('journalctl -b -o short-precise | grep -v kernel: | tail -80').out)
    t.comment(run('ls -l /etc/resolv.conf; cat /etc/resolv.conf; spartan resolvconf status').out)
  })
  const does = (line: string): string => ok(t, machine, line)
  const address = async (name: string, expected: string): Promise<void> => {
    // By all that nsswitch.conf(5) names, and by resolv.conf alone.
    for (const getent of ['getent', 'getent -s hosts:dns'])
      t.match(
        await until(`${getent} ahostsv4 ${name}`),
        new RegExp(`^${expected} `),
        `${getent} ${name}`,
      )
  }
  const asksSpartan = async (domain: string): Promise<void> => {
    // `systemctl start spartan` does not wait for this unit, which changes resolv.conf first and then other files.
    await until('systemctl is-active -q spartan-resolvconf')
    await until('grep -q "^nameserver 198.51.100.1$" /etc/resolv.conf')
    await until(`grep -qx 'search ${domain}' /etc/resolv.conf`)
    const nameservers = run("sed -n 's/^nameserver //p' /etc/resolv.conf").out.split('\n')
    t.strictSame(nameservers.slice(0, OURS.length), OURS)
    await address('ready.spartan', '127.0.0.1')
    await address('www.example.org', '203.0.113.7')
    t.match(does('spartan resolvconf status'), new RegExp(`^applied +yes\nmanager +${name}$`, 'm'))
  }
  const again = 'systemctl start spartan-resolvconf-again'

  does(tell(UPSTREAM, 'corp.example'))
  await until("grep -qx 'search corp.example' /etc/resolv.conf")
  const before = run(SNAPSHOT).out
  does('dpkg -i --force-depends /root/spartan.deb')
  does('cp /root/spartan.yaml /etc/spartan/spartan.yaml')
  does('systemctl enable --now spartan spartan-resolvconf')
  await asksSpartan('corp.example')

  does(tell('192.0.2.77', 'new.example'))
  await address('ready.spartan', '127.0.0.1')
  does(again)
  await asksSpartan('new.example')
  does(restart)
  does('systemctl restart spartan')
  does(again)
  await asksSpartan('new.example')

  does(tell(UPSTREAM, 'corp.example'))
  does('systemctl stop spartan')
  await until("grep -qx 'search corp.example' /etc/resolv.conf")
  t.notMatch(run('cat /etc/resolv.conf').out, '198.51.100')
  await address('www.example.org', '203.0.113.7')
  t.match(run('spartan resolvconf status').out, /^applied +no$/m)

  does('systemctl start spartan')
  await asksSpartan('corp.example')
  does('systemctl disable --now spartan spartan-resolvconf')
  does('dpkg -P spartan')
  t.equal(run(SNAPSHOT).out, before, 'the host is as before')
  await address('www.example.org', '203.0.113.7')
}

const resolvectl = (server: string, domain: string): string =>
  `resolvectl dns lan0 ${server} && resolvectl domain lan0 ${domain}`

const nmcli = (server: string, domain: string): string =>
  `nmcli connection modify lan ipv4.dns ${server} ipv4.dns-search ${domain} && nmcli connection up lan`

const resolvconf = (server: string, domain: string): string =>
  `printf 'nameserver ${server}\\nsearch ${domain}\\n' | resolvconf -a lan0.dhcp`

const skip = cannotBoot() || noDpkg

t.test('systemd-resolved and NetworkManager', { skip }, async t => {
  const machine = await machineWith(t, {
    installed: ['systemd-resolved', 'libnss-resolve', 'network-manager'],
    prepare: root => {
      // Servers of the operator, which systemd-resolved asks before those of a drop-in.
      writeFileSync(join(root, 'etc/systemd/resolved.conf'), `[Resolve]\nDNS=${UPSTREAM}\n`)
      const quiet = '[main]\nno-auto-default=*\n'
      writeFileSync(join(root, 'etc/NetworkManager/conf.d/quiet.conf'), quiet)
    },
  })
  if (!machine) return

  await t.test('systemd-resolved, which libc asks itself', async t =>
    life(t, machine, {
      name: 'systemd-resolved',
      tell: resolvectl,
      restart: 'systemctl restart systemd-resolved',
    }),
  )

  const setup = [
    'resolvectl revert lan0; systemctl start NetworkManager',
    'nmcli connection add type ethernet ifname lan0 con-name lan ipv4.method manual ipv4.addresses 192.0.2.10/24 ipv6.method disabled',
  ]
  const restart = 'systemctl restart NetworkManager && nmcli connection up lan'
  const complaints = (): string =>
    machine.run('journalctl -b -u NetworkManager -o cat | grep "could not commit DNS"').out

  await t.test('NetworkManager, which tells systemd-resolved', async t => {
    for (const line of setup) ok(t, machine, line)
    await life(t, machine, { name: 'systemd-resolved', tell: nmcli, restart })
    t.equal(complaints(), '', 'it never tried to write the file')
  })

  await t.test('NetworkManager alone', async t => {
    ok(t, machine, 'dpkg -P libnss-resolve systemd-resolved')
    ok(t, machine, 'rm -f /etc/resolv.conf && systemctl restart NetworkManager')
    await life(t, machine, { name: 'NetworkManager', tell: nmcli, restart })
  })
})

t.test('resolvconf and openresolv', { skip }, async t => {
  const machine = await machineWith(t, {
    installed: ['resolvconf'],
    kept: ['openresolv'],
    // Of another package; it fails while its server does not run.
    prepare: root => rmSync(join(root, 'etc/resolvconf/update.d/unbound'), { force: true }),
  })
  if (!machine) return

  await t.test('resolvconf', async t =>
    life(t, machine, {
      name: 'resolvconf',
      tell: resolvconf,
      // resolvconf(8) forgets what was registered in a reboot. Removing our entry has the same effect.
      restart: `rm /run/resolvconf/interface/lo.spartan && resolvconf -u
        spartan resolvconf status | grep -q 'applied *no'`,
    }),
  )

  await t.test('openresolv', async t => {
    ok(t, machine, 'dpkg -P resolvconf && rm -rf /run/resolvconf && rm -f /etc/resolv.conf')
    ok(t, machine, 'dpkg -i /var/cache/apt/archives/openresolv_*.deb')
    await life(t, machine, { name: 'resolvconf', tell: resolvconf, restart: 'resolvconf -u' })
  })
})
