import type { ServerResponse } from 'node:http'
import t from 'tap'
import { Http } from '../../../src/http/client.ts'
import { masterUrl } from '../../../src/mesos/api/master-url.ts'
import { mesosCopy } from '../../../src/control/mesos/mesos-copy.ts'
import { masterFromJson } from '../../../src/mesos/api/operator-api.ts'
import { framed } from '../../../src/mesos/api/recordio.ts'
import { MesosSource, type MesosSourceOptions } from '../../../src/mesos/api/source.ts'
import type { ZoneChange } from '../../../src/boundary/zone.ts'
import { silent } from '../../../src/base/log.ts'
import {
  added,
  agentAdded,
  masterState,
  records,
  subscribed,
  updated,
  type Cluster,
  type TaskSpec,
} from '../../fixture/mesos.ts'
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

type T = { teardown(fn: () => unknown): unknown }

/** A stream that begins with these events and stays open; `send` adds further ones. */
const streaming = (
  ...first: object[]
): { act: Act; send: (...events: object[]) => void; end: () => void; open: () => number } => {
  const responses: ServerResponse[] = []
  return {
    act: response => {
      responses.push(response)
      response.writeHead(200)
      response.write(records(...first))
    },
    send: (...events) => responses.at(-1)?.write(records(...events)),
    end: () => responses.at(-1)?.destroy(),
    open: () => responses.length,
  }
}

/** A source for these masters, and the zones that it has published. */
const following = (t: T, bases: readonly string[], more: Partial<MesosSourceOptions> = {}) => {
  const http = new Http()
  const zones = new Map<string, Map<string, string>>()
  const changes: [apex: string, kind: ZoneChange['kind']][] = []
  const source = new MesosSource({
    http,
    log: silent,
    bases: () => bases,
    masters: () => ['192.0.2.1'],
    follow: true,
    onZone: (apex, change) => {
      changes.push([apex, change.kind])
      const zone =
        change.kind === 'full'
          ? new Map<string, string>()
          : (zones.get(apex) ?? new Map<string, string>())
      zones.set(apex, zone)
      const set = change.kind === 'full' ? change.zone : change.set
      for (const [name, rrsets] of set)
        zone.set(name, rrsets.map(r => `${r.type} ${r.data.join(' ')}`).join('; '))
      if (change.kind === 'patch') for (const name of change.drop) zone.delete(name)
    },
    now: () => performance.now(),
    random: () => 0,
    minMs: 10,
    maxMs: 20,
    pollMs: 20,
    paceMs: 30,
    ...more,
  })
  t.teardown(async () => {
    await source.close()
    await http.close()
  })
  source.start()
  const name = (of: string): string | undefined =>
    zones.get('dcos.thisdcos.directory')?.get(`${of}.dcos.thisdcos.directory`)
  return { source, zones, changes, name }
}

const web = (n: number, ip: string): TaskSpec => ({ id: `web.${n}`, name: `web${n}`, ips: [ip] })
const autoip = (n: number): string => `web${n}.marathon.autoip`

t.test('a task that starts has its name, and loses it when it ends', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const stream = streaming(subscribed({ tasks: [web(1, '9.0.0.1')] }))
  master.on('/api/v1', stream.act)
  const { source, name, changes } = following(t, [master.base])
  await until(() => name(autoip(1)) === 'A 9.0.0.1')
  t.same([name('master'), name('leader')], ['A 192.0.2.1', 'A 127.14.1.1'])
  t.equal(master.bodies[0], '{"type":"SUBSCRIBE"}')
  stream.send(added(web(2, '9.0.0.2')))
  await until(() => name(autoip(2)) === 'A 9.0.0.2')
  stream.send({ type: 'HEARTBEAT' }, updated({ ...web(1, '9.0.0.1'), state: 'TASK_FINISHED' }))
  await until(() => name(autoip(1)) === undefined)
  t.same(changes, [
    ['dcos.thisdcos.directory', 'full'],
    ['dcos.thisdcos.directory', 'patch'],
    ['dcos.thisdcos.directory', 'patch'],
  ])
  t.match(source.status, {
    state: 'streaming',
    hearing: true,
    trouble: '',
    tasks: 1,
    agents: 1,
    counts: { subscribed: 1, bad: 0 },
  })
})

t.test('a storm of events is published together', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const stream = streaming(subscribed({}))
  master.on('/api/v1', stream.act)
  const { name, changes } = following(t, [master.base], { paceMs: 200 })
  await until(() => name('leader') !== undefined)
  for (let n = 0; n < 300; n++) stream.send(added(web(n, '9.0.0.1')))
  await until(() => name(autoip(299)) !== undefined && name(autoip(0)) !== undefined)
  t.ok(changes.length < 50, `${changes.length} publications`)
})

t.test('what comes while a large state is worked off in steps is not lost', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const many = Array.from({ length: 1_000 }, (_, n) => web(n, '9.0.0.1'))
  const stream = streaming(subscribed({ tasks: many }))
  master.on('/api/v1', stream.act)
  const steps: number[] = []
  const ended = updated({ ...web(0, '9.0.0.1'), state: 'TASK_FINISHED' })
  const { name, changes, zones, source } = following(t, [master.base], {
    copies: [
      {
        apex: 'copy',
        everyMs: 0,
        *change({ tasks }, changed) {
          for (let n = 0; n < 5 && changed.all; n++) {
            steps.push(tasks.size)
            if (n === 0) stream.send(ended, added(web(1_000, '9.0.0.2')))
            yield
          }
          const zone = new Map([['tasks.copy', [{ type: 'TXT', ttl: 5, data: [`${tasks.size}`] }]]])
          return { kind: 'full', zone }
        },
      },
    ],
  })
  await until(() => name(autoip(1_000)) === 'A 9.0.0.2' && name(autoip(0)) === undefined)
  t.same(steps, [1_000, 1_000, 1_000, 1_000, 1_000], 'nothing changes beneath the steps')
  t.equal(changes.filter(([apex, kind]) => apex !== 'copy' && kind === 'full').length, 1)
  await until(() => zones.get('copy')?.get('tasks.copy') === 'TXT 1000')
  t.equal(source.status.tasks, 1_000, 'one less, one more')
})

t.test('a master asked at this host’s inside says itself where it is', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const stream = streaming(subscribed({}))
  master.on('/api/v1', stream.act)
  const address = { ip: '192.0.2.5', port: 5050 }
  master.on('/api/v1#GET_MASTER', json({ get_master: { master_info: { address } } }))
  const { name, source } = following(t, [master.base])
  await until(() => name('leader') === 'A 192.0.2.5')
  t.equal(source.status.leader, '192.0.2.5:5050')
  t.same(
    [{ pid: 'master@192.0.2.6:5050' }, { pid: 7 }, { address: { ip: 'x', port: 1 } }].map(
      master_info => masterFromJson({ get_master: { master_info } }),
    ),
    ['192.0.2.6:5050', '', ''],
  )
})

t.test('a follower’s redirect leads to the leader', async t => {
  const leader = await scriptedHttp(t, '127.14.1.1')
  const follower = await scriptedHttp(t, '127.14.1.2')
  const stream = streaming(subscribed({ tasks: [web(1, '9.0.0.1')] }))
  leader.on('/api/v1', stream.act)
  follower.on('/api/v1', status(307, { location: `//127.14.1.1:${leader.port}/api/v1` }))
  const { name, source } = following(t, [follower.base])
  await until(() => name(autoip(1)) !== undefined)
  t.equal(source.status.master, leader.base)
  t.equal(source.status.leader, `127.14.1.1:${leader.port}`)
})

t.test('the publisher beside a master waits until that master leads', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const stream = streaming(subscribed({ tasks: [web(1, '9.0.0.1')] }))
  const not = status(307, { location: '//127.14.1.9:1/api/v1' })
  master.on('/api/v1', not, not, stream.act)
  const { name } = following(t, [master.base], { follow: false })
  await until(() => name(autoip(1)) !== undefined)
  t.equal(master.seen.length, 3)
})

t.test('names stay while the stream is away, and are right again when it is back', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const first = streaming(subscribed({ tasks: [web(1, '9.0.0.1'), web(2, '9.0.0.2')] }))
  const second = streaming(subscribed({ tasks: [web(2, '9.0.0.7')] }))
  master.on(
    '/api/v1',
    first.act,
    json('<html>'),
    status(503),
    truncated('5\n{"ty'),
    silence,
    second.act,
  )
  const { name, source } = following(t, [master.base], { deadlineMs: 1_000 })
  await until(() => name(autoip(1)) !== undefined)
  first.end()
  await until(() => master.seen.length >= 5)
  t.equal(name(autoip(1)), 'A 9.0.0.1', 'a failed load takes nothing away')
  await until(() => name(autoip(2)) === 'A 9.0.0.7')
  t.equal(name(autoip(1)), undefined)
  const { failures } = source.status.counts
  t.match(failures, { truncated: Number, status: Number, data: 1 })
})

t.test('a silent stream counts as dead', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const first = streaming(subscribed({ tasks: [web(1, '9.0.0.1')] }))
  const second = streaming(subscribed({ tasks: [web(1, '9.0.0.2')] }))
  master.on('/api/v1', first.act, second.act)
  const { name, source } = following(t, [master.base], { silenceMs: () => 60 })
  await until(() => name(autoip(1)) === 'A 9.0.0.2')
  t.ok((source.status.counts.failures.silence ?? 0) >= 1)
})

t.test('a stream that cannot be had is replaced by polling', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const leader = `127.14.1.1:${master.port}`
  const state = (cluster: Cluster): Act => json(masterState(cluster, leader))
  master.on('/api/v1', status(403))
  master.on(
    '/state',
    state({ tasks: [web(1, '9.0.0.1')] }),
    json({ leader: '', frameworks: [], slaves: [] }),
    json([]),
    truncated('{"leader"'),
    json('nonsense'),
    huge,
    state({ tasks: [web(1, '9.0.0.1'), web(2, '9.0.0.2')] }),
  )
  const { name, source } = following(t, [master.base], { maxBytes: 1_000_000 })
  const seen: (string | undefined)[] = []
  await until(() => {
    if (source.status.counts.polls > 0) seen.push(name(autoip(1)))
    return name(autoip(2)) !== undefined
  })
  t.ok(
    seen.every(data => data === 'A 9.0.0.1'),
    'the last good state stayed all the time',
  )
  t.ok(source.status.counts.polls >= 2)
  t.match(source.status.counts.failures, {
    status: Number,
    data: 2,
    truncated: 1,
    json: 1,
    size: 1,
  })
})

t.test('a polled follower leads to the leader as well', async t => {
  const leader = await scriptedHttp(t, '127.14.1.1')
  const follower = await scriptedHttp(t, '127.14.1.2')
  const at = `127.14.1.1:${leader.port}`
  for (const { on } of [leader, follower]) on('/api/v1', status(404))
  leader.on('/state', json(masterState({ tasks: [web(1, '9.0.0.1')] }, at)))
  follower.on(
    '/state',
    json(masterState({ frameworks: {}, agents: {} }, at, `127.14.1.2:${follower.port}`)),
  )
  const { name } = following(t, [follower.base])
  await until(() => name(autoip(1)) !== undefined)
  t.pass('published')
})

t.test('a new leader’s word is not taken before its agents are back', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const first = streaming(subscribed({ tasks: [web(1, '9.0.0.1')] }))
  const second = streaming(subscribed({ tasks: [], agents: {}, recovered: ['A-S0'] }))
  master.on('/api/v1', first.act, second.act)
  let now = 0
  const { name, source } = following(t, [master.base], { now: () => (now += 100) })
  await until(() => name(autoip(1)) !== undefined)
  first.end()
  await until(() => source.status.missingAgents === 1)
  second.send(added(web(2, '9.0.0.2')), agentAdded('A-S0', '192.0.2.10'))
  await until(() => name(autoip(2)) !== undefined)
  t.equal(name(autoip(1)), 'A 9.0.0.1')
  t.equal(source.status.missingAgents, 0)
  now += 20_000
  second.send(added(web(3, '9.0.0.3')))
  await until(() => name(autoip(3)) !== undefined)
  t.equal(name(autoip(1)), undefined, 'what did not come back is gone')
})

t.test('a node that starts during a failover publishes nothing before it knows', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const stream = streaming(subscribed({ tasks: [], agents: {}, recovered: ['A-S0'] }))
  master.on('/api/v1', stream.act)
  let now = 0
  const { name, source, changes } = following(t, [master.base], { now: () => (now += 100) })
  await until(() => source.status.missingAgents === 1)
  stream.send(agentAdded('A-S0', '192.0.2.10'), added(web(1, '9.0.0.1')))
  await until(() => source.status.missingAgents === 0)
  t.same(changes, [])
  now += 20_000
  stream.send(added(web(2, '9.0.0.2')))
  await until(() => name(autoip(1)) !== undefined && name(autoip(2)) !== undefined)
  t.equal(changes[0]?.[1], 'full')
})

t.test(
  'after a failover a copy is made anew in steps, others get their turn in between',
  async t => {
    const master = await scriptedHttp(t, '127.14.1.1')
    const stream = streaming(subscribed({ tasks: [], agents: {}, recovered: ['A-S0'] }))
    master.on('/api/v1', stream.act)
    let now = 0
    let turns = 0
    const count = setInterval(() => turns++, 0)
    t.teardown(() => clearInterval(count))
    const apart: boolean[] = []
    const { source } = following(t, [master.base], {
      now: () => (now += 100),
      copies: [
        {
          apex: 'copy.example.org',
          everyMs: 1,
          *change(_state, { all }) {
            const before = turns
            for (let step = 0; all && turns === before && step < 10_000; step++) yield
            if (all) apart.push(turns > before)
            return { kind: 'full', zone: new Map() }
          },
        },
      ],
    })
    await until(() => source.status.missingAgents === 1)
    now += 20_000 * 60
    stream.send(agentAdded('A-S0', '192.0.2.10'), added(web(1, '9.0.0.1')))
    await until(() => apart.length > 0)
    t.same(apart, [true])
  },
)

t.test('the names of the masters follow their list', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  master.on('/api/v1', streaming(subscribed({})).act)
  let list = ['192.0.2.1']
  const { name, source } = following(t, [master.base], { masters: () => list })
  source.mastersChanged()
  await until(() => name('master') === 'A 192.0.2.1')
  list = ['192.0.2.1', '192.0.2.2']
  source.mastersChanged()
  await until(() => name('master') === 'A 192.0.2.1 192.0.2.2')
  t.pass('followed')
})

t.test('a copy that cannot be made costs itself', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const stream = streaming(subscribed({}))
  master.on('/api/v1', stream.act)
  const change = (): never => {
    throw new Error('no copy')
  }
  const { name } = following(t, [master.base], {
    copies: [{ apex: 'copy.example.org', everyMs: 1, change }],
  })
  await until(() => name('leader') !== undefined)
  stream.send(added(web(1, '9.0.0.1')))
  await until(() => name(autoip(1)) !== undefined)
  t.pass('the task has its name')
})

t.test('a record that is no JSON, and events before the state, are passed over', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const early: Act = response => {
    response.writeHead(200)
    response.end(records(added(web(1, '9.0.0.1')), { type: 'TASK_ADDED' }) + framed('{'))
  }
  const stream = streaming(subscribed({}))
  master.on('/api/v1', early, stream.act)
  const { name, source } = following(t, [master.base])
  await until(() => name('leader') !== undefined)
  t.equal(name(autoip(1)), undefined)
  t.match(source.status.counts, { bad: 1, failures: { data: 1 } })
})

t.test('the copy of the Mesos-DNS zone follows the same events', async t => {
  const master = await scriptedHttp(t, '127.14.1.1')
  const stream = streaming(subscribed({ tasks: [web(1, '9.0.0.1')] }))
  master.on('/api/v1', stream.act)
  const copy = mesosCopy({
    masters: () => ['127.14.1.1'],
    ipSources: ['netinfo', 'host'],
    everyMs: 10,
  })
  const { zones } = following(t, [master.base], { copies: [copy] })
  const name = (of: string): string | undefined =>
    zones.get('mesos.thisdcos.directory')?.get(`${of}.mesos.thisdcos.directory`)
  await until(() => name('web1.marathon') === 'A 9.0.0.1')
  t.equal(name('leader'), 'A 127.14.1.1')
  stream.send(added(web(2, '9.0.0.2')), updated({ ...web(1, '9.0.0.1'), state: 'TASK_KILLED' }))
  await until(() => name('web2.marathon') === 'A 9.0.0.2')
  t.equal(name('web1.marathon'), undefined)
})

t.test('a local master is asked where other hosts reach it', async t => {
  t.equal(masterUrl('local', '192.0.2.5', 'http'), 'http://192.0.2.5:5050')
  t.equal(masterUrl('local', '2001:db8::5', 'https'), 'https://[2001:db8::5]:5050')
  t.equal(masterUrl('local', '', 'http'), 'http://127.0.0.1:5050', 'a host without an address')
  t.equal(masterUrl('http://192.0.2.6:5050/', '192.0.2.5', 'https'), 'http://192.0.2.6:5050')
})
