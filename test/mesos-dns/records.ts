import t from 'tap'
import { fc } from '../fixture/property.ts'
import { readFileSync } from 'node:fs'
import {
  emptyState,
  type Framework,
  type MesosState,
  type Task,
} from '../../src/mesos/api/model.ts'
import { isOwnerName } from '../../src/boundary/zone.ts'
import { parseState } from '../../src/mesos/api/state.ts'
import type { MesosEvent } from '../../src/mesos/api/operator-api.ts'
import { reduce, type Known } from '../../src/mesos/api/reducer.ts'
import { valuesOf } from '../../src/mesos/dcos-names/tally.ts'
import { recordsFromState, ZoneRecords } from '../../src/mesos/mesos-dns-names/records.ts'
import { hostsToLookUp } from '../../src/mesos/mesos-dns-names/cluster-records.ts'
import type { IpSource, RecordOptions } from '../../src/mesos/mesos-dns-names/record.ts'
import {
  axfrView,
  enumerateView,
  type AxfrView,
  type EnumerateView,
} from '../../src/mesos-dns/views.ts'

const data = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixture-data/mesos-dns/${name}`, import.meta.url), 'utf8'))

const OPTIONS: RecordOptions = {
  domain: 'mesos',
  ipSources: ['netinfo', 'mesos', 'host'],
  enforceRfc952: false,
  compat: false,
  srvWeight: 1,
  soaMname: 'ns1.mesos',
  listenerAddresses: ['127.0.1.1'],
}
const MASTERS = ['127.0.1.1:5050', '127.0.1.2:5050', '127.0.1.3:5050']
const ABOUT = {
  ttl: 60,
  serial: 7,
  refreshSeconds: 30,
  mname: 'ns1.mesos',
  rname: 'root.ns1.mesos',
  domain: 'mesos',
}

const recorded = parseState(data('mesos-master-state.json')).state

/** Lists of a zone in a fixed order, for comparison as sets. */
const sorted = ({ Records, ...about }: AxfrView): object => ({
  ...about,
  Serial: 0,
  Records: Object.fromEntries(
    Object.entries(Records).map(([type, names]) => [
      type,
      Object.fromEntries(Object.entries(names).map(([name, list]) => [name, [...list].sort()])),
    ]),
  ),
})

const tasksOf = (view: EnumerateView): Map<string, string[]> => {
  const tasks = new Map<string, string[]>()
  for (const framework of view.frameworks) {
    for (const task of framework.tasks) {
      tasks.set(
        `${framework.name}/${task.name}/${task.id}`,
        task.records.map(r => `${r.name} ${r.rtype} ${r.host}`).sort(),
      )
    }
  }
  return tasks
}

t.test('the fixture state gives the zone that the real server gave', async t => {
  const records = recordsFromState(recorded, MASTERS, OPTIONS)
  t.strictSame(sorted(axfrView(records, ABOUT)), sorted(data('mesos-dns-axfr.json') as AxfrView))
  t.strictSame(records.problems, [])
})

t.test('the fixture state enumerates as the real server did', async t => {
  const view = enumerateView(recordsFromState(recorded, MASTERS, OPTIONS))
  t.strictSame(tasksOf(view), tasksOf(data('mesos-dns-enumerate.json') as EnumerateView))
})

const FRAMEWORK: Framework = {
  id: 'F1',
  name: 'marathon',
  hostname: '192.0.2.5',
  pid: 'scheduler-1@192.0.2.5:15201',
  webui: 'http://192.0.2.5:8080',
  active: true,
}

const task = (fields: Partial<Task> = {}, addresses: readonly string[] = ['192.0.2.80']): Task => ({
  id: 'test',
  name: 'web',
  frameworkId: 'F1',
  agentId: 'cluster-S0',
  state: 'TASK_RUNNING',
  running: { state: 'TASK_RUNNING', timestamp: 1, healthy: undefined, addresses, labels: [] },
  latest: undefined,
  labels: [],
  ports: [],
  discovery: undefined,
  portMappings: [],
  containerType: 'MESOS',
  hasHealthCheck: false,
  ...fields,
})

const state = (tasks: readonly Task[], fields: Partial<MesosState> = {}): MesosState => ({
  leader: '203.0.113.1:5050',
  frameworks: new Map([['F1', FRAMEWORK]]),
  agents: new Map([
    [
      'cluster-S0',
      { id: 'cluster-S0', hostname: '192.0.2.10', pid: 'slave(1)@192.0.2.10:5051', active: true },
    ],
  ]),
  tasks: new Map(tasks.map(one => [`${one.frameworkId} ${one.id}`, one])),
  ...fields,
})

/** 'name TYPE data' of every record, sorted. */
const lines = (records: ZoneRecords): string[] => {
  const all: string[] = []
  for (const [name, of] of records.names) {
    for (const type of ['A', 'AAAA', 'SRV'] as const)
      for (const one of valuesOf(of[type])) all.push(`${name} ${type} ${one}`)
  }
  return all.sort()
}

const linesOf = (
  s: MesosState,
  options: Partial<RecordOptions> = {},
  masters: readonly string[] = [],
): string[] => lines(recordsFromState(s, masters, { ...OPTIONS, ...options }))

t.test('a task has its plain and its canonical name, beside and under slave', async t => {
  const got = linesOf(state([task({ ports: [[31000, 31001]] })]))
  for (const line of [
    'web.marathon.mesos A 192.0.2.80',
    'web-iffe9-s0.marathon.mesos A 192.0.2.80',
    'web.marathon.slave.mesos A 192.0.2.10',
    'web-iffe9-s0.marathon.slave.mesos A 192.0.2.10',
    '_web._tcp.marathon.mesos SRV 0 1 31001 web-iffe9-s0.marathon.slave.mesos',
    '_web._udp.marathon.slave.mesos SRV 0 1 31000 web-iffe9-s0.marathon.slave.mesos',
  ]) {
    t.ok(got.includes(line), line)
  }
})

t.test('the addresses of a task are those of the first source that has any', async t => {
  const labels = [
    { key: 'Docker.NetworkSettings.IPAddress', value: '192.0.2.70' },
    { key: 'MesosContainerizer.NetworkSettings.IPAddress', value: '::ffff:192.0.2.71' },
  ]
  const both = task({
    running: {
      state: 'TASK_RUNNING',
      timestamp: 1,
      healthy: true,
      addresses: ['192.0.2.80', '2001:db8::80'],
      labels,
    },
  })
  const bare = task({ running: undefined })
  const at = (of: Task, ...ipSources: IpSource[]): string[] =>
    linesOf(state([of]), { ipSources })
      .filter(line => line.startsWith('web.marathon.mesos '))
      .map(line => line.split(' ').slice(1).join(' '))
  t.strictSame(at(both, 'host', 'netinfo'), ['A 192.0.2.10'])
  t.strictSame(at(both, 'netinfo', 'host'), ['A 192.0.2.80', 'AAAA 2001:db8::80'])
  t.strictSame(at(both, 'docker'), ['A 192.0.2.70'])
  t.strictSame(at(both, 'mesos'), ['A 192.0.2.71'], 'IPv4 in IPv6 clothes is IPv4')
  t.strictSame(at(bare, 'netinfo', 'mesos', 'host'), ['A 192.0.2.10'])
  t.strictSame(at(bare, 'netinfo'), [], 'and none is a problem, not a crash')
})

t.test('a discovery port names its service, its protocols and port 0', async t => {
  const port = { labels: [] }
  const discovery = {
    name: 'Web.Shop',
    ports: [
      { ...port, number: 8080, name: 'HTTP', protocol: 'tcp' },
      { ...port, number: 53, name: '', protocol: 'udp,tcp' },
      { ...port, number: 0, name: 'zero', protocol: '' },
    ],
  }
  const got = linesOf(state([task({ discovery })]))
  for (const line of [
    'web.shop.marathon.mesos A 192.0.2.80',
    'web-shop.marathon.mesos A 192.0.2.80',
    '_http._web-shop._tcp.marathon.mesos SRV 0 1 8080 web-shop-iffe9-s0.marathon.mesos',
    '_http._web.shop._tcp.marathon.mesos SRV 0 1 8080 web.shop-iffe9-s0.marathon.mesos',
    '_web-shop._udp.marathon.mesos SRV 0 1 53 web-shop-iffe9-s0.marathon.mesos',
    '_web-shop._tcp.marathon.mesos SRV 0 1 53 web-shop-iffe9-s0.marathon.mesos',
    '_zero._web-shop._udp.marathon.mesos SRV 0 1 0 web-shop-iffe9-s0.marathon.mesos',
  ]) {
    t.ok(got.includes(line), line)
  }
})

t.test('masters are numbered in their order and a leader outside it comes last', async t => {
  const masters = ['203.0.113.3:5050', '203.0.113.1:5050', '203.0.113.3:5050', '203.0.113.1:5051']
  const numbers = (list: readonly string[]): string[] =>
    linesOf(state([]), {}, list).filter(line => /^(master|leader)/.test(line))
  t.strictSame(numbers(masters), [
    'leader.mesos A 203.0.113.1',
    'master.mesos A 203.0.113.1',
    'master.mesos A 203.0.113.3',
    'master0.mesos A 203.0.113.3',
    'master1.mesos A 203.0.113.1',
  ])
  t.strictSame(numbers(['203.0.113.3:5050']).slice(-2), [
    'master0.mesos A 203.0.113.3',
    'master1.mesos A 203.0.113.1',
  ])
})

t.test('masters may be listed without their ports', async t => {
  const got = linesOf(state([]), {}, ['203.0.113.3', '203.0.113.1', '2001:db8::5'])
  t.strictSame(
    got.filter(line => /^master\d/.test(line)),
    [
      'master0.mesos A 203.0.113.3',
      'master1.mesos A 203.0.113.1',
      'master2.mesos AAAA 2001:db8::5',
    ],
  )
})

t.test('hosts that are names get the addresses that were looked up', async t => {
  const frameworks = new Map([
    ['F1', { ...FRAMEWORK, pid: '', webui: '', hostname: 'scheduler.example.org' }],
  ])
  const agents = new Map([
    ['cluster-S0', { id: 'cluster-S0', hostname: 'a.example.org', pid: '', active: true }],
  ])
  const s = state([task()], { frameworks, agents })
  t.strictSame([...hostsToLookUp(s, ['m.example.org:5050'])].sort(), [
    'a.example.org',
    'm.example.org',
    'scheduler.example.org',
  ])
  const addresses: Record<string, string[]> = {
    'a.example.org': ['192.0.2.11', '2001:db8::11'],
    'scheduler.example.org': ['192.0.2.6'],
  }
  const got = lines(recordsFromState(s, [], OPTIONS, host => addresses[host] ?? []))
  t.ok(got.includes('slave.mesos AAAA 2001:db8::11'))
  t.ok(got.includes('marathon.mesos A 192.0.2.6'))
  t.ok(got.includes('web.marathon.slave.mesos A 192.0.2.11'))
  t.notOk(
    got.some(line => line.startsWith('_framework.')),
    'an HTTP scheduler listens nowhere',
  )
})

t.test(
  '_framework._tcp has the port of the PID, or of the web interface where there is no PID',
  async t => {
    const web = 'https://web.example.org:9443/ui'
    const table: readonly (readonly [string, Partial<Framework>, string, string])[] = [
      // [case, framework, by default, with compat]
      ['a PID', { webui: web }, '15201', '15201'],
      ['unknown, as in the events', { pid: undefined, webui: web }, '9443', '9443'],
      ['an HTTP scheduler', { pid: '', webui: web }, '9443', ''],
      ['no port in the URL', { pid: undefined, webui: 'https://web.example.org' }, '443', '443'],
      ['IPv6', { pid: undefined, webui: 'http://[2001:db8::1]:90' }, '90', '90'],
      ['no host name', { pid: undefined, hostname: '', webui: 'http://192.0.2.6:90' }, '90', '90'],
      ['no URL', { pid: undefined, webui: 'elsewhere:80' }, '', ''],
      ['no web interface', { pid: undefined, webui: '' }, '', ''],
    ]
    for (const [name, fields, port, exact] of table) {
      const frameworks = new Map([['F1', { ...FRAMEWORK, ...fields }]])
      for (const compat of [false, true]) {
        const got = linesOf(state([], { frameworks }), { compat })
        const ip = fields.hostname === '' ? '192.0.2.6' : '192.0.2.5'
        t.ok(got.includes(`marathon.mesos A ${ip}`), `${name}: the host has its address`)
        const wanted = compat ? exact : port
        t.strictSame(
          got.filter(line => line.startsWith('_framework')),
          wanted === '' ? [] : [`_framework._tcp.marathon.mesos SRV 0 1 ${wanted} marathon.mesos`],
          `${name}, compat ${compat}`,
        )
      }
    }
  },
)

t.test('a name too long for its canonical form is cut so that it can be asked for', async t => {
  const long = 'a'.repeat(63)
  const records = recordsFromState(state([task({ name: long, ports: [[1, 1]] })]), [], OPTIONS)
  t.ok(records.names.has(`${long}.marathon.mesos`))
  t.ok(records.names.has(`${'a'.repeat(54)}-iffe9-s0.marathon.mesos`))
  t.match(records.problems, [{ subject: 'test', reason: 'its name is too long for an SRV record' }])
})

t.test('a service whose target would be too long is left out, and that is said', async t => {
  const ports = [{ labels: [], number: 80, name: '', protocol: 'tcp' }]
  const ofLength = (length: number): string => {
    const labels = 'a'.repeat(50).concat('.').repeat(4)
    return labels + 'b'.repeat(length - labels.length)
  }
  // `_<name>._tcp.marathon.mesos` has 253 octets with 232 of them in the name, the target with 229.
  for (const [length, there] of [
    [229, true],
    [230, false],
    [232, false],
  ] as const) {
    const name = ofLength(length)
    const { names, problems } = recordsFromState(
      state([task({ discovery: { name, ports } })]),
      [],
      OPTIONS,
    )
    t.equal(names.has(`_${name}._tcp.marathon.mesos`), there, `${length} octets`)
    t.ok(names.has(`${name}.marathon.mesos`), 'its addresses can be asked for')
    if (!there) t.match(problems[0]?.reason, /is longer than a name can be/)
  }
})

t.test('one bad task or framework costs only itself', async t => {
  const odd: Framework = { ...FRAMEWORK, id: 'F2', name: '%%%' }
  const s = state(
    [
      task(),
      task({ id: 'b', name: '$$' }),
      task({ id: 'c', frameworkId: 'F2' }),
      task({ id: 'd', agentId: 'gone' }),
    ],
    {
      frameworks: new Map([
        ['F1', FRAMEWORK],
        ['F2', odd],
      ]),
    },
  )
  const records = recordsFromState(s, [], OPTIONS)
  t.ok(records.names.has('web.marathon.mesos'))
  t.strictSame(
    records.problems.map(problem => problem.subject),
    ['the cluster', 'b', 'c'],
  )
})

t.test('RFC 952 labels apply to every name', async t => {
  const got = linesOf(state([task({ name: '4abc123' })]), { enforceRfc952: true })
  t.ok(got.includes('abc123.marathon.mesos A 192.0.2.80'))
})

const odd = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 80 }),
  fc.string({ unit: fc.constantFrom('-', '.', 'a', 'Z', '_', '9', '/', ' '), maxLength: 300 }),
  fc.constantFrom('web', 'Web.Shop', 'leader', 'slave', '_tcp', '10.0.0.1'),
)

t.test('records of any state are valid names, whatever the state says', async t => {
  const json = fc.record({
    leader: fc.oneof(odd, fc.constant('master@203.0.113.1:5050')),
    slaves: fc.array(
      fc.record({
        id: odd,
        hostname: odd,
        pid: fc.oneof(odd, fc.constant('slave(1)@192.0.2.10:5051')),
      }),
      { maxLength: 3 },
    ),
    frameworks: fc.array(
      fc.record({
        id: odd,
        name: odd,
        pid: odd,
        hostname: odd,
        tasks: fc.array(
          fc.record({
            id: odd,
            name: odd,
            slave_id: odd,
            state: fc.constant('TASK_RUNNING'),
            resources: fc.record({
              ports: fc.oneof(odd, fc.constant('[1-3]'), fc.constant('[0-65535]')),
            }),
            discovery: fc.option(
              fc.record({
                name: odd,
                ports: fc.record({
                  ports: fc.array(fc.record({ number: fc.integer(), name: odd, protocol: odd }), {
                    maxLength: 3,
                  }),
                }),
              }),
              { nil: undefined },
            ),
            statuses: fc.array(
              fc.record({
                state: fc.constant('TASK_RUNNING'),
                timestamp: fc.double(),
                container_status: fc.anything(),
                labels: fc.anything(),
              }),
              { maxLength: 2 },
            ),
          }),
          { maxLength: 3 },
        ),
      }),
      { maxLength: 3 },
    ),
  })
  fc.assert(
    fc.property(json, of => {
      const agents = of.slaves.map(slave => slave.id)
      // most random ids would match no agent, and an agent without tasks has few names
      for (const framework of of.frameworks)
        for (const one of framework.tasks) one.slave_id = agents[0] ?? one.slave_id
      const parsed = parseState(JSON.parse(JSON.stringify(of))).state
      for (const [name, records] of recordsFromState(parsed, ['x', ''], OPTIONS, host => [host])
        .names) {
        if (!isOwnerName(name)) t.fail(`${JSON.stringify(name)} is no name`)
        for (const srv of valuesOf(records.SRV)) {
          if (!isOwnerName(srv.replace(/^0 1 \d{1,5} /, '')))
            t.fail(`${JSON.stringify(srv)} is no target`)
        }
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('an update gives what a fresh start gives, and names every change', async t => {
  const label = fc.record({
    key: fc.constantFrom('MesosContainerizer.NetworkSettings.IPAddress', 'other'),
    value: fc.constantFrom('192.0.2.90', 'x'),
  })
  const port = fc.record({
    number: fc.constantFrom(0, 80),
    name: fc.constantFrom('', 'http'),
    protocol: fc.constantFrom('', 'tcp', 'udp'),
    labels: fc.constant([]),
  })
  const some = fc.record({
    id: fc.constantFrom('a', 'b', 'c', 'd'),
    name: fc.constantFrom('web', 'api'),
    state: fc.constantFrom('TASK_RUNNING', 'TASK_RUNNING', 'TASK_KILLING'),
    ips: fc.subarray(['192.0.2.80', '192.0.2.81', '2001:db8::1']),
    labels: fc.array(label, { maxLength: 2 }),
    ports: fc.subarray<readonly [number, number]>([
      [1, 2],
      [2, 2],
    ]),
    discovery: fc.option(
      fc.record({
        name: fc.constantFrom('', 'web', 'web.shop'),
        ports: fc.array(port, { maxLength: 2 }),
      }),
      { nil: undefined },
    ),
  })
  const step = fc.record({
    tasks: fc.array(some, { maxLength: 5 }),
    agent: fc.constantFrom('192.0.2.10', '192.0.2.11'),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 6 }), steps => {
      const records = new ZoneRecords(OPTIONS)
      for (const { tasks, agent } of steps) {
        const s = state(
          tasks.map(({ ips, labels, ...of }) => {
            const made = task(of, ips)
            return { ...made, running: { ...made.running!, labels } }
          }),
          {
            agents: new Map([
              ['cluster-S0', { id: 'cluster-S0', hostname: agent, pid: '', active: true }],
            ]),
          },
        )
        const before = lines(records)
        const changed = records.update(s)
        const after = lines(records)
        const fresh = lines(recordsFromState(s, [], OPTIONS))
        if (after.join() !== fresh.join()) t.strictSame(after, fresh)
        const differ = [
          ...before.filter(line => !after.includes(line)),
          ...after.filter(line => !before.includes(line)),
        ]
        for (const line of differ)
          if (!changed.has(line.slice(0, line.indexOf(' ')))) t.fail(`${line} changed unsaid`)
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
})

t.test('an update with nothing new changes nothing', async t => {
  const records = new ZoneRecords(OPTIONS)
  t.not(records.update(recorded, MASTERS).size, 0)
  t.equal(records.update(recorded, MASTERS).size, 0)
  const again = parseState(data('mesos-master-state.json')).state
  t.equal(records.update(again, MASTERS).size, 0, 'nor does the same state loaded again')
})

t.test('a zone whose cluster is gone has no names left but the server and its masters', async t => {
  const records = recordsFromState(recorded, MASTERS, OPTIONS)
  const names = records.names.size
  t.equal(records.update(emptyState).size, names - 1, 'every name but one is told to have changed')
  t.strictSame([...records.names.keys()], ['ns1.mesos'])
})

t.test('following the touched tasks gives what looking at all of them gives', async t => {
  const ids = fc.constantFrom('a', 'b', 'c')
  const anyEvent: fc.Arbitrary<MesosEvent> = fc.oneof(
    fc
      .record({
        id: ids,
        name: fc.constantFrom('web', 'api'),
        state: fc.constantFrom('TASK_RUNNING', 'TASK_RUNNING', 'TASK_KILLING', 'TASK_FAILED'),
        frameworkId: fc.constantFrom('F1', 'F2'),
        agentId: fc.constantFrom('cluster-S0', 'cluster-S1'),
      })
      .map(of => ({ type: 'task' as const, task: task(of, ['192.0.2.80']) })),
    fc
      .record({ id: fc.constantFrom('F1', 'F2'), name: fc.constantFrom('marathon', 'other') })
      .map(of => ({ type: 'framework' as const, framework: { ...FRAMEWORK, ...of } })),
    fc
      .constantFrom('F1', 'F2')
      .map(frameworkId => ({ type: 'frameworkRemoved' as const, frameworkId })),
    fc
      .record({
        id: fc.constantFrom('cluster-S0', 'cluster-S1'),
        hostname: fc.constantFrom('192.0.2.10', '192.0.2.11'),
      })
      .map(of => ({ type: 'agent' as const, agent: { ...of, pid: '', active: true } })),
    fc
      .constantFrom('cluster-S0', 'cluster-S1')
      .map(agentId => ({ type: 'agentRemoved' as const, agentId })),
  )
  fc.assert(
    fc.property(fc.array(fc.array(anyEvent, { maxLength: 4 }), { maxLength: 8 }), batches => {
      const records = new ZoneRecords(OPTIONS)
      const zone = new Map<string, string>()
      let known: Known = { state: state([]), recovered: new Set() }
      records.follow(known.state, [], () => [])
      for (const [i, batch] of batches.entries()) {
        const after = reduce(known, batch)
        known = after
        const masters = i % 3 === 2 ? ['192.0.2.1:5050'] : []
        records.follow(after.state, masters, () => [], after.changed.tasks)
        for (const owner of records.take()) {
          if (owner.listed) zone.set(owner.name, owner.name)
          else zone.delete(owner.name)
        }
        const fresh = recordsFromState(after.state, masters, OPTIONS)
        if (lines(records).join() !== lines(fresh).join())
          t.strictSame(lines(records), lines(fresh))
        if ([...zone.keys()].sort().join() !== [...fresh.names.keys()].sort().join())
          t.strictSame(
            [...zone.keys()].sort(),
            [...fresh.names.keys()].sort(),
            'every change is told',
          )
      }
    }),
    { numRuns: 300 },
  )
  t.pass()
})
