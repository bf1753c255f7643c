/**
 * What a large cluster costs the main thread. Prints figures, asserts none.
 *
 *   TS_NODE_TRANSPILE_ONLY=1 node --import @tapjs/typescript/import scripts/bench/mesos.ts
 *   usage: mesos.ts [tasks] [agents]
 *
 * Times are the CPU time of the main thread where the system tells it (Linux),
 * so that a busy machine does not move them; single events are in wall time,
 * for the system counts in ticks of 4 ms.
 * Figures: reading a `/state`, reading SUBSCRIBED, a full rebuild of the task
 * zone and of the Mesos-DNS copy, one event to its patch, the messages to the
 * data thread and what each of them takes there, both zones from nothing with
 * their messages for both kinds of names, and VIPs. A running daemon is
 * measured by mesos-live.ts.
 *
 * A DiscoveryInfo name with dots (web.shop) is the dear kind: Mesos-DNS has it
 * as given beside web-shop.
 */
import { existsSync, readFileSync } from 'node:fs'
import { serialize } from 'node:v8'
import { growFreely, relax, tune } from '../../src/base/heap.ts'
import { unpack } from '../../src/boundary/shared-text.ts'
import type { ZoneMessage } from '../../src/boundary/messages.ts'
import { reduce } from '../../src/mesos/api/reducer.ts'
import { emptyState } from '../../src/mesos/api/model.ts'
import { messageFromJson, type MesosEvent } from '../../src/mesos/api/operator-api.ts'
import { mesosCopy } from '../../src/control/mesos/mesos-copy.ts'
import { parseState } from '../../src/mesos/api/state.ts'
import { inOneGo } from '../../src/mesos/dcos-names/steps.ts'
import { TaskZone } from '../../src/mesos/dcos-names/task-zone.ts'
import { VipMerge } from '../../src/vip/table.ts'
import { vipsOfState } from '../../src/vip/task-vips.ts'
import { servedVipZone } from '../../src/vip/zone.ts'
import { diffZones } from '../../src/control/zones/zone-diff.ts'
import { ZonePublisher } from '../../src/control/zones/zone-publisher.ts'
import { Zones } from '../../src/data/zones/zones.ts'
import {
  masterState,
  records,
  subscribed,
  updated,
  type Cluster,
  type TaskSpec,
} from '../../test/fixture/mesos.ts'

const TASKS = Number(process.argv[2] ?? 10_000)
const AGENTS = Number(process.argv[3] ?? 1_000)

const spec = (i: number, dot = '.'): TaskSpec => ({
  id: `service-${i % 800}.${i}-1000-11ed-4b8b-a100-02420a000001`,
  name: `service-${i % 800}${dot}group-${i % 40}`,
  agent: `A-S${i % AGENTS}`,
  ips: [`9.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`],
  healthy: true,
  resourcePorts: [[31_000 + (i % 500), 31_000 + (i % 500)]],
  ports: [
    { number: 8080, name: 'http', protocol: 'tcp', labels: { VIP_0: `/service-${i % 800}:80` } },
  ],
})
const clusterOf = (dot: string): Cluster => ({
  tasks: Array.from({ length: TASKS }, (_, i) => spec(i, dot)),
  agents: Object.fromEntries(
    Array.from({ length: AGENTS }, (_, i) => [`A-S${i}`, `10.${i >> 8}.${i & 255}.1`]),
  ),
})
const cluster = clusterOf('.')

const figure = (what: string, times: number[], note = ''): void => {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (q: number): string =>
    (sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0).toFixed(2)
  console.log(
    `${what.padEnd(46)} median ${at(0.5).padStart(8)} ms   worst ${at(1).padStart(8)} ms   ${note}`,
  )
}

const SCHEDSTAT = `/proc/self/task/${process.pid}/schedstat`
const clock: () => number = existsSync(SCHEDSTAT)
  ? () => Number(readFileSync(SCHEDSTAT, 'latin1').split(' ')[0]) / 1e6
  : () => performance.now()

const timed = <T>(run: () => T, now = clock): [number, T] => {
  const start = now()
  const result = run()
  return [now() - start, result]
}

const repeat = <T>(
  what: string,
  n: number,
  run: () => T,
  note: (result: T) => string = () => '',
): T => {
  const times: number[] = []
  let last: T | undefined
  for (let i = 0; i < n; i++) {
    const [ms, result] = timed(run, n < 20 ? clock : () => performance.now())
    times.push(ms)
    last = result
  }
  if (n < 20)
    console.log(
      `${`${what}, cold`.padEnd(46)}    first ${(times[0] ?? 0).toFixed(2).padStart(8)} ms`,
    )
  figure(what, times, note(last as T))
  return last as T
}

const event = (json: object): MesosEvent => {
  const message = messageFromJson(json, '10.0.0.5:5050')
  if (message.kind !== 'event') throw new Error('no event')
  return message.event
}

console.log(`${TASKS} tasks on ${AGENTS} agents, Node ${process.version}`)
const masters = (): string[] => ['10.0.0.5', '10.0.0.6', '10.0.0.7']

/** A buffer that receives the pieces like the data thread does, so that their memory is reused. */
const reader = Buffer.alloc(1 << 20)

/** Builds both zones with all messages to the data thread, `runs` times; returns the CPU time of each. */
const rebuilds = async (of: Cluster, runs: number): Promise<number[]> => {
  const { state: all, changed: by } = reduce({ state: emptyState, recovered: new Set() }, [
    event(subscribed(of)),
  ])
  const times: number[] = []
  for (let i = 0; i < runs; i++) {
    const start = clock()
    const asBefore = growFreely()
    const publisher = new ZonePublisher({
      send: message => {
        if (message.op === 'more') unpack(message.text, () => reader)
        else serialize(message)
      },
      now: Date.now,
      breathe: async () => {},
    })
    const zone = new TaskZone('dcos.thisdcos.directory', 5)
    zone.update(all, by, false)
    publisher.publish('dcos.thisdcos.directory', { kind: 'full', zone: zone.zone(), live: true })
    await publisher.settled()
    publisher.publish('mesos.thisdcos.directory', inOneGo(mesosCopy({ masters }).change(all, by)))
    await publisher.settled()
    asBefore()
    times.push(clock() - start)
  }
  return times
}
// the heap settings of a daemon that is READY
tune()
relax()
// measured first, while the heap contains little else to collect
for (const [kind, dot] of [
  ['dotted', '.'],
  ['plain', '-'],
] as const) {
  const [first = 0, ...times] = await rebuilds(clusterOf(dot), 12)
  figure(`both zones with messages, ${kind} names`, times, `the first ${first.toFixed(0)} ms`)
}

const state = JSON.stringify(masterState(cluster, '10.0.0.5:5050'))
repeat(
  '/state: JSON.parse',
  5,
  () => JSON.parse(state) as unknown,
  () => `${(state.length / 2 ** 20).toFixed(1)} MiB`,
)
const parsed = JSON.parse(state) as unknown
repeat(
  '/state: to the model',
  5,
  () => parseState(parsed),
  ({ state: s, bad }) => `${s.tasks.size} tasks, ${bad} bad`,
)
const first = subscribed(cluster)
const text = records(first)
repeat('SUBSCRIBED: JSON.parse and to the model', 5, () =>
  event(JSON.parse(text.slice(text.indexOf('\n') + 1)) as object),
)
const load = event(first)
const {
  state: known,
  changed,
  recovered,
} = reduce({ state: emptyState, recovered: new Set() }, [load])

const rebuilt = repeat(
  'full rebuild of dcos.thisdcos.directory',
  7,
  () => {
    const zone = new TaskZone('dcos.thisdcos.directory', 5)
    zone.update(known, changed, false)
    return { zone, map: zone.zone() }
  },
  ({ map }) => `${map.size} names`,
)
repeat(
  'reload of the same state into it',
  7,
  () => {
    rebuilt.zone.update(known, { ...changed, all: true }, false)
    return rebuilt.zone.take()
  },
  ({ set, drop }) => `${set.length + drop.length} names changed`,
)

let now = { state: known, recovered }
let n = 0
repeat(
  'one event: parse, reduce, patch',
  200,
  () => {
    const i = (n * 37) % TASKS
    const json = JSON.stringify(
      updated({ ...spec(i), state: n++ % 2 ? 'TASK_RUNNING' : 'TASK_KILLING' }),
    )
    const after = reduce(now, [event(JSON.parse(json) as object)])
    now = after
    rebuilt.zone.update(after.state, after.changed, false)
    return rebuilt.zone.take()
  },
  ({ set, drop }) => `${set.length + drop.length} names in the patch`,
)

repeat('500 events together', 10, () => {
  const events = Array.from({ length: 500 }, (_, i) =>
    event(updated({ ...spec((i * 13 + n++) % TASKS), state: 'TASK_RUNNING' })),
  )
  const after = reduce(now, events)
  now = after
  rebuilt.zone.update(after.state, after.changed, false)
  return rebuilt.zone.take()
})

const copied = repeat(
  'full rebuild of mesos.thisdcos.directory',
  7,
  () => {
    const copy = mesosCopy({ masters })
    return { copy, change: inOneGo(copy.change(known, changed)) }
  },
  ({ change }) => (change.kind === 'full' ? `${change.zone.size} names` : ''),
)
repeat('one event in mesos.thisdcos.directory', 20, () => {
  const after = reduce(now, [
    event(updated({ ...spec(n++ % TASKS), state: n % 2 ? 'TASK_RUNNING' : 'TASK_KILLING' })),
  ])
  now = after
  return inOneGo(copied.copy.change(after.state, after.changed))
})
let longest = 0
const work = new TaskZone('dcos.thisdcos.directory', 5).updating(known, changed, false)
for (let done = false; !done;) {
  const [ms, step] = timed(() => work.next())
  longest = Math.max(longest, ms)
  done = step.done === true
}
figure('one step of a rebuild, the longest', [longest])

for (const [apex, change] of [
  ['dcos.thisdcos.directory', { kind: 'full', zone: rebuilt.map, live: true }],
  ['mesos.thisdcos.directory', copied.change],
] as const) {
  const messages: ZoneMessage[] = []
  const publisher = new ZonePublisher({
    send: message => messages.push(structuredClone(message)),
    now: Date.now,
    breathe: async () => {},
  })
  const start = clock()
  publisher.publish(apex, change)
  await publisher.settled()
  figure(`${apex} as messages, each copied`, [clock() - start], `${messages.length} messages`)
  const zones = new Zones()
  const times = messages.map(message => timed(() => inOneGo(zones.apply(message)))[0])
  figure(
    '  what one takes the data thread',
    times,
    `${times.reduce((a, b) => a + b, 0).toFixed(0)} ms in all`,
  )
}
repeat('difference of two whole zones', 7, () => diffZones(rebuilt.map, rebuilt.map))

const owners = repeat('VIPs of every agent', 3, () => {
  const byAgent = new Map<string, typeof known.tasks>()
  for (const [key, task] of known.tasks) {
    const tasks = (byAgent.get(task.agentId) ?? new Map()) as Map<string, typeof task>
    byAgent.set(task.agentId, tasks.set(key, task))
  }
  return [...byAgent].map(([owner, tasks]) => ({
    owner,
    records: vipsOfState({ ...known, tasks }, { agentIp: '10.0.0.1', ipv6: true }).records,
  }))
})
const vips = repeat(
  'merge the VIPs of all agents',
  5,
  () => new VipMerge().of(owners),
  records => `${records.length} VIPs`,
)
repeat(
  'l4lb.thisdcos.directory, addresses',
  5,
  () => servedVipZone(vips, { answer: 'vip' }),
  z => `${z.size} names`,
)
repeat(
  'l4lb.thisdcos.directory, backends',
  5,
  () => servedVipZone(vips, { answer: 'backends' }),
  z => `${z.size} names`,
)
