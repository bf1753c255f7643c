import t from 'tap'
import type { Owner as OwnerData } from '../../../src/boundary/messages.ts'
import {
  holdAfterEvents,
  holdAfterLoad,
  holdEnd,
  missingAgents,
  RECOVERY_MS,
  SETTLE_MS,
} from '../../../src/mesos/api/hold.ts'
import { Itinerary, type Outcome } from '../../../src/mesos/api/itinerary.ts'
import { emptyState, taskKey, type MesosState } from '../../../src/mesos/api/model.ts'
import { messageFromJson, type MesosEvent } from '../../../src/mesos/api/operator-api.ts'
import { Pace } from '../../../src/base/pace.ts'
import { reduce, type Known } from '../../../src/mesos/api/reducer.ts'
import { Owner, Owners } from '../../../src/mesos/dcos-names/owners.ts'
import { keptValues, Many, valuesOf } from '../../../src/mesos/dcos-names/tally.ts'
import { NameBook } from '../../../src/mesos/dcos-names/task-names.ts'
import { TaskZone } from '../../../src/mesos/dcos-names/task-zone.ts'
import {
  added,
  agentAdded,
  agentJson,
  frameworkJson,
  subscribed,
  updated,
  type Cluster,
  type TaskSpec,
} from '../../fixture/mesos.ts'

const APEX = 'dcos.thisdcos.directory'
const nothing: Known = { state: emptyState, recovered: new Set() }

const event = (json: object): MesosEvent => {
  const message = messageFromJson(json, '192.0.2.1:5050')
  if (message.kind !== 'event') throw new Error(`no event: ${JSON.stringify(json)}`)
  return message.event
}

const load = (cluster: Cluster): MesosEvent => event(subscribed(cluster))

/** The zone of a cluster as lines 'name type data' without the apex. */
const lines = (owners: Iterable<OwnerData>): string[] =>
  [...owners]
    .flatMap(([name, rrsets]) =>
      rrsets.flatMap(({ type, data }) =>
        data.map(d => `${name} ${type} ${d}`.replaceAll(`.${APEX}`, '')),
      ),
    )
    .sort()

const zoneOf = (cluster: Cluster): string[] => {
  const zone = new TaskZone(APEX, 5)
  const { state, changed } = reduce(nothing, [load(cluster)])
  zone.update(state, changed, false)
  return lines(zone.zone())
}

t.test('a task is named by agent, container and what serves best', async t => {
  const agent = '192.0.2.10'
  const cases: [string, Partial<TaskSpec>, string[], string[], string[]][] = [
    ['on the host’s network', { ips: [agent] }, [agent], [agent], [agent]],
    ['without addresses', { ips: [] }, [agent], [], [agent]],
    [
      'bridged with a mapping',
      { ips: ['172.18.0.2'], mappings: [[31000, 80]] },
      [agent],
      ['172.18.0.2'],
      [agent],
    ],
    ['on an overlay', { ips: ['9.0.1.2'] }, [agent], ['9.0.1.2'], ['9.0.1.2']],
    [
      'on an overlay with a mapping',
      { ips: ['9.0.1.2'], mappings: [[31000, 80]] },
      [agent],
      ['9.0.1.2'],
      [agent],
    ],
    [
      'with both families',
      { ips: ['9.0.1.2', 'fd01:b::2'] },
      [agent],
      ['9.0.1.2', 'fd01:b::2'],
      ['9.0.1.2', 'fd01:b::2'],
    ],
  ]
  for (const [what, spec, agentip, containerip, autoip] of cases) {
    const of = (kind: string, ips: string[]): string[] =>
      ips.map(ip => `web.marathon.${kind} ${ip.includes(':') ? 'AAAA' : 'A'} ${ip}`)
    const expected = [
      ...of('agentip', agentip),
      ...of('containerip', containerip),
      ...of('autoip', autoip),
    ].sort()
    t.same(zoneOf({ tasks: [{ id: 'web.1', ...spec }] }), expected, what)
  }
})

t.test('a name is one label, by the originals’ rules', async t => {
  const names = (spec: Partial<TaskSpec>, framework = 'marathon'): string[] =>
    zoneOf({ tasks: [{ id: 't', ips: [], ...spec }], frameworks: { F0: framework } }).map(
      l => l.split(' ')[0] ?? '',
    )
  t.same(names({ name: 'myapp.mygroup' }), [
    'myapp-mygroup.marathon.agentip',
    'myapp-mygroup.marathon.autoip',
  ])
  t.same(
    names({ name: 'fd%gsf---gs7-f$gs--d7fddg-123' })[0],
    'fdgsf---gs7-fgs--d7fddg-123.marathon.agentip',
  )
  t.same(names({ name: '-4abc123', discoveryName: '' })[0], '4abc123.marathon.agentip')
  t.same(
    names({ name: 'a', discoveryName: 'B' })[0],
    'b.marathon.agentip',
    'the discovery name goes first',
  )
  t.same(names({ name: 'x' }, 'My.Framework')[0], 'x.my-framework.agentip')
  t.same(names({ name: '##' }), [], 'nothing is left of the name')
  t.same(names({ name: 'x' }, '##'), [], 'nothing is left of the framework’s name')
})

t.test('a task that does not run, or belongs nowhere, has no name', async t => {
  for (const state of [
    'TASK_STAGING',
    'TASK_STARTING',
    'TASK_KILLING',
    'TASK_UNREACHABLE',
    'TASK_FAILED',
  ]) {
    t.same(zoneOf({ tasks: [{ id: 'web.1', state }] }), [], state)
  }
  t.same(zoneOf({ tasks: [{ id: 'web.1', agent: 'A-S7' }] }), [], 'its agent is not known')
  t.same(zoneOf({ tasks: [{ id: 'web.1', framework: 'F7' }] }), [], 'its framework is not known')
})

t.test('ports have SRV records, each with a target of its own', async t => {
  const tasks: TaskSpec[] = [
    {
      id: 'web.1',
      ips: ['172.18.0.2'],
      mappings: [[31000, 8080]],
      ports: [{ number: 8080, name: 'http', protocol: 'tcp' }],
    },
    {
      id: 'web.2',
      ips: ['172.18.0.2'],
      agent: 'A-S1',
      mappings: [[31007, 8080]],
      ports: [{ number: 8080, name: 'http', protocol: 'tcp' }],
    },
  ]
  const srv = zoneOf({ tasks, agents: { 'A-S0': '192.0.2.10', 'A-S1': '192.0.2.11' } }).filter(l =>
    l.includes(' SRV '),
  )
  const [one, two] = ['web-zcwku-s0', 'web-4qkdg-s1'].map((_, i) => {
    const line = srv.find(l => l.includes(`autoip SRV 0 1 ${i === 0 ? 31000 : 31007} `)) ?? ''
    return line.split(' ').pop()?.split('.')[0]
  })
  t.match(one, /^web-[a-z0-9]{5}-s0$/)
  t.match(two, /^web-[a-z0-9]{5}-s1$/)
  const expected = ['_http._web._tcp.marathon', '_web._tcp.marathon'].flatMap(owner => [
    `${owner}.agentip SRV 0 1 31000 ${one}.marathon.agentip`,
    `${owner}.agentip SRV 0 1 31007 ${two}.marathon.agentip`,
    `${owner}.autoip SRV 0 1 31000 ${one}.marathon.autoip`,
    `${owner}.autoip SRV 0 1 31007 ${two}.marathon.autoip`,
    `${owner}.containerip SRV 0 1 8080 ${one}.marathon.containerip`,
    `${owner}.containerip SRV 0 1 8080 ${two}.marathon.containerip`,
  ])
  t.same(srv, expected.sort())
})

t.test('a port is the one the named address has', async t => {
  const ports = (spec: Partial<TaskSpec>): string[] =>
    zoneOf({ tasks: [{ id: 'web.1', ...spec }] })
      .filter(l => l.startsWith('_web.'))
      .map(l => l.replace(/^_web\._|\.marathon|SRV 0 1 | web-.*$/g, ''))
  const hostScope = { 'network-scope': 'host' }
  t.same(
    ports({ ips: ['192.0.2.10'], ports: [{ number: 31000, protocol: 'tcp' }] }),
    ['tcp.agentip 31000', 'tcp.autoip 31000', 'tcp.containerip 31000'],
    'host network',
  )
  t.same(
    ports({ ips: ['9.0.0.2'], ports: [{ number: 80, protocol: 'tcp' }] }),
    ['tcp.autoip 80', 'tcp.containerip 80'],
    'the agent does not have an overlay’s port',
  )
  t.same(
    ports({
      ips: ['172.18.0.2'],
      mappings: [[31000, 80]],
      ports: [{ number: 31000, protocol: 'tcp', labels: hostScope }],
    }),
    ['tcp.agentip 31000', 'tcp.autoip 31000', 'tcp.containerip 80'],
    'a number of scope host',
  )
  t.same(ports({ ips: ['9.0.0.2'], ports: [{ number: 53, protocol: 'udp,tcp' }] }), [
    'tcp.autoip 53',
    'tcp.containerip 53',
    'udp.autoip 53',
    'udp.containerip 53',
  ])
  t.same(
    ports({
      ips: ['9.0.0.2'],
      ports: [
        { number: 0, protocol: 'tcp' },
        { number: 7, protocol: 'sctp' },
      ],
    }),
    [],
  )
})

t.test('masters and the leader have names', async t => {
  const zone = new TaskZone(APEX, 5)
  zone.masters({ ...emptyState, leader: '192.0.2.2:5050' }, [
    '192.0.2.1',
    '192.0.2.2',
    'fd01::3',
    'nonsense',
  ])
  t.same(lines(zone.zone()), [
    'leader A 192.0.2.2',
    'master A 192.0.2.1',
    'master A 192.0.2.2',
    'master AAAA fd01::3',
  ])
})

/** Applies events to the zone, as the source does. */
class Follower {
  known: Known = nothing
  readonly zone = new TaskZone(APEX, 5)

  take(...events: MesosEvent[]): { set: string[]; drop: string[] } {
    const { state, recovered, changed } = reduce(this.known, events)
    this.known = { state, recovered }
    this.zone.update(state, changed, false)
    const { set, drop } = this.zone.take()
    return { set: lines(set), drop: drop.map(name => name.replace(`.${APEX}`, '')).sort() }
  }
}

t.test('an event changes the names of its task and no others', async t => {
  const follower = new Follower()
  const many = Array.from({ length: 50 }, (_, i) => ({
    id: `other.${i}`,
    name: `other-${i}`,
    ips: ['9.0.0.9'],
  }))
  follower.take(load({ tasks: many }))
  const staging = { id: 'web.1', state: 'TASK_STAGING', ips: ['9.0.0.1'] }
  t.same(follower.take(event(added(staging))), { set: [], drop: [] })
  const up = [
    'web.marathon.agentip A 192.0.2.10',
    'web.marathon.autoip A 9.0.0.1',
    'web.marathon.containerip A 9.0.0.1',
  ]
  t.same(follower.take(event(updated({ ...staging, state: 'TASK_RUNNING' }))), {
    set: up,
    drop: [],
  })
  t.same(
    follower.take(event(updated({ ...staging, state: 'TASK_RUNNING', healthy: false }))),
    { set: [], drop: [] },
    'health changes no name',
  )
  const gone = ['web.marathon.agentip', 'web.marathon.autoip', 'web.marathon.containerip']
  t.same(follower.take(event(updated({ ...staging, state: 'TASK_KILLING' }))), {
    set: [],
    drop: gone,
  })
  t.same(follower.take(event(updated({ ...staging, state: 'TASK_KILLED' }))), { set: [], drop: [] })
  t.equal(
    follower.known.state.tasks.has(taskKey('F0', 'web.1')),
    false,
    'an ended task is forgotten',
  )
})

t.test('namesakes share a name until the last of them goes', async t => {
  const follower = new Follower()
  const web = (n: number): TaskSpec => ({ id: `web.${n}`, ips: [`9.0.0.${n}`] })
  follower.take(load({ tasks: [web(1), web(2)] }))
  t.same(
    follower.take(event(updated({ ...web(2), state: 'TASK_FAILED' }))).set,
    ['web.marathon.autoip A 9.0.0.1', 'web.marathon.containerip A 9.0.0.1'],
    'agentip is the other’s as well',
  )
  t.same(follower.take(event(updated({ ...web(1), state: 'TASK_FAILED' }))).drop.length, 3)
})

t.test('what many say goes with the last of them, whichever said it first', async t => {
  const owners = new Owners()
  const said = new Map<string, readonly string[]>()
  const say = (who: string, ...ips: string[]): void => {
    for (const ip of ips) owners.add(new Owner('web'), 'A', ip)
    for (const ip of said.get(who) ?? []) owners.remove(new Owner('web'), 'A', ip)
    said.set(who, ips)
  }
  const now = (): string[] =>
    owners.take().flatMap(owner => [...valuesOf(owner.A)].sort().map(ip => `web A ${ip}`))
  say('1', '9.0.0.1', '9.0.0.1')
  say('2', '9.0.0.2')
  say('3', '9.0.0.2')
  t.same(now(), ['web A 9.0.0.1', 'web A 9.0.0.2'])
  say('2')
  t.same(now(), [])
  say('1')
  t.same(now(), ['web A 9.0.0.2'])
  say('4', '9.0.0.4')
  say('3', '9.0.0.3')
  t.same(now(), ['web A 9.0.0.3', 'web A 9.0.0.4'])
  say('3')
  say('4')
  const gone = owners.take()
  t.same(
    gone.map(({ name, listed }) => [name, listed]),
    [['web', false]],
  )
  t.equal(owners.names.size, 0)
})

t.test('a name that goes and comes back as another object is one name', async t => {
  const owners = new Owners()
  const [first, second] = [new Owner('web'), new Owner('web')]
  owners.add(first, 'A', '9.0.0.1')
  owners.add(second, 'A', '9.0.0.2')
  t.same(valuesOf(first.A), ['9.0.0.1', '9.0.0.2'], 'both stand for one')
  owners.take()
  owners.remove(second, 'A', '9.0.0.1')
  owners.remove(second, 'A', '9.0.0.2')
  owners.add(second, 'A', '9.0.0.3')
  t.same(
    owners.take().map(owner => valuesOf(owner.A)),
    [['9.0.0.3']],
  )
  owners.add(first, 'AAAA', '2001:db8::1')
  t.same(valuesOf(owners.names.get('web')?.AAAA), ['2001:db8::1'])
})

t.test('a set that was given away stays as it was', async t => {
  t.same(keptValues('a'), ['a'])
  const tally = new Many('a')
  const given = tally.keep()
  t.ok(tally.add('b'))
  t.notOk(tally.add('a'), 'there already')
  t.same(given, ['a'])
  const both = tally.keep()
  t.notOk(tally.remove('a'), 'one more says so')
  t.ok(tally.remove('a'))
  t.notOk(tally.remove('a'))
  t.same(both, ['a', 'b'])
  t.same(tally.values, ['b'])
})

t.test('a large set finds its elements as a small one does', async t => {
  const tally = new Many('0')
  for (let i = 1; i < 100; i++) t.ok(tally.add(String(i)))
  t.notOk(tally.add('50'))
  t.notOk(tally.remove('50'))
  for (let i = 0; i < 99; i++) t.ok(tally.remove(String(i)))
  t.same(tally.values, ['99'])
})

t.test('remembered names are bounded and the same each time', async t => {
  const book = new NameBook(APEX)
  const first = book.names('marathon', 'web')
  t.equal(book.names('marathon', 'web'), first)
  for (let i = 0; i < 20_001; i++) book.names('marathon', `n${i}`)
  t.not(book.names('marathon', 'web'), first)
  t.same(book.names('marathon', 'web'), first)
  const long = 'x'.repeat(63)
  const services = book.services(book.names('marathon', long), 'http', 'tcp')
  t.same(services.autoip, [], 'a label of 63 octets has no room for an underscore')
  t.same(
    book.services(first, long, 'tcp').autoip.map(({ name }) => name),
    [`_web._tcp.marathon.autoip.${APEX}`],
  )
})

t.test('a task waits for its framework and its agent', async t => {
  const follower = new Follower()
  follower.take(load({ frameworks: {}, agents: {} }))
  t.same(follower.take(event(added({ id: 'web.1', ips: ['9.0.0.1'] }))).set, [])
  t.same(
    follower.take(
      event({
        type: 'FRAMEWORK_ADDED',
        framework_added: { framework: frameworkJson('F0', 'marathon') },
      }),
    ).set,
    [],
  )
  t.equal(follower.take(event(agentAdded('A-S0', '192.0.2.10'))).set.length, 3)
  t.same(
    follower.take(
      event({
        type: 'FRAMEWORK_UPDATED',
        framework_updated: { framework: frameworkJson('F0', 'marathon') },
      }),
    ),
    { set: [], drop: [] },
  )
  t.equal(
    follower.take(
      event({
        type: 'FRAMEWORK_UPDATED',
        framework_updated: { framework: frameworkJson('F0', 'metronome') },
      }),
    ).set.length,
    3,
    'a new name renames the tasks',
  )
  t.equal(
    follower.take(event({ type: 'AGENT_REMOVED', agent_removed: { agent_id: { value: 'A-S0' } } }))
      .drop.length,
    3,
  )
  t.equal(
    follower.take(
      event({ type: 'AGENT_ADDED', agent_added: { agent: agentJson('A-S0', '192.0.2.77') } }),
    ).set.length,
    3,
  )
  t.equal(
    follower.take(
      event({
        type: 'FRAMEWORK_REMOVED',
        framework_removed: { framework_info: { id: { value: 'F0' } } },
      }),
    ).drop.length,
    3,
  )
  t.equal(follower.known.state.tasks.size, 0)
})

t.test('the reducer leaves the old state as it was', async t => {
  const before = reduce(nothing, [load({ tasks: [{ id: 'web.1' }] })])
  const state: MesosState = before.state
  reduce(before, [
    event(updated({ id: 'web.1', state: 'TASK_FAILED' })),
    event(added({ id: 'web.2' })),
    event(agentAdded('A-S5', '192.0.2.5')),
  ])
  t.same([state.tasks.size, state.agents.size], [1, 1])
  t.equal(
    reduce(before, [event(updated({ id: 'unknown' }))]).state.tasks,
    state.tasks,
    'an event about nothing copies nothing',
  )
})

t.test('a status without addresses does not take them away', async t => {
  const follower = new Follower()
  follower.take(load({ tasks: [{ id: 'web.1', ips: ['9.0.0.1'] }] }))
  t.same(follower.take(event(updated({ id: 'web.1', ips: [], healthy: true }))), {
    set: [],
    drop: [],
  })
})

t.test('what a new leader does not know yet stays for the time of the hold', async t => {
  const zone = new TaskZone(APEX, 5)
  const task = (n: number): TaskSpec => ({ id: `t.${n}`, name: `t${n}`, ips: [] })
  let known = reduce(nothing, [load({ tasks: [task(1), task(2)] })])
  zone.update(known.state, known.changed, false)
  zone.take()
  known = reduce(known, [load({ tasks: [task(1)], recovered: ['A-S1'] })])
  zone.update(known.state, known.changed, true)
  t.same(zone.take(), { set: [], drop: [] })
  known = reduce(known, [event(added(task(3)))])
  zone.update(known.state, known.changed, true)
  t.equal(zone.take().set.length, 2, 'what is new is served meanwhile')
  zone.release()
  t.same(zone.take().drop, [`t2.marathon.agentip.${APEX}`, `t2.marathon.autoip.${APEX}`])
})

t.test('a hold ends when the agents are back and settled, or after ten minutes', async t => {
  t.equal(holdAfterLoad(new Set(), 0), undefined)
  const hold = holdAfterLoad(new Set(['a', 'b']), 1_000)
  if (!hold) return t.fail('no hold')
  t.equal(holdEnd(hold), 1_000 + RECOVERY_MS + SETTLE_MS)
  t.equal(holdEnd(holdAfterEvents(hold, new Set(['a']), 5_000)), holdEnd(hold))
  const settling = holdAfterEvents(hold, new Set(), 6_000)
  t.equal(holdEnd(settling), 6_000 + SETTLE_MS)
  t.equal(holdEnd(holdAfterEvents(settling, new Set(), 9_000)), 6_000 + SETTLE_MS)
  t.same([...missingAgents(new Set(['r']), new Map([['a', 1]]), new Map([['b', 1]]))], ['r'])
  t.same(
    [...missingAgents(new Set(), new Map([['a', 1]]), new Map())],
    ['a'],
    'a cluster without agents is not believed',
  )
})

t.test('the first change is published at once, the next ones together', async t => {
  const pace = new Pace(1_000)
  t.equal(pace.wait(5), 0)
  pace.done(5)
  t.equal(pace.wait(105), 900)
  t.equal(pace.wait(2_000), 0)
})

t.test('the masters are asked in turn, the leader they point to next', async t => {
  const [a, b] = ['http://192.0.2.1:5050', 'http://192.0.2.2:5050'] as const
  const travel = (follow: boolean, ...outcomes: Outcome[]): string[] => {
    const itinerary = new Itinerary({ masters: () => [a, b], follow, random: () => 1, pollMs: 7 })
    const step = ({ how, base, afterMs }: ReturnType<Itinerary['start']>): string =>
      `${how} ${base.at(-6)} ${afterMs}`
    return [step(itinerary.start()), ...outcomes.map(outcome => step(itinerary.next(outcome)))]
  }
  const failed: Outcome = { kind: 'failed', reached: false }
  const useless: Outcome = { kind: 'failed', reached: true }
  t.same(travel(true, failed, failed, failed, failed), [
    'stream 1 0',
    'stream 2 0',
    'stream 1 2000',
    'stream 2 0',
    'stream 1 4000',
  ])
  t.same(travel(true, { kind: 'redirect', base: b }, { kind: 'ended' }), [
    'stream 1 0',
    'stream 2 0',
    'stream 1 2000',
  ])
  const back = { kind: 'redirect', base: a } as const
  t.same(travel(true, back, back, back, back).at(-1), 'stream 1 2000', 'a loop of redirects waits')
  t.same(travel(true, { kind: 'redirect', base: '' }).at(-1), 'stream 1 2000', 'nobody leads')
  t.same(travel(false, { kind: 'redirect', base: b }, { kind: 'redirect', base: b }), [
    'stream 1 0',
    'stream 1 4000',
    'stream 1 4000',
  ])
  t.same(travel(true, { kind: 'unsupported' }, { kind: 'polled' }, failed), [
    'stream 1 0',
    'poll 1 0',
    'poll 1 7',
    'poll 2 0',
  ])
  t.same(
    travel(true, useless, useless, useless).at(-1),
    'poll 2 0',
    'three useless streams lead to polling',
  )
  const polls = Array.from({ length: 60 }, () => ({ kind: 'polled' }) as const)
  t.same(
    travel(true, { kind: 'unsupported' }, ...polls).at(-1),
    'stream 1 7',
    'streaming is tried again',
  )
  const none = new Itinerary({ masters: () => [], follow: true, random: () => 1 })
  t.same(none.start(), { how: 'stream', base: '', afterMs: 0 })
  t.same(none.next(failed), { how: 'stream', base: '', afterMs: 2_000 })
})
