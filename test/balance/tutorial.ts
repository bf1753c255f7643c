/**
 * The tutorial of DC/OS, as it stands: a task with the label VIP_0: /redis:6379
 * on one agent, `redis-cli -h redis.marathon.l4lb.thisdcos.directory` on
 * another. Three hosts made of network namespaces, with our daemon and our
 * balancer on each, a real redis-server and a real redis-cli.
 *
 * What it leaves out: Mesos. Each agent's API is a small server that gives the
 * state out of a file, so a task "starts" when the file says so.
 */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { agentState, type TaskSpec } from '../fixture/mesos.ts'
import { lab, missing, type Host } from '../fixture/netns.ts'

const main = join(import.meta.dirname, '../../dist/main.js')
const echo = join(import.meta.dirname, '../fixture/echo.mjs')
const RESOLVERS = ['198.51.100.1', '198.51.100.2', '198.51.100.3']
const REDIS = 'redis.marathon.l4lb.thisdcos.directory'
const ECHO = 'echo.marathon.l4lb.thisdcos.directory'
/** Stands in for the Mesos agent's API: answers every call with the state in the file. */
const FAKE_AGENT = `require('http').createServer((q, r) => { q.resume(); r.setHeader('content-type', 'application/json'); r.end(require('fs').readFileSync(process.argv[1])) }).listen(5051, '127.0.0.1')`

const skip = missing('nft', 'conntrack', 'redis-server', 'redis-cli')

/** With `npm run tutorial`, steps are written past the test runner, which hides stdout. */
const step = (text: string): void => {
  if (process.env['TUTORIAL']) process.stderr.write(`# ${text}\n`)
}

/** Process ids of `nft monitor` in a host's namespace. */
const monitors = (host: Host): number[] =>
  host
    .sh(`ip netns pids ${host.name}`)
    .split('\n')
    .map(Number)
    .filter(pid => {
      try {
        return pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'latin1') === 'nft\0monitor\0'
      } catch {
        return false // ended meanwhile
      }
    })

const until = async <T>(what: string, look: () => T | undefined | false): Promise<T> => {
  for (let tries = 0; tries < 400; tries++) {
    const found = look()
    if (found !== undefined && found !== false) return found
    await new Promise(resolve => setTimeout(resolve, 200))
  }
  throw new Error(`never: ${what}`)
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise(resolve => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })

t.test('named VIPs connect', { skip, timeout: 900_000 }, async t => {
  const dir = t.testdir()
  const cluster = lab(t)
  const agents = [1, 2, 3].map(n => {
    const home = join(dir, `agent-${n}`)
    mkdirSync(join(home, 'vips'), { recursive: true })
    const host = cluster.host(`a${n}`, RESOLVERS)
    host.sh('ip link add spartan type veth peer name loose; ip link set spartan up')
    for (const ip of RESOLVERS) host.sh(`ip addr add ${ip}/32 dev spartan`)
    const config = join(home, 'spartan.yaml')
    writeFileSync(
      config,
      JSON.stringify({
        node: `agent-${n}`,
        listen: { addresses: RESOLVERS },
        allow: ['127.0.0.0/8', '198.51.100.0/24', '172.31.0.0/24'],
        gossip: { bind: `${host.ip}:7946`, seeds: n === 1 ? [] : ['10.77.0.1'], insecure: true },
        vips: { agent: 'http://127.0.0.1:5051', files: [join(home, 'vips')] },
        admin: { listen: '', socket: join(home, 'admin.sock') },
      }),
    )
    const tasks = (...list: TaskSpec[]): void =>
      writeFileSync(
        join(home, 'state.json'),
        JSON.stringify(agentState({ tasks: list, frameworks: { F0: 'marathon' } })),
      )
    const vips = (text: string): void => writeFileSync(join(home, 'vips', 'a.yaml'), text)
    tasks()
    host.start(process.execPath, ['-e', FAKE_AGENT, join(home, 'state.json')])
    const daemon = host.start(process.execPath, [main, 'run', '--config', config])
    const balance = (): ChildProcess =>
      host.start(process.execPath, [main, 'balance', '--config', config])
    const rules = (): string => host.try('nft', ['list', 'table', 'ip', 'spartan_balance']).out
    return { ...host, config, tasks, vips, daemon, balance, balancer: balance(), rules }
  })
  const [one, two, three] = agents as [(typeof agents)[0], (typeof agents)[0], (typeof agents)[0]]
  const container = cluster.container('c', two, ['198.51.100.1'])
  step('three agents, a daemon and a balancer on each; a container behind a bridge on agent 2')

  const redis = (host: Host, port: number): ChildProcess =>
    host.start('redis-server', [
      '--port',
      String(port),
      '--bind',
      '0.0.0.0',
      '::',
      '--protected-mode',
      'no',
      '--save',
      '',
    ])
  const redisTask = (port: number, ip: string): TaskSpec => ({
    id: `redis.${port}`,
    name: 'redis',
    ips: [ip],
    ports: [{ number: port, protocol: 'tcp', labels: { VIP_0: '/redis:6379' } }],
  })
  const cli = (host: Host, ...words: string[]): string =>
    host.try('redis-cli', ['-h', REDIS, '-p', '6379', ...words]).out.trim()
  const ask = (host: Host, protocol: string, to: string, port: number, ...more: number[]) =>
    JSON.parse(
      host.try(process.execPath, [echo, 'ask', protocol, to, String(port), ...more.map(String)])
        .out || '{}',
    ) as Record<string, number>

  await t.test('the tutorial', async t => {
    step('redis-server on agent 1, port 31001, label VIP_0: /redis:6379')
    redis(one, 31_001)
    one.tasks(redisTask(31_001, one.ip))
    step(`redis-cli -h ${REDIS} -p 6379 ping, on agent 2`)
    await until('PONG', () => cli(two, 'ping') === 'PONG')
    t.equal(cli(two, 'config', 'get', 'port').split('\n').at(-1), '31001')
    t.match(two.sh(`getent hosts ${REDIS}`), /^11\./, 'by the address of the VIP')
    step('and in the container behind the bridge')
    t.equal(cli(container, 'ping'), 'PONG')
    step('the task moves to agent 3, port 31777')
    redis(three, 31_777)
    one.tasks()
    three.tasks(redisTask(31_777, three.ip))
    await until('the other redis', () => cli(two, 'config', 'get', 'port').endsWith('31777'))
    t.equal(cli(container, 'ping'), 'PONG')
    // Each agent's kernel is updated independently, so the order is not fixed.
    for (const host of [one, three]) {
      await until(`the other redis on ${host.name}`, () =>
        cli(host, 'config', 'get', 'port').endsWith('31777'),
      )
      t.equal(cli(host, 'ping'), 'PONG', host.name)
    }
  })

  await t.test('TCP and UDP, IPv4 and IPv6, host and container, and itself', async t => {
    step('TCP and UDP by name and by number, IPv4 and IPv6, from hosts and the container')
    three.start(process.execPath, [echo, 'serve', 'three', '7001'])
    container.start(process.execPath, [echo, 'serve', 'inside', '7002'])
    const entry = (vip: string, protocol: string, ...backends: string[]): string =>
      `  - { vip: "${vip}", protocol: ${protocol}, backends: ${JSON.stringify(backends)} }\n`
    three.vips(
      `framework: marathon\nvips:\n${['tcp', 'udp'].map(p => entry('/echo:80', p, `${three.ip}:7001`, `[${three.ip6}]:7001`) + entry('192.0.2.80:80', p, `${three.ip}:7001`)).join('')}`,
    )
    const address = (family: 'A' | 'AAAA'): string =>
      two
        .try(process.execPath, [main, 'query', ECHO, family, '--server', '198.51.100.1', '--short'])
        .out.trim()
    const [v4, v6] = [
      await until('A', () => address('A')),
      await until('AAAA', () => address('AAAA')),
    ]
    t.match(v4, /^11\./)
    t.match(v6, /^fd01:c::/)
    for (const host of [two, container, three]) {
      for (const to of [v4, v6, '192.0.2.80']) {
        for (const protocol of ['tcp', 'udp']) {
          await until(`${protocol} ${to}`, () => ask(host, protocol, to, 80)['three:7001'] === 1)
          t.pass(`${host.name}: ${protocol} ${to}`)
        }
      }
    }
    for (const to of [v4, v6])
      t.same(ask(two, 'tcp', to, 81), { ECONNREFUSED: 1 }, 'no such port: refused')
    t.same(ask(container, 'udp', v4, 81), { ECONNREFUSED: 1 })
    step(
      'a container that is a backend reaches itself through its VIP, and so do its host and others',
    )
    two.vips(`framework: marathon\nvips:\n${entry('/inside:80', 'tcp', '172.31.0.2:7002')}`)
    const inside = 'inside.marathon.l4lb.thisdcos.directory'
    await until('the container', () => ask(two, 'tcp', inside, 80)['inside:7002'] === 1)
    t.pass('from its host')
  })

  await t.test(
    'a backend behind a mapped port of this host is reached in its container',
    async t => {
      step('a task behind a mapped port of agent 2')
      two.tasks({
        id: 'mapped.1',
        name: 'mapped',
        ips: ['172.31.0.2'],
        mappings: [[31_500, 7002]],
        ports: [
          {
            number: 31_500,
            protocol: 'tcp',
            labels: { VIP_0: '/mapped:80', 'network-scope': 'host' },
          },
        ],
      })
      await until(
        'the mapped port',
        () => ask(two, 'tcp', 'mapped.marathon.l4lb.thisdcos.directory', 80)['inside:7002'] === 1,
      )
      t.match(two.rules(), /: 172\.31\.0\.2 \. 7002/)
      await until('agent 1', () => / : 10\.77\.0\.2 \. 31500/.test(one.rules()))
      t.pass('others go to the host port')
    },
  )

  await t.test('shares follow weights; weight 0 drains; all ill: all are used', async t => {
    step('10,000 connections over four weights; then weight 0; then nobody has a weight')
    three.start(process.execPath, [echo, 'serve', 'w', '7101', '7102', '7103', '7104'])
    const weights = (...list: number[]): void =>
      one.vips(
        `framework: marathon\nvips:\n  - { vip: /w:80, backends: ${JSON.stringify(list.map((weight, i) => ({ address: `${three.ip}:${7101 + i}`, weight })))} }\n`,
      )
    const name = 'w.marathon.l4lb.thisdcos.directory'
    weights(1, 2, 3, 4)
    await until('four backends', () => ask(two, 'tcp', name, 80)['w:7101'] !== undefined)
    const total = 10_000
    const shares = ask(two, 'tcp', name, 80, total, 50)
    const wanted = { 'w:7101': 0.1, 'w:7102': 0.2, 'w:7103': 0.3, 'w:7104': 0.4 }
    t.equal(
      Object.values(shares).reduce((a, b) => a + b, 0),
      total,
    )
    for (const [key, share] of Object.entries(wanted))
      t.ok(
        Math.abs((shares[key] ?? 0) / total - share) <= 0.03,
        `${key}: ${shares[key]} of ${total}`,
      )
    const long = two.start(process.execPath, [echo, 'hold', name, '80'])
    let held = ''
    long.stdout?.setEncoding('utf8').on('data', (part: string) => (held += part))
    // The server sends its backend's name with every exchange; repeat until it is one that will drain.
    await until('a long connection', () => /w:710[123]/.test(held))
    weights(0, 0, 0, 1)
    await until('one left', () => {
      const seen = ask(two, 'tcp', name, 80, 40, 4)
      return seen['w:7104'] === 40
    })
    t.pass('weight 0 gets no new connections')
    const before = held.length
    await until('the long connection', () => held.length > before)
    t.match(held.slice(-8), /w:710[123]/, 'an old one lives on')
    weights(0, 0, 0, 0)
    await until('all again', () => Object.keys(ask(two, 'tcp', name, 80, 100, 4)).length === 4)
    t.pass('all ill: all are used')
    long.kill('SIGKILL')
  })

  await t.test('a flush by somebody else is mended, and other rules stay', async t => {
    step('somebody deletes our table, then flushes all rules, on agent 2')
    two.sh('nft add table ip theirs')
    two.sh('nft delete table ip spartan_balance')
    await until('PONG again', () => cli(two, 'ping') === 'PONG')
    two.sh('nft flush ruleset')
    await until('rules again', () => two.rules().includes('goto tcp'))
    t.equal(cli(two, 'ping'), 'PONG')
    t.notOk(
      two.try('nft', ['list', 'table', 'ip', 'theirs']).out,
      'what they took is not ours to restore',
    )
  })

  await t.test('kill -9 and a restart cost no connection; --cleanup leaves nothing', async t => {
    step('kill -9 of the balancer under connections, a restart, and --cleanup')
    two.sh('nft add table ip theirs')
    const seen = new Promise<string>(resolve => {
      const asking = two.start(process.execPath, [echo, 'ask', 'tcp', ECHO, '80', '4000', '4'])
      let text = ''
      asking.stdout?.setEncoding('utf8').on('data', (part: string) => (text += part))
      asking.once('close', () => resolve(text))
    })
    // Late enough that connections are under way.
    await new Promise(resolve => setTimeout(resolve, 1_000))
    t.equal(monitors(two).length, 1)
    two.balancer.kill('SIGKILL')
    await ended(two.balancer)
    t.ok(two.rules(), 'the rules stay')
    await until('its monitor ended with it', () => monitors(two).length === 0)
    const second = two.balance()
    t.same(JSON.parse(await seen), { 'three:7001': 4000 })
    await until('adopted', () => cli(two, 'ping') === 'PONG')
    second.kill('SIGTERM')
    await ended(second)
    t.ok(two.rules())
    t.match(two.sh('ip route'), /11\.0\.0\.0\/8 dev lo/)
    const cleaned = two.try(process.execPath, [
      main,
      'balance',
      '--cleanup',
      '--config',
      two.config,
    ])
    t.equal(cleaned.status, 0, cleaned.error)
    t.notMatch(two.sh('nft list tables'), /spartan/)
    t.match(two.sh('nft list tables'), /theirs/)
    t.notMatch(two.sh('ip route; ip -6 route'), /proto 178|11\.0\.0\.0/)
  })

  await t.test("a killed agent's backends leave the others' kernels", async t => {
    step('agent 3 is killed')
    // Two agents announce the same VIP. The last backends are never hidden, so one must stay.
    for (const [agent, name] of [
      [one, 'one'],
      [three, 'three'],
    ] as const) {
      agent.start(process.execPath, [echo, 'serve', name, '7200'])
      agent.vips(
        `framework: marathon\nvips:\n  - { vip: /both:80, backends: ["${agent.ip}:7200"] }\n`,
      )
    }
    const both = 'both.marathon.l4lb.thisdcos.directory'
    const seen = (): Record<string, number> => ask(one, 'tcp', both, 80, 40, 4)
    await until('both', () => Object.keys(seen()).sort().join() === 'one:7200,three:7200')
    for (const child of [three.daemon, three.balancer]) child.kill('SIGKILL')
    await until('gone', () => seen()['one:7200'] === 40)
    t.notMatch(one.rules(), `: ${three.ip} . 7200`)
  })
})
