import { fc } from '../../fixture/property.ts'
import { readFileSync } from 'node:fs'
import t from 'tap'
import {
  agentInfoFromJson,
  agentStateFromJson,
  agentTasksFromJson,
  messageFromJson,
} from '../../../src/mesos/api/operator-api.ts'
import { agentHost, pidEndpoint, taskKey } from '../../../src/mesos/api/model.ts'
import { framed, RecordReader } from '../../../src/mesos/api/recordio.ts'
import { parseState } from '../../../src/mesos/api/state.ts'
import { taskFromJson } from '../../../src/mesos/api/task-json.ts'
import type { Sink } from '../../../src/mesos/dcos-names/owners.ts'
import { NameBook } from '../../../src/mesos/dcos-names/task-names.ts'
import {
  agentAddress,
  masterRecords,
  taskRecords,
} from '../../../src/mesos/dcos-names/task-records.ts'
import { TaskZone } from '../../../src/mesos/dcos-names/task-zone.ts'
import { isName } from '../../../src/boundary/zone.ts'
import {
  added,
  agentJson,
  agentState,
  masterState,
  subscribed,
  taskJson,
} from '../../fixture/mesos.ts'

const recorded = (): Record<string, unknown> =>
  JSON.parse(
    readFileSync(
      new URL('../../fixture-data/mesos-dns/mesos-master-state.json', import.meta.url),
      'utf8',
    ),
  ) as Record<string, unknown>

t.test('a recorded state is read whole', async t => {
  const { state, self, bad, recovered } = parseState(recorded())
  t.equal(self, '127.0.1.1:5050')
  t.equal(state.leader, '127.0.1.1:5050')
  t.same(
    [state.agents.size, state.frameworks.size, state.tasks.size, bad, recovered.size],
    [3, 2, 49, 0, 0],
  )
  const task = [...state.tasks.values()].find(one => one.name === 'six')
  t.match(task, {
    state: 'TASK_RUNNING',
    containerType: 'MESOS',
    ports: [[20300, 20300]],
    hasHealthCheck: false,
    running: {
      addresses: ['9.0.3.150', 'fd01:b::3:8000:2'],
      timestamp: 1700000007.25,
      healthy: undefined,
    },
  })
  const web = [...state.tasks.values()].find(one => one.name === 'web.shop')
  t.same(web?.discovery, {
    name: 'web.shop',
    ports: [
      {
        number: 8080,
        name: 'http',
        protocol: 'tcp',
        labels: [{ key: 'VIP_0', value: '/shop:80' }],
      },
      { number: 8125, name: 'metrics', protocol: 'udp', labels: [] },
    ],
  })
})

t.test('one bad item costs itself', async t => {
  const json = recorded() as { frameworks: { pid: unknown; tasks: unknown[] }[]; slaves: unknown[] }
  json.frameworks[0]!.pid = '' // Mesos-DNS refuses the whole state in this case (#151)
  json.frameworks[0]!.tasks.push(null, 'task', {}, { id: 'x' }, { id: 7, slave_id: 'S', name: 'n' })
  json.frameworks.push(null as never, { id: 5 } as never)
  json.slaves.push(7, {}, { id: '' })
  const { state, bad } = parseState(json)
  t.same([state.agents.size, state.frameworks.size, state.tasks.size, bad], [3, 2, 49, 10])
})

t.test('what is no state is refused', async t => {
  for (const json of [null, [], 'x', {}, { frameworks: [] }, { frameworks: {}, slaves: [] }]) {
    t.throws(() => parseState(json), { code: 'EDATA' })
  }
})

t.test('both dialects of a task say the same', async t => {
  const spec = {
    id: 'web.1',
    ips: ['9.0.0.1', 'FD01:B::1', 'nonsense'],
    healthy: true,
    healthCheck: true,
    labels: { a: 'b' },
    mappings: [[31000, 80]] as const,
    resourcePorts: [
      [31000, 31001],
      [31005, 31005],
    ] as const,
    ports: [{ number: 80, name: 'http', protocol: 'tcp', labels: { VIP_0: '/web:80' } }],
  }
  const api = taskFromJson(taskJson(spec))
  const { state } = parseState(masterState({ tasks: [spec] }, '192.0.2.1:5050'))
  t.same(state.tasks.get(taskKey('F0', 'web.1')), api)
  t.match(api, {
    ports: [
      [31000, 31001],
      [31005, 31005],
    ],
    portMappings: [{ hostPort: 31000, containerPort: 80, protocol: 'tcp' }],
    hasHealthCheck: true,
    labels: [{ key: 'a', value: 'b' }],
    running: { healthy: true, addresses: ['9.0.0.1', 'fd01:b::1'] },
  })
})

t.test('the oldest form of an address and the container’s mappings are read', async t => {
  const task = taskFromJson({
    id: 't',
    framework_id: 'F',
    slave_id: 'S',
    container: {
      type: 'DOCKER',
      docker: {
        port_mappings: [
          { host_port: 1, container_port: 2 },
          { host_port: 70000, container_port: 2 },
        ],
      },
      network_infos: [{ port_mappings: [{ host_port: 3, container_port: 4, protocol: 'UDP' }] }],
    },
    statuses: [
      {
        state: 'TASK_RUNNING',
        timestamp: 2,
        container_status: { network_infos: [{ ip_address: '9.0.0.2' }] },
      },
      {
        state: 'TASK_RUNNING',
        timestamp: 1,
        container_status: { network_infos: [{ ip_address: '9.0.0.1' }] },
      },
    ],
  })
  t.same(task?.running?.addresses, ['9.0.0.2'], 'the newest status counts')
  t.same(task?.portMappings, [
    { hostPort: 1, containerPort: 2, protocol: 'tcp' },
    { hostPort: 3, containerPort: 4, protocol: 'udp' },
  ])
})

t.test('a PID gives its endpoint', async t => {
  for (const [pid, endpoint] of [
    ['slave(1)@192.0.2.1:5051', { host: '192.0.2.1', port: 5051 }],
    ['master@[2001:db8::1]:5050', { host: '2001:db8::1', port: 5050 }],
    ['192.0.2.1:5050', { host: '192.0.2.1', port: 5050 }],
    ['', undefined],
    ['x@', undefined],
    ['x@host', undefined],
    ['x@host:0', undefined],
    ['x@host:99999', undefined],
  ] as const) {
    t.same(pidEndpoint(pid), endpoint, pid)
  }
  t.equal(
    agentHost({ id: 'S', hostname: 'agent.example.org', pid: '', active: true }),
    'agent.example.org',
  )
})

t.test('the stream’s messages are told apart', async t => {
  const kind = (json: unknown): string => messageFromJson(json, 'l:1').kind
  t.equal(kind({ type: 'HEARTBEAT' }), 'heartbeat')
  t.equal(kind({ type: 'MAINTENANCE_SOMETHING' }), 'other')
  for (const bad of [
    null,
    [],
    {},
    'x',
    { type: 'TASK_ADDED' },
    { type: 'SUBSCRIBED' },
    { type: 'AGENT_REMOVED', agent_removed: 7 },
  ]) {
    t.equal(kind(bad), 'bad', JSON.stringify(bad))
  }
  const first = messageFromJson(subscribed({ tasks: [{ id: 'a' }], recovered: ['A-S9'] }, 3), 'l:1')
  t.match(first, {
    kind: 'event',
    heartbeatMs: 3_000,
    bad: 0,
    event: { type: 'load', state: { leader: 'l:1' } },
  })
  t.match(
    messageFromJson(subscribed({}, 0.001), 'l:1'),
    { heartbeatMs: 15_000 },
    'a senseless interval is not believed',
  )
  t.match(messageFromJson(added({ id: 'a' }), 'l:1'), {
    event: { type: 'task', task: { id: 'a', name: 'web' } },
  })
})

t.test('an agent’s answers are read, and anything else refused', async t => {
  const { state, bad } = agentStateFromJson(agentState({ tasks: [{ id: 'a' }, { id: 'b' }] }))
  t.same([state.tasks.size, state.frameworks.size, bad], [2, 1, 0])
  t.equal(agentTasksFromJson({ get_tasks: { launched_tasks: [taskJson({ id: 'a' }), 7] } }).bad, 1)
  t.match(agentInfoFromJson({ type: 'GET_AGENT', get_agent: agentJson('S0', '192.0.2.7') }), {
    hostname: '192.0.2.7',
  })
  t.throws(() => agentStateFromJson({ get_state: {} }), { code: 'EDATA' })
  t.throws(() => agentTasksFromJson([]), { code: 'EDATA' })
  t.throws(() => agentInfoFromJson({ get_agent: {} }), { code: 'EDATA' })
})

t.test('RecordIO is read however it is cut', async () => {
  const texts = ['{"a":1}', '', 'ü'.repeat(50), 'x'.repeat(70_000)]
  const whole = Buffer.from(texts.map(framed).join(''))
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 40_000 }), { maxLength: 20 }), sizes => {
      const reader = new RecordReader()
      const out: string[] = []
      let at = 0
      for (const size of [...sizes, whole.length]) {
        for (const record of reader.push(whole.subarray(at, at + size))) out.push(record.toString())
        at = Math.min(whole.length, at + size)
      }
      return out.length === texts.length && out.every((text, i) => text === texts[i])
    }),
    { numRuns: 50 },
  )
})

t.test('RecordIO that is none, or too long, is refused', async t => {
  for (const text of ['x', '\n', '12x\n', '99999999999\n', '-1\n', '101\n']) {
    t.throws(
      () => new RecordReader(100).push(Buffer.from(text)),
      { code: 'EDATA' },
      JSON.stringify(text),
    )
  }
})

/** Mesos-like JSON with arbitrary values in any place. */
const odd = fc.oneof(
  { weight: 4, arbitrary: fc.string({ maxLength: 80, unit: 'binary' }) },
  fc.jsonValue({ maxDepth: 2 }),
  fc.integer(),
  fc.constantFrom('TASK_RUNNING', '192.0.2.1', '2001:db8::1', '', null, undefined),
)
const port = fc.record(
  {
    number: fc.oneof(fc.integer({ min: 0, max: 70_000 }), odd),
    name: odd,
    protocol: fc.oneof(fc.constantFrom('tcp', 'udp', 'udp,tcp', ''), odd),
    labels: odd,
  },
  { requiredKeys: [] },
)
const anyTask = fc.record(
  {
    id: odd,
    name: odd,
    slave_id: fc.constantFrom('S-1', 'S-2'),
    state: fc.constantFrom('TASK_RUNNING', 'TASK_KILLING', 7),
    discovery: fc.oneof(
      odd,
      fc.record({ name: odd, ports: fc.record({ ports: fc.array(port, { maxLength: 3 }) }) }),
    ),
    container: fc.oneof(
      odd,
      fc.record({
        type: odd,
        docker: fc.record({
          port_mappings: fc.array(
            fc.record({
              host_port: fc.integer(),
              container_port: fc.integer({ min: 0, max: 99_999 }),
              protocol: odd,
            }),
          ),
        }),
      }),
    ),
    resources: odd,
    labels: odd,
    statuses: fc.oneof(
      odd,
      fc.array(
        fc.record({
          state: fc.constantFrom('TASK_RUNNING', 'TASK_STAGING'),
          timestamp: odd,
          container_status: fc.record({
            network_infos: fc.array(
              fc.record({ ip_addresses: fc.array(fc.record({ ip_address: odd })) }),
            ),
          }),
        }),
        { maxLength: 3 },
      ),
    ),
  },
  { requiredKeys: ['slave_id', 'state'] },
)
const anyState = fc.record({
  leader: odd,
  pid: odd,
  recovered_slaves: odd,
  slaves: fc.array(
    fc.oneof(odd, fc.record({ id: fc.constantFrom('S-1', 'S-2'), hostname: odd, pid: odd })),
    { maxLength: 4 },
  ),
  frameworks: fc.array(
    fc.oneof(
      odd,
      fc.record({
        id: fc.constantFrom('F-1', 'F-2'),
        name: odd,
        tasks: fc.array(anyTask, { maxLength: 4 }),
      }),
    ),
    { maxLength: 3 },
  ),
})

t.test('no state makes the reader throw or gives an invalid name', async () => {
  const apex = 'dcos.thisdcos.directory'
  fc.assert(
    fc.property(anyState, json => {
      const { state } = parseState(json)
      const book = new NameBook(apex)
      let good = true
      const sink: Sink = ({ name }, type, data) => {
        if (!isName(name) || !name.endsWith(`.${apex}`)) good = false
        const target = data.split(' ')[3] ?? ''
        if (type === 'SRV' ? !isName(target) : !/^[0-9a-f.:]+$/.test(data)) good = false
      }
      for (const task of state.tasks.values()) {
        const framework = state.frameworks.get(task.frameworkId)
        const agent = state.agents.get(task.agentId)
        if (framework && agent) taskRecords(task, framework.name, agentAddress(agent), book, sink)
      }
      masterRecords(state.leader, ['192.0.2.1', 'x', ''], apex, sink)
      const zone = new TaskZone(apex, 5)
      const none: ReadonlySet<string> = new Set()
      zone.update(state, { all: true, tasks: none, frameworks: none, agents: none }, false)
      for (const name of zone.zone().keys()) if (!isName(name)) good = false
      return good
    }),
    { numRuns: 400 },
  )
  fc.assert(
    fc.property(
      fc.constantFrom(
        'TASK_ADDED',
        'TASK_UPDATED',
        'SUBSCRIBED',
        'AGENT_ADDED',
        'FRAMEWORK_ADDED',
        'FRAMEWORK_REMOVED',
      ),
      fc.jsonValue(),
      (type, body) => {
        const key = type.toLowerCase()
        messageFromJson({ type, [key]: body }, '192.0.2.1:5050')
        messageFromJson(body, '')
        return true
      },
    ),
    { numRuns: 200 },
  )
})
