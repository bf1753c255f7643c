import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Http } from '../../../src/http/client.ts'
import { AgentVips, type AgentVipsOptions } from '../../../src/control/vips/agent-source.ts'
import { VipFiles } from '../../../src/control/vips/file-source.ts'
import type { VipRecord } from '../../../src/vip/record.ts'
import { Balancing } from '../../../src/control/vips/balancing.ts'
import { VipService } from '../../../src/control/vips/service.ts'
import type { Log } from '../../../src/base/log.ts'
import { silent } from '../../../src/base/log.ts'
import { agentJson, agentState, type TaskSpec } from '../../fixture/mesos.ts'
import {
  huge,
  json,
  scriptedHttp,
  silence,
  status,
  truncated,
  until,
  type Act,
} from '../../fixture/scripted-http.ts'

const names = (records: readonly VipRecord[]): string[] =>
  records.map(r => `${r.name || r.ip}:${r.port}`)

/** Remembers what was warned of. */
const listening = (): Log & { readonly warned: string[] } => {
  const warned: string[] = []
  const log = {
    ...silent,
    warned,
    warn: (msg: string, fields: object = {}) =>
      void warned.push(`${msg} ${JSON.stringify(fields)}`),
  }
  return { ...log, child: () => log }
}

const web = (value: string, more: Partial<TaskSpec> = {}): TaskSpec => ({
  id: 'web.1',
  ips: ['9.0.0.1'],
  ports: [{ number: 80, protocol: 'tcp', labels: { VIP_0: value } }],
  ...more,
})

/** An agent that answers by the type of call. */
const agent = (answers: Record<string, Act[]>): Act => {
  return (response, request, body) => {
    const { type } = JSON.parse(body) as { type: string }
    const list = answers[type] ?? [status(501)]
    const act = list.length > 1 ? list.shift() : list[0]
    act?.(response, request, body)
  }
}

const state = (...tasks: TaskSpec[]): Act => json(agentState({ tasks }))

/** Polls an agent's VIPs until the end of the test. */
const asking = (
  t: { teardown(fn: () => unknown): unknown },
  agent: string,
  more: Partial<AgentVipsOptions>,
): AgentVips => {
  const http = new Http()
  const source = new AgentVips({
    http,
    log: silent,
    agent,
    address: '192.0.2.17',
    nodeIp: () => '',
    ipv6: true,
    onChange: () => {},
    random: () => 0,
    now: () => performance.now(),
    pollMs: 5,
    ...more,
  })
  t.teardown(async () => {
    await source.close()
    await http.close()
  })
  source.start()
  return source
}

t.test('an agent’s tasks declare VIPs, and bad answers change nothing', async t => {
  const server = await scriptedHttp(t, '127.14.2.1')
  const answers = (...states: Act[]): void => {
    const agentAnswer = json({ get_agent: agentJson('S0', '192.0.2.17') })
    server.on('/api/v1', agent({ GET_STATE: states, GET_AGENT: [agentAnswer] }))
  }
  answers(state(web('/redis:6379')))
  const told: string[][] = []
  const source = asking(t, `${server.base}/`, {
    address: '',
    onChange: records => told.push(names(records)),
    pollMs: 10,
    maxBackoffMs: 10,
    deadlineMs: 1_000,
    maxBytes: 500_000,
  })
  // on a busy machine a poll may time out; the good answer stays until it was seen
  await until(() => told.length > 0)
  answers(
    json('<html>'),
    truncated('{"type'),
    huge,
    silence,
    json({}),
    status(500),
    json([]),
    state(web('/redis:6379'), web('/other:80', { id: 'o' })),
  )
  await until(() => told.length > 1)
  t.same(told, [['redis.marathon:6379'], ['other.marathon:80', 'redis.marathon:6379']])
  t.match(source.status, {
    trouble: '',
    // on a busy machine another answer may come too late
    failures: { json: 1, truncated: 1, size: 1, timeout: Number, status: 1, data: 2 },
  })
  const asked = server.bodies.filter(b => b.includes('GET_AGENT')).length
  t.ok(asked < server.bodies.length / 2, 'the agent’s address is asked for first and after trouble')
})

t.test('an agent that permits less is asked for less', async t => {
  const server = await scriptedHttp(t, '127.14.2.1')
  const { get_state: whole } = agentState({ tasks: [web('/redis:6379')] }) as {
    get_state: { get_tasks: object; get_frameworks: object }
  }
  server.on(
    '/api/v1',
    agent({
      GET_STATE: [status(403)],
      GET_TASKS: [json({ type: 'GET_TASKS', get_tasks: whole.get_tasks })],
      GET_FRAMEWORKS: [json({ type: 'GET_FRAMEWORKS', get_frameworks: whole.get_frameworks })],
    }),
  )
  const told: string[][] = []
  const source = asking(t, server.base, { onChange: r => told.push(names(r)) })
  await until(() => source.status.loads > 2)
  t.same(told, [['redis.marathon:6379']])
  t.equal(server.bodies.filter(b => b.includes('GET_STATE')).length, 1)
})

t.test('mapped ports follow this host to its address', async t => {
  const server = await scriptedHttp(t, '127.14.2.1')
  const mapped = web('/redis:6379', { mappings: [[31_000, 80]] })
  server.on('/api/v1', agent({ GET_STATE: [state(mapped)] }))
  let nodeIp = '192.0.2.17'
  const source = asking(t, server.base, { address: '', nodeIp: () => nodeIp })
  const at = (): string => source.records[0]?.backends.map(b => `${b.ip}:${b.port}`).join() ?? ''
  await until(() => at() === '192.0.2.17:31000')
  nodeIp = '192.0.2.18'
  await until(() => at() === '192.0.2.18:31000')
  t.equal(at(), '192.0.2.18:31000')
})

t.test('a bad label is told of once, and listed while it is there', async t => {
  const server = await scriptedHttp(t, '127.14.2.1')
  server.on(
    '/api/v1',
    agent({
      GET_STATE: [
        state(web('/redis')),
        state(web('/redis')),
        state(web('/redis')),
        state(web('/redis:1')),
      ],
    }),
  )
  const log = listening()
  let listed = 0
  const source = asking(t, server.base, {
    log,
    onChange: () => (listed = Math.max(listed, source.status.badLabels.length)),
  })
  await until(() => source.status.vips === 1)
  t.equal(listed, 1)
  t.equal(log.warned.length, 1)
  t.match(log.warned[0], /a VIP label is skipped .*web.*VIP_0=\/redis.*it has no port/)
  t.same(source.status.badLabels, [])
})

const file = (name: string, address = '192.0.2.1:80'): string =>
  `framework: f\nvips:\n  - vip: ${name}:80\n    backends: ["${address}"]\n`

t.test('files of VIPs are followed, each keeping its last good content', async t => {
  const dir = t.testdir({
    'a.yaml': file('a'),
    'b.yml': file('b'),
    'ignored.txt': file('c'),
    '.hidden.yaml': file('d'),
  })
  const log = listening()
  const told: string[][] = []
  const files = new VipFiles({
    paths: [dir],
    log,
    onChange: records => told.push(names(records)),
    everyMs: 20,
  })
  t.teardown(() => files.close())
  await files.start()
  t.same(told, [['a.f:80', 'b.f:80']])

  await writeFile(join(dir, 'a.yaml'), 'framework: f\nvips:\n  - vip: broken\n')
  await until(() => log.warned.length > 0)
  t.match(log.warned[0], /last good content stays.*line 3, column 10: 'broken' is no VIP/)
  t.same(names(files.records), ['a.f:80', 'b.f:80'])
  t.match(
    files.status.find(s => s.path.endsWith('a.yaml')),
    { vips: 1, problem: /line 3/ },
  )

  await writeFile(join(dir, 'new'), file('a2'))
  await rename(join(dir, 'new'), join(dir, 'a.yaml'))
  await until(() => names(files.records).includes('a2.f:80'))
  t.equal(files.status.find(s => s.path.endsWith('a.yaml'))?.problem, '')

  await rm(join(dir, 'b.yml'))
  await until(() => !names(files.records).includes('b.f:80'))
  t.same(names(files.records), ['a2.f:80'])
  t.equal(log.warned.length, 1, 'the same trouble is told once')
})

t.test('a single file, one that is missing, and one that is a folder', async t => {
  const dir = t.testdir({ 'one.yaml': file('one'), sub: { 'dir.yaml': {} } })
  const log = listening()
  const files = new VipFiles({
    paths: [join(dir, 'one.yaml'), join(dir, 'later.yaml'), join(dir, 'sub')],
    log,
    onChange: () => {},
    everyMs: 20,
  })
  t.teardown(() => files.close())
  await files.start()
  t.same(names(files.records), ['one.f:80'])
  t.match(log.warned.join('\n'), /cannot be read.*later.yaml/)
  t.ok(files.status.some(s => s.path.endsWith('later.yaml') && s.problem !== ''))
  await writeFile(join(dir, 'later.yaml'), file('later'))
  await until(() => names(files.records).length === 2)
  await rm(join(dir, 'sub'), { recursive: true })
  await mkdir(join(dir, 'sub'))
  await writeFile(
    join(dir, 'sub', 'x.json'),
    '{"framework":"f","vips":[{"vip":"x:80","backends":[]}]}',
  )
  await until(() => names(files.records).includes('x.f:80'))
  t.pass('followed')
})

const balancing = (t: { teardown(fn: () => unknown): unknown }, answer: 'vip' | 'backends') => {
  const made = new Balancing({
    log: silent,
    host: () => ({ ipvs: false, minuteman: false, rules: false }),
    now: () => performance.now(),
  })
  made.configure(answer)
  t.teardown(() => made.close())
  return made
}

type Told = { own: string[][]; zones: string[][]; loaded: boolean[] }

const service = (
  t: { teardown(fn: () => unknown): unknown },
  more: Partial<ConstructorParameters<typeof VipService>[0]>,
) => {
  const http = new Http()
  const told: Told = { own: [], zones: [], loaded: [] }
  const made = new VipService({
    http,
    log: silent,
    node: 'me',
    balancing: balancing(t, 'vip'),
    agent: '',
    nodeIp: () => '192.0.2.17',
    files: [],
    graceMs: 0,
    ipv6: true,
    awaitSync: false,
    onOwn: records => told.own.push(names(records)),
    onZone: (_, change, loaded) => {
      told.zones.push(
        change.kind === 'full' ? [...change.zone.keys()].map(n => n.split('.l4lb')[0] ?? '') : [],
      )
      told.loaded.push(loaded)
    },
    now: () => performance.now(),
    random: () => 0,
    pollMs: 10,
    watchMs: 20,
    ...more,
  })
  t.teardown(async () => {
    await made.close()
    await http.close()
  })
  return { made, told }
}

const record = (name: string): VipRecord => ({
  protocol: 'tcp',
  name,
  ip: '',
  port: 80,
  backends: [{ ip: '9.0.0.9', port: 80, weight: 1 }],
})

t.test('own records and those of others become one zone', async t => {
  const server = await scriptedHttp(t, '127.14.2.1')
  server.on('/api/v1', agent({ GET_STATE: [state(web('/redis:6379'))] }))
  const dir = t.testdir({ 'a.yaml': file('a') })
  const { made, told } = service(t, { agent: server.base, files: [dir], awaitSync: true })
  made.setOthers([
    { owner: 'other', records: [record('x.y')] },
    { owner: 'me', records: [record('remembered.f')] },
  ])
  await made.start()
  await until(() => told.zones.at(-1)?.includes('redis.marathon') === true)
  t.same(
    told.zones.at(-1),
    ['a.f', 'redis.marathon', 'x.y'],
    'what others remember of us is replaced by what we know',
  )
  t.ok(told.zones[0]?.includes('remembered.f'), 'and stood in for it before')
  t.same(told.own, [['a.f:80', 'redis.marathon:6379']], 'half of what we have is never told')
  t.equal(told.loaded.at(-1), false, 'gossip has not synced')
  made.markSynced()
  made.markSynced()
  await until(() => told.loaded.at(-1) === true)
  t.match(made.status, {
    vips: 3,
    backends: 3,
    leaving: 0,
    agent: { vips: 1 },
    files: [{ vips: 1 }],
  })
  t.match(
    made.vips.find(v => v.name === 'x.y'),
    { address4: /^11\./, address6: '' },
  )
})

t.test('a node without sources serves what others say', async t => {
  const { made, told } = service(t, { graceMs: 50 })
  await made.start()
  t.same([told.zones, told.loaded], [[[]], [true]])
  made.setOthers([{ owner: 'other', records: [record('x.y')] }])
  await until(() => told.zones.at(-1)?.length === 1)
  made.setOthers([])
  await until(() => made.status.leaving === 1)
  await until(() => told.zones.at(-1)?.length === 0)
  t.pass('the name left after its grace time')
})

t.test('an agent that is down does not keep names from being denied for ever', async t => {
  const { made, told } = service(t, { agent: 'http://127.14.2.9:9', agentMs: 30 })
  await made.start()
  t.equal(told.loaded[0], false)
  await until(() => told.loaded.at(-1) === true)
  t.same(told.own, [], 'what others remember of us is not overwritten')
})

t.test('a reload keeps what was known until the agent is heard again', async t => {
  const server = await scriptedHttp(t, '127.14.2.1')
  server.on('/api/v1', agent({ GET_STATE: [status(503), state(web('/redis:6379'))] }))
  const { made, told } = service(t, {
    agent: server.base,
    remembered: [record('old.f'), record('redis.marathon')],
  })
  await made.start()
  await until(() => told.own.length > 0)
  t.same(told.zones[0], ['old.f', 'redis.marathon'])
  await until(() => told.zones.at(-1)?.length === 1)
  t.same(told.zones.at(-1), ['redis.marathon'])
})
