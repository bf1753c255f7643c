import t, { type Test } from 'tap'
import { createServer, type Server } from 'node:http'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { Http } from '../../src/http/client.ts'
import { emptyState, type MesosState, type Task } from '../../src/mesos/api/model.ts'
import { startCluster, type Cluster } from '../../src/demo/cluster/cluster.ts'
import { silent } from '../../src/base/log.ts'
import { Follower, type FollowerOptions } from '../../src/mesos-dns/follower.ts'
import { Lookups } from '../../src/mesos/mesos-dns-names/lookups.ts'
import { Recovery } from '../../src/mesos-dns/recovery.ts'

type Told = { readonly state: MesosState; readonly whole: boolean }

/** The states that a follower passed on, and a way to wait for the next matching one. */
const follow = (
  t: Test,
  bases: () => readonly string[],
  more: Partial<FollowerOptions> = {},
): { follower: Follower; told: Told[]; until: (of: (told: Told) => boolean) => Promise<Told> } => {
  const told: Told[] = []
  let wake = (): void => {}
  const http = new Http()
  const follower = new Follower({
    http,
    log: silent,
    bases,
    refreshMs: 20,
    deadlineMs: 5_000,
    minMs: 10,
    maxMs: 20,
    now: () => performance.now(),
    random: () => 0,
    onState: (state, whole) => {
      told.push({ state, whole })
      wake()
    },
    ...more,
  })
  t.teardown(async () => {
    await follower.close()
    await http.close()
  })
  follower.start()
  const until = async (of: (told: Told) => boolean): Promise<Told> => {
    for (;;) {
      const last = told.at(-1)
      if (last && of(last)) return last
      await new Promise<void>(resolve => (wake = resolve))
    }
  }
  return { follower, told, until }
}

const base = ({ address, port }: Endpoint): string => `http://${address}:${port}`
const named = (state: MesosState, name: string): number =>
  [...state.tasks.values()].filter(task => task.name === name).length

const cluster = async (t: Test, n: number, reregisterMs = 0): Promise<Cluster> => {
  const made = await startCluster({
    masters: [1, 2, 3].map(i => ({ address: `127.15.5.${n + i}`, port: 0 })),
    agents: [4, 5].map(i => ({ address: `127.15.5.${n + i}`, port: 0 })),
    now: Date.now,
    random: () => 0.5,
    reregisterMs,
  })
  t.teardown(() => made.close())
  return made
}

t.test('a follower keeps what a new leader has not told of yet', async t => {
  const mesos = await cluster(t, 0, 400)
  const { told, until } = follow(t, () => mesos.masters.map(base))
  const first = await until(({ state }) => named(state, 'web') === 3)
  t.equal(first.whole, true)
  const before = told.length
  await mesos.killMaster(0)
  await until(({ state }) => state.leader.startsWith('127.15.5.2:'))
  await until(({ state }) => state.leader.startsWith('127.15.5.2:') && state.agents.size === 2)
  // until the last agent is back
  await new Promise(resolve => setTimeout(resolve, 500))
  for (const { state, whole } of told.slice(before)) {
    t.equal(named(state, 'web'), 3, `of leader ${state.leader}`)
    t.equal(state.agents.size, 2)
    t.equal(whole, true, 'nothing is unknown')
  }
})

t.test('a follower that starts during a failover says that it does not know all', async t => {
  const mesos = await cluster(t, 10, 60_000)
  mesos.failover()
  const { until } = follow(t, () => mesos.masters.map(base))
  const { state, whole } = await until(() => true)
  t.equal(whole, false)
  t.equal(state.tasks.size, 0)
  t.match(state.leader, /^127\.15\.5\.12:/, 'though it knows who leads')
})

t.test('an end during the wait is an end', async t => {
  const mesos = await cluster(t, 20, 100)
  const { until } = follow(t, () => mesos.masters.map(base))
  await until(({ state }) => named(state, 'worker') > 0)
  mesos.failover()
  await until(({ state }) => state.leader.startsWith('127.15.5.22:') && state.agents.size === 2)
  // the agents register again one after the other, then the timetable continues
  await new Promise(resolve => setTimeout(resolve, 250))
  const ids = new Set(mesos.tasks.map(task => task.id))
  for (let i = 0; i < 6; i++) mesos.step()
  const gone = [...ids].filter(id => !mesos.tasks.some(task => task.id === id))
  t.not(gone.length, 0)
  await until(({ state }) => [...state.tasks.values()].every(task => !gone.includes(task.id)))
})

/** A master with fixed answers. */
const scripted = async (
  t: Test,
  address: string,
  say: () => { status?: number; body: string },
): Promise<string> => {
  const server: Server = createServer((req, res) => {
    if (req.method !== 'GET') return void res.writeHead(404).end()
    const { status = 200, body } = say()
    res.writeHead(status, { 'content-type': 'application/json' }).end(body)
  })
  await new Promise<void>(resolve => server.listen(0, address, resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const at = server.address()
  return `http://${address}:${typeof at === 'object' && at ? at.port : 0}`
}

t.test('a load that fails brings nothing, and the next one counts', async t => {
  const good = (leader: string): string =>
    JSON.stringify({
      leader: `master@${leader}`,
      pid: `master@${leader}`,
      frameworks: [],
      slaves: [{ id: 'a-S0', hostname: '192.0.2.1', pid: 'slave(1)@192.0.2.1:5051' }],
    })
  const answers = [
    { body: good('203.0.113.1:5050') },
    { body: '{"frameworks": [' },
    { body: '<html>' },
    { body: '[]' },
    { body: '{"leader": "master@203.0.113.1:5050"}' },
    { status: 500, body: 'oops' },
    { body: good('').replace('master@', '') },
    { body: good('203.0.113.2:5050') },
  ]
  let n = 0
  const at = await scripted(
    t,
    '127.15.5.40',
    () => answers[Math.min(n++, answers.length - 1)] ?? answers[0]!,
  )
  const { told, follower } = follow(t, () => [at])
  while (!told.some(({ state }) => state.leader === '203.0.113.2:5050'))
    await new Promise(resolve => setTimeout(resolve, 5))
  t.strictSame(
    [...new Set(told.map(({ state }) => state.leader))],
    ['203.0.113.1:5050', '203.0.113.2:5050'],
  )
  t.ok(told.every(({ state }) => state.agents.size === 1))
  const { failures } = follower.status.counts
  t.ok(
    Object.values(failures).reduce((sum, count) => sum + count, 0) >= 5,
    JSON.stringify(failures),
  )
})

t.test('a follower that is restarted asks anew', async t => {
  const mesos = await cluster(t, 50)
  let bases = [base(mesos.masters[0]!)]
  const { follower, told, until } = follow(t, () => bases)
  await until(() => true)
  const before = told.length
  bases = [base(mesos.masters[1]!)]
  follower.leaderChanged()
  await until(() => told.length > before)
  t.match(follower.status, { state: 'streaming', trouble: '' })
})

const agent = (
  id: string,
): [string, MesosState['agents'] extends ReadonlyMap<string, infer A> ? A : never] => [
  id,
  { id, hostname: '192.0.2.1', pid: '', active: true },
]
const task = (id: string, agentId: string): [string, Task] => [
  `F ${id}`,
  { id, agentId, frameworkId: 'F', name: id } as Task,
]

t.test('what is kept is what belongs to missing agents', async t => {
  const before: MesosState = {
    leader: 'a',
    frameworks: new Map([
      ['F', { id: 'F', name: 'marathon', hostname: '', pid: '', webui: '', active: true }],
    ]),
    agents: new Map([agent('S0'), agent('S1')]),
    tasks: new Map([task('x', 'S0'), task('y', 'S1'), task('z', 'S1')]),
  }
  const ids = (state: MesosState): string =>
    [...state.tasks.keys()]
      .map(key => key.slice(2))
      .sort()
      .join('')
  const recovery = new Recovery()
  t.equal(recovery.over(before), before, 'nothing is kept at first')
  recovery.begin(before, new Set(['S1']))
  const bare: MesosState = { ...emptyState, leader: 'b', agents: new Map([agent('S0')]) }
  const kept = recovery.over(bare)
  t.equal(ids(kept), 'yz', 'x is on an agent that is back, so it is gone')
  t.strictSame([...kept.frameworks.keys()], ['F'])
  t.equal(kept.leader, 'b')
  t.equal(ids(recovery.over({ ...before, tasks: new Map([task('y', 'S1')]) })), 'yz')
  t.equal(ids(recovery.over(bare)), 'z', 'y has been told of, so its end counts')
  recovery.end()
  t.equal(recovery.over(bare), bare)
})

t.test(
  'a host is looked up once, told of when found, and kept when it cannot be found again',
  async t => {
    const asked: string[] = []
    let addresses: Record<string, string[]> = { 'a.example.org': ['192.0.2.2', '192.0.2.1'] }
    let wake = (): void => {}
    let changes = 0
    const lookups = new Lookups({
      log: silent,
      everyMs: 10,
      resolve: async host => {
        asked.push(host)
        const found = addresses[host]
        if (!found) throw new Error('ENOTFOUND')
        return found
      },
      onChange: () => {
        changes++
        wake()
      },
    })
    // its own timer keeps no process alive
    const alive = setInterval(() => {}, 1_000)
    t.teardown(() => {
      clearInterval(alive)
      lookups.close()
    })
    const changed = (): Promise<void> => new Promise(resolve => (wake = resolve))
    const first = changed()
    lookups.want(new Set(['a.example.org', 'b.example.org']))
    lookups.want(new Set(['a.example.org', 'b.example.org']))
    t.strictSame(lookups.addressesOf('a.example.org'), [])
    await first
    t.strictSame(asked.slice(0, 2).sort(), ['a.example.org', 'b.example.org'])
    t.strictSame(lookups.addressesOf('a.example.org'), ['192.0.2.1', '192.0.2.2'])
    t.strictSame(lookups.addressesOf('b.example.org'), [])
    const second = changed()
    addresses = { 'b.example.org': ['2001:db8::1'] }
    await second
    t.strictSame(lookups.addressesOf('a.example.org'), ['192.0.2.1', '192.0.2.2'])
    t.strictSame(lookups.addressesOf('b.example.org'), ['2001:db8::1'])
    t.equal(changes, 2)
    lookups.want(new Set(['b.example.org']))
    t.strictSame(lookups.addressesOf('a.example.org'), [], 'nobody wants it any more')
  },
)
