/** Real daemons on hosts of other kinds than one IPv4 network: IPv6 only, and two networks. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { PROGRAM } from '../../fixture/daemon.ts'
import { agentState, type TaskSpec } from '../../fixture/mesos.ts'
import { lab, missing, type Host } from '../../fixture/netns.ts'
import { folder } from '../../fixture/folder.ts'

const PORT = 5353
const skip = missing('curl')

/** Starts a daemon there with these sections. */
const run = (t: Test, host: Host, node: string, gossip: object, vips: object): void => {
  const dir = join(t.testdirName, node)
  mkdirSync(dir, { recursive: true })
  const config = {
    node,
    listen: { addresses: ['127.0.0.1', '::1'], port: PORT },
    gossip: { ...gossip, insecure: true },
    vips,
    admin: { listen: '127.0.0.1:62080', socket: '' },
  }
  writeFileSync(join(dir, 'spartan.json'), JSON.stringify(config))
  host.start(process.execPath, [PROGRAM, 'run', '--config', join(dir, 'spartan.json')])
}

/** Starts a daemon there that declares the VIP /NAME:80 with this backend. */
const start = (t: Test, host: Host, node: string, gossip: object, backend: string): void => {
  const folder = join(t.testdirName, node, 'vips')
  mkdirSync(folder, { recursive: true })
  const vips = [{ vip: `/${node}:80`, backends: [backend] }]
  writeFileSync(join(folder, 'vips.json'), JSON.stringify({ framework: 'hosts', vips }))
  run(t, host, node, gossip, { files: [folder] })
}

/** Starts a Mesos agent there that says that it is reached at this address, with one task. */
const mesosAgent = (t: Test, host: Host, ip: string, task: TaskSpec): void => {
  const file = join(t.testdirName, 'agent.mjs')
  writeFileSync(
    file,
    `import { createServer } from 'node:http'
const answers = JSON.parse(process.argv[2])
createServer((request, response) => {
  let body = ''
  request.on('data', part => (body += part)).on('end', () => {
    const answer = answers[body === '' ? request.url : JSON.parse(body).type]
    response.writeHead(answer ? 200 : 404)
    response.end(JSON.stringify(answer ?? {}))
  })
}).listen(5051, '0.0.0.0')
`,
  )
  const answers = {
    '/state': { pid: `slave(1)@${ip}:5051`, hostname: host.name },
    GET_STATE: agentState({ tasks: [task], frameworks: { F0: 'hosts' } }),
  }
  host.start(process.execPath, [file, JSON.stringify(answers)])
}

/** Waits until a command there prints something that matches; the test's time limit ends it. */
const says = async (host: Host, command: string, args: string[], wanted: RegExp): Promise<void> => {
  while (!wanted.test(host.try(command, args).out)) await sleep(200)
}
const sees = (host: Host, member: RegExp): Promise<void> =>
  says(host, 'curl', ['-s', '-m', '5', 'http://127.0.0.1:62080/v1/members'], member)
const resolves = (host: Host, vip: string, type: string, to: RegExp): Promise<void> => {
  const name = `${vip}.hosts.l4lb.thisdcos.directory`
  const args = [PROGRAM, 'query', name, type, '--short', '--server', `[::1]:${PORT}`]
  return says(host, process.execPath, args, to)
}

t.test('hosts with IPv6 only gossip, and know the VIPs of each other', { skip }, async t => {
  folder(t)
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
  folder(t)
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

t.test(
  'a backend has the address that its Mesos agent says, or that the operator sets',
  { skip },
  async t => {
    folder(t)
    const net = lab(t)
    const other = net.host('other', [])
    const seeds = [other.ip]
    start(t, other, 'other', { seeds }, '192.0.2.1:80')
    for (const [name, vips, address] of [
      ['said', {}, '10.2.0.1'],
      ['set', { address: '192.0.2.77' }, '192.0.2.77'],
    ] as const) {
      const host = net.host(name, [])
      // The agent's network is neither the first one nor that of the gossip.
      for (const [link, at] of [
        ['aaa', '10.1.0.1'],
        ['bbb', '10.2.0.1'],
      ])
        host.sh(
          `ip link add ${link}0 type veth peer name ${link}1; ip addr add ${at}/24 dev ${link}0; ip link set ${link}0 up; ip link set ${link}1 up`,
        )
      mesosAgent(t, host, '10.2.0.1', {
        id: `${name}.1`,
        name,
        mappings: [[31_000, 80]],
        ports: [{ number: 80, protocol: 'tcp', labels: { VIP_0: `/${name}:80` } }],
      })
      const own = { bind: host.ip, seeds }
      run(t, host, name, own, { agent: 'local', answer: 'backends', ...vips })
      await resolves(other, name, 'A', new RegExp(`^${address.replaceAll('.', '\\.')}$`, 'm'))
      const shown = other.try('curl', ['-s', 'http://127.0.0.1:62080/v1/vips']).out
      t.match(shown, `{"ip":"${address}","port":31000}`, name)
    }
  },
)
