import t, { type Test } from 'tap'
import type { Endpoint } from '../../src/boundary/messages.ts'
import { Http } from '../../src/http/client.ts'
import type { MesosState } from '../../src/mesos/api/model.ts'
import { agentInfoFromJson, agentStateFromJson } from '../../src/mesos/api/operator-api.ts'
import { reduce, type Known } from '../../src/mesos/api/reducer.ts'
import { parseState } from '../../src/mesos/api/state.ts'
import { Subscription } from '../../src/mesos/api/subscription.ts'
import { emptyState } from '../../src/mesos/api/model.ts'
import { startCluster, type Cluster, type ClusterOptions } from '../../src/demo/cluster/cluster.ts'
import { silent } from '../../src/base/log.ts'

/** Numbers that are the same each time. */
const seeded = (seed: number): (() => number) => {
  let s = seed
  return () => (s = (s * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31
}

const MASTERS = [1, 2, 3].map(i => ({ address: `127.15.2.${i}`, port: 0 }))
const AGENTS = [11, 12, 13].map(i => ({ address: `127.15.2.${i}`, port: 0 }))

const start = async (t: Test, more: Partial<ClusterOptions> = {}): Promise<Cluster> => {
  const cluster = await startCluster({
    masters: MASTERS,
    agents: AGENTS,
    now: () => 1_700_000_000_000,
    random: seeded(7),
    reregisterMs: 0,
    ...more,
  })
  t.teardown(() => cluster.close())
  return cluster
}

const client = (t: Test): Http => {
  const http = new Http()
  t.teardown(() => http.close())
  return http
}

const url = ({ address, port }: Endpoint, path: string): string =>
  `http://${address}:${port}${path}`

/** A follower of the cluster, and a way to wait until it knows something. */
const followed = (
  t: Test,
  cluster: Cluster,
): { known: () => MesosState; until: (of: (s: MesosState) => boolean) => Promise<void> } => {
  let known: Known = { state: emptyState, recovered: new Set() }
  let wake = (): void => {}
  const subscription = new Subscription({
    http: client(t),
    log: silent,
    masters: () => cluster.masters.map(at => url(at, '')),
    follow: true,
    random: () => 0,
    now: () => performance.now(),
    minMs: 10,
    maxMs: 20,
    onEvents: events => {
      known = reduce(known, events)
      wake()
    },
  })
  t.teardown(() => subscription.close())
  subscription.start()
  return {
    known: () => known.state,
    until: async of => {
      while (!of(known.state)) await new Promise<void>(resolve => (wake = resolve))
    },
  }
}

const running = (s: MesosState, name: string): number =>
  [...s.tasks.values()].filter(task => task.name === name && task.state === 'TASK_RUNNING').length

t.test('the state of the leader has the shape of a real one', async t => {
  const cluster = await start(t)
  const http = client(t)
  for (const path of ['/state', '/master/state']) {
    const { state, bad } = parseState(await http.getJson(url(cluster.masters[0]!, path)))
    t.equal(bad, 0)
    t.equal(state.leader, `127.15.2.1:${cluster.masters[0]!.port}`)
    t.equal(state.agents.size, 3)
    t.strictSame(
      [...state.frameworks.values()].map(f => f.name),
      ['marathon', 'kafka', 'chronos'],
    )
    t.equal(running(state, 'web'), 3)
    const web = [...state.tasks.values()].find(task => task.name === 'web')
    t.match(web, {
      running: { addresses: [/^192\.0\.2\./, /^2001:db8::/], healthy: true },
      hasHealthCheck: true,
    })
    t.match(web?.discovery?.ports, [
      { number: 8080, name: 'http', labels: [{ key: 'VIP_0', value: '/web:80' }, {}] },
    ])
    const api = [...state.tasks.values()].find(task => task.name === 'api.shop')
    t.match(api?.portMappings, [{ containerPort: 8080, protocol: 'tcp' }, { protocol: 'udp' }])
  }
})

t.test('a follower knows only who leads, and sends subscribers there', async t => {
  const cluster = await start(t)
  const http = client(t)
  const { state, self } = parseState(await http.getJson(url(cluster.masters[1]!, '/state')))
  t.equal(state.leader, `127.15.2.1:${cluster.masters[0]!.port}`)
  t.match(self, /^127\.15\.2\.2:/)
  t.equal(state.tasks.size, 0)
  const redirect = await http.exchange(url(cluster.masters[1]!, '/api/v1'), {
    method: 'POST',
    body: '{"type":"SUBSCRIBE"}',
  })
  t.match(redirect, {
    status: 307,
    headers: { location: `//127.15.2.1:${cluster.masters[0]!.port}/api/v1` },
  })
})

t.test('a subscriber sees the state and each step of the timetable', async t => {
  const cluster = await start(t)
  const { known, until } = followed(t, cluster)
  await until(s => running(s, 'web') === 3)
  const fresh = async (): Promise<MesosState> =>
    parseState(await client(t).getJson(url(cluster.masters[0]!, '/state'))).state
  const said = []
  for (let i = 0; i < 20; i++) said.push(cluster.step())
  t.ok(said.some(what => what.includes('canary appears')))
  const { tasks } = await fresh()
  const states = (of: ReadonlyMap<string, { state: string }>): string[] =>
    [...of].map(([key, { state }]) => `${key} ${state}`).sort()
  await until(s => states(s.tasks).join() === states(tasks).join())
  t.strictSame(states(known().tasks), states(tasks), 'events lead to the same state as a load')
})

t.test('the same seed tells the same story', async t => {
  const tell = async (seed: number): Promise<string> => {
    const cluster = await start(t, { random: seeded(seed) })
    const said = Array.from({ length: 40 }, () => cluster.step())
    const ids = cluster.tasks.map(task => task.id)
    await cluster.close()
    return [...said, ...ids].join('\n')
  }
  t.equal(await tell(3), await tell(3))
  t.not(await tell(3), await tell(4))
})

t.test('the timetable goes on for ever and leaves the cluster whole', async t => {
  const cluster = await start(t)
  for (let i = 0; i < 300; i++) cluster.step()
  const names = cluster.tasks.map(task => task.app.name)
  for (const [name, least] of [
    ['web', 2],
    ['api.shop', 2],
    ['redis', 0],
    ['worker', 6],
  ] as const) {
    const n = names.filter(one => one === name).length
    t.ok(n >= least && n <= 8, `${n} ${name}`)
  }
})

t.test('another master leads when the leader dies, and its agents come back', async t => {
  const cluster = await start(t, { reregisterMs: 60 })
  const { until } = followed(t, cluster)
  await until(s => s.tasks.size > 0)
  await cluster.killMaster(0)
  t.equal(cluster.leader?.address, '127.15.2.2')
  await until(
    s => s.leader.startsWith('127.15.2.2:') && s.agents.size === 3 && running(s, 'web') === 3,
  )
  await cluster.startMaster(0)
  t.equal(cluster.leader?.address, '127.15.2.2', 'the old one follows')
  cluster.failover()
  t.equal(cluster.leader?.address, '127.15.2.3')
  await until(s => s.leader.startsWith('127.15.2.3:') && running(s, 'web') === 3)
})

t.test('a cluster without masters has no leader until one is back', async t => {
  const cluster = await start(t)
  for (const i of [0, 1, 2]) await cluster.killMaster(i)
  t.equal(cluster.leader, undefined)
  await cluster.startMaster(1)
  t.equal(cluster.leader?.address, '127.15.2.2')
})

t.test('an agent answers for itself', async t => {
  const cluster = await start(t)
  const http = client(t)
  const ask = (type: string, i = 0): Promise<unknown> =>
    http.postJson(url(cluster.agents[i]!, '/api/v1'), { type })
  t.match(agentInfoFromJson(await ask('GET_AGENT', 1)), { hostname: '127.15.2.12' })
  const ids = new Set<string>()
  for (const i of [0, 1, 2]) {
    const { state, bad } = agentStateFromJson(await ask('GET_STATE', i))
    t.equal(bad, 0)
    for (const task of state.tasks.values()) ids.add(task.id)
  }
  t.strictSame([...ids].sort(), cluster.tasks.map(task => task.id).sort())
  await t.rejects(ask('GET_FLAGS'), { code: 'EHTTP', message: /501/ })
})

t.test('a place that is taken is an error and leaves nothing running', async t => {
  const first = await start(t)
  await t.rejects(start(t, { masters: [...MASTERS.slice(0, 2), first.masters[2]!] }), {
    code: 'EBIND',
  })
})

t.test('nothing changes until the timetable is played', async t => {
  const heard: string[] = []
  let enough = (): void => {}
  const third = new Promise<void>(resolve => (enough = resolve))
  const cluster = await start(t, {
    onStep: what => {
      if (heard.push(what) === 3) enough()
    },
  })
  t.same(heard, [])
  cluster.play(1)
  await third
  t.equal(heard.length, 3)
})
