/**
 * The tutorial of DC/OS, as it stands: a task with the label VIP_0: /redis:6379 on one agent, `redis-cli -h
 * redis.marathon.l4lb.thisdcos.directory` on another. Three hosts made of network namespaces, with our daemon and our
 * balancer on each, a real redis-server and a real redis-cli. What it leaves out is in fixture/agents.ts.
 */
import type { ChildProcess } from 'node:child_process'
import t from 'tap'
import { agents, ask, ECHO, entry, step, until, type Agent } from '../fixture/agents.ts'
import type { TaskSpec } from '../fixture/mesos.ts'
import { missing, type Host } from '../fixture/netns.ts'

const REDIS = 'redis.marathon.l4lb.thisdcos.directory'
const NAME = 'echo.marathon.l4lb.thisdcos.directory'

const skip = missing('nft', 'conntrack', 'redis-server', 'redis-cli')

t.test('named VIPs connect', { skip, timeout: 900_000 }, async t => {
  const { cluster, all } = agents(t, 3)
  const [one, two, three] = all as [Agent, Agent, Agent]
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
    three.start(process.execPath, [ECHO, 'serve', 'three', '7001'])
    container.start(process.execPath, [ECHO, 'serve', 'inside', '7002'])
    three.vips(
      ...['tcp', 'udp'].flatMap(p => [
        entry('/echo:80', p, `${three.ip}:7001`, `[${three.ip6}]:7001`),
        entry('192.0.2.80:80', p, `${three.ip}:7001`),
      ]),
    )
    const resolved = (name: string, family: string): string =>
      two.spartan('query', name, family, '--server', '198.51.100.1', '--short').out.trim()
    const v4 = await until('A', () => resolved(NAME, 'A'))
    const v6 = await until('AAAA', () => resolved(NAME, 'AAAA'))
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
    two.tasks({
      id: 'inside.1',
      name: 'inside',
      ips: ['172.31.0.2', 'fd78::2'],
      ports: [{ number: 7002, protocol: 'tcp,udp', labels: { VIP_0: '/inside:80' } }],
    })
    const inside = 'inside.marathon.l4lb.thisdcos.directory'
    for (const family of ['A', 'AAAA']) {
      const to = await until(family, () => resolved(inside, family))
      for (const protocol of ['tcp', 'udp']) {
        for (const host of [two, container]) {
          await until(`${host.name}: ${protocol} ${to}`, () => {
            return ask(host, protocol, to, 80)['inside:7002'] === 1
          })
          t.pass(`${host === two ? 'its host' : 'the container itself'}: ${protocol} ${to}`)
        }
      }
    }
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
    three.start(process.execPath, [ECHO, 'serve', 'w', '7101', '7102', '7103', '7104'])
    const weights = (...list: number[]): void =>
      one.vips(
        `  - { vip: /w:80, backends: ${JSON.stringify(list.map((weight, i) => ({ address: `${three.ip}:${7101 + i}`, weight })))} }\n`,
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
    const long = two.start(process.execPath, [ECHO, 'hold', name, '80'])
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
})
