/** Real daemons on hosts of other kinds than one IPv4 network: IPv6 only, and two networks. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { PROGRAM } from '../../fixture/daemon.ts'
import { lab, missing, type Host } from '../../fixture/netns.ts'

t.setTimeout(400_000)

const PORT = 5353
const skip = missing('curl')

/** Starts a daemon there that declares the VIP /NAME:80 with this backend. */
const start = (t: Test, host: Host, node: string, gossip: object, backend: string): void => {
  const dir = join(t.testdirName, node)
  mkdirSync(join(dir, 'vips'), { recursive: true })
  const vips = [{ vip: `/${node}:80`, backends: [backend] }]
  writeFileSync(join(dir, 'vips/vips.json'), JSON.stringify({ framework: 'hosts', vips }))
  const config = {
    node,
    listen: { addresses: ['127.0.0.1', '::1'], port: PORT },
    gossip: { ...gossip, insecure: true },
    vips: { files: [join(dir, 'vips')] },
    admin: { listen: '127.0.0.1:62080', socket: '' },
  }
  writeFileSync(join(dir, 'spartan.json'), JSON.stringify(config))
  host.start(process.execPath, [PROGRAM, 'run', '--config', join(dir, 'spartan.json')])
}

/** Waits until a command there prints something that matches; the test's time limit ends it. */
const says = async (host: Host, command: string, args: string[], wanted: RegExp): Promise<void> => {
  while (!wanted.test(host.try(command, args).out)) await sleep(200)
}
const sees = (host: Host, member: RegExp): Promise<void> =>
  says(host, 'curl', ['-s', '-m', '5', 'http://127.0.0.1:62080/v1/members'], member)
const resolves = (host: Host, node: string, type: string, to: RegExp): Promise<void> => {
  const name = `${node}.hosts.l4lb.thisdcos.directory`
  const args = [PROGRAM, 'query', name, type, '--short', '--server', `[::1]:${PORT}`]
  return says(host, process.execPath, args, to)
}

t.test('hosts with IPv6 only gossip, and know the VIPs of each other', { skip }, async t => {
  t.testdir({})
  const net = lab(t)
  const hosts = ['a', 'b'].map(name => net.host(name, []))
  const [a, b] = hosts as [(typeof hosts)[0], (typeof hosts)[0]]
  for (const host of hosts) host.sh('ip -4 addr flush dev eth0')
  const gossip = { bind: '[::]:7946', seeds: [`[${a.ip6}]:7946`] }
  start(t, a, 'a', gossip, '[2001:db8::1]:8080')
  start(t, b, 'b', gossip, '[2001:db8::2]:8080')
  const alive = (name: string, at: string): RegExp =>
    new RegExp(`"${name}","address":"\\[?${at}\\]?:7946","state":"alive"`)
  await sees(b, alive('a', a.ip6))
  await sees(a, alive('b', b.ip6))
  await resolves(b, 'a', 'AAAA', /^2001:db8::1$/m)
  await resolves(a, 'b', 'AAAA', /^2001:db8::2$/m)
  t.pass('both know both')
})

t.test('a host in two networks is found at the address that it advertises', { skip }, async t => {
  t.testdir({})
  const net = lab(t)
  const one = net.host('one', [])
  const two = net.host('two', [])
  // Its name and its address come first in every list.
  two.sh(
    'ip link add aaa0 type veth peer name aaa1; ip addr add 10.1.0.1/24 dev aaa0; ip link set aaa0 up; ip link set aaa1 up',
  )
  const seeds = [one.ip]
  start(t, one, 'one', { seeds }, '192.0.2.1:80')
  start(t, two, 'two', { seeds, advertise: two.ip }, '192.0.2.2:80')
  await sees(one, new RegExp(`"two","address":"${two.ip}:7946","state":"alive"`))
  await sees(two, new RegExp(`"one","address":"${one.ip}:7946","state":"alive"`))
  await resolves(one, 'two', 'A', /^192\.0\.2\.2$/m)
  const nodes = one.try('curl', ['-s', 'http://127.0.0.1:62080/v1/nodes']).out
  t.match(nodes, `"private_ip":"${two.ip}"`)
  t.notMatch(nodes, '10.1.0.1')
})
