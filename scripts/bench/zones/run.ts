/**
 * `npm run bench -- --cases zones`: the zones of 10,000 tasks with dotted names and three named ports each, on six real
 * daemons of which only one follows a (scripted) Mesos master. It prints figures:
 *
 * - the time from the start of the gossip of a cold agent until it answers both zones whole: five at once, and one alone
 * - the time from an event of the master to the answers of all five
 * - octets of gossip that each node sends and receives
 *
 * Whether the zones are equal is compared record by record. All six share this machine's cores.
 */
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { processorTime } from '../usage.ts'
import { type Node, type Octets, ZoneCluster } from './cluster.ts'

const PROGRAM = fileURLToPath(new URL('../../../../dist/main.js', import.meta.url))
const TASKS = 10_000
const AGENTS = 5
/** How often one agent joins with nothing on disk, and how many tasks are added one after the other. */
const JOINS = 5
const EVENTS = 20
/** Time for the gossip to come to rest, and over which its idle traffic is counted. */
const REST_MS = 3_000
const IDLE_MS = 10_000

const row = (what: string, figure: string, bound = ''): void =>
  void process.stdout.write(`${what.padEnd(66)} ${figure.padStart(34)}   ${bound}\n`)
const progress = (text: string): void =>
  void process.stderr.write(`${text}, load ${loadavg()[0]!.toFixed(1)}\n`)
const seconds = (times: readonly number[]): string =>
  `${times.map(ms => (ms / 1_000).toFixed(2)).join(', ')} s`
const kilo = (octets: number): string => `${(octets / 1_000).toFixed(1)} kB`

/** How long a started agent takes: since its gossip has begun, and since its process has; and its CPU time. */
const joined = async (cluster: ZoneCluster, agent: Node): Promise<[number, number, number]> => {
  await cluster.whole(agent)
  const now = performance.now()
  return [now - agent.joinedAt, now - agent.startedAt, processorTime(agent.child.pid!) / 1e6]
}

const shown = (what: string, all: readonly [number, number, number][]): void => {
  const [gossip, process, processor] = [0, 1, 2].map(i => all.map(times => times[i]!))
  row(`${what}: both zones whole, after its gossip has begun`, seconds(gossip!), '<= 5 s')
  row('  the same, after the start of its process', seconds(process!))
  row('  CPU time of the process by then', seconds(processor!))
}

/** Throws unless every agent has exactly the records of the first node. */
const compared = async (cluster: ZoneCluster): Promise<void> => {
  const wanted = await cluster.first.sum()
  for (const agent of cluster.agents)
    if ((await agent.sum()) !== wanted) throw new Error(`${agent.address} differs from the master`)
  row(
    `records of ${cluster.agents.length} agents beside those of the master's node`,
    wanted,
    'equal',
  )
}

/** What each node sent and received meanwhile, the first node first. */
const traffic = async (cluster: ZoneCluster, during: () => Promise<unknown>): Promise<Octets[]> => {
  const nodes = [cluster.first, ...cluster.agents]
  const before = await Promise.all(nodes.map(node => node.octets()))
  await during()
  const after = await Promise.all(nodes.map(node => node.octets()))
  return after.map(({ sent, received }, i) => ({
    sent: sent - before[i]!.sent,
    received: received - before[i]!.received,
  }))
}
/** The most of any node. */
const most = (all: readonly Octets[]): string =>
  `${kilo(Math.max(...all.map(one => one.sent)))} / ${kilo(Math.max(...all.map(one => one.received)))}`

const joins = async (cluster: ZoneCluster): Promise<void> => {
  const before = await cluster.first.octets()
  const agents = Array.from({ length: AGENTS }, (_, i) => cluster.join(i + 1))
  shown(
    `${AGENTS} cold agents at once`,
    await Promise.all(agents.map(agent => joined(cluster, agent))),
  )
  await compared(cluster)
  const octets = await Promise.all(agents.map(agent => agent.octets()))
  const { sent, received } = await cluster.first.octets()
  row('  octets that an agent sent / received, at most', most(octets))
  row(
    "  octets that the master's node sent / received",
    `${kilo(sent - before.sent)} / ${kilo(received - before.received)}`,
  )
  const alone: [number, number, number][] = []
  for (let i = 0; i < JOINS; i++) {
    await cluster.leave(AGENTS, 'SIGTERM')
    await sleep(REST_MS)
    alone.push(await joined(cluster, cluster.join(AGENTS)))
  }
  shown('one cold agent', alone)
}

const events = async (cluster: ZoneCluster): Promise<void> => {
  await cluster.event()
  await sleep(REST_MS)
  const idle = await traffic(cluster, () => sleep(IDLE_MS))
  const rate = (of: (one: Octets) => number): number =>
    (Math.max(...idle.map(of)) * 1_000) / IDLE_MS
  row(
    'quiet: octets a second and node, sent / received',
    `${kilo(rate(one => one.sent))} / ${kilo(rate(one => one.received))}`,
  )
  const [all, first]: [number[], number[]] = [[], []]
  const began = performance.now()
  const busy = await traffic(cluster, async () => {
    for (let i = 0; i < EVENTS; i++) {
      // at times that are independent of the daemons' own
      await sleep(1_000 + Math.random() * 1_000)
      const [own = NaN, ...agents] = await cluster.event()
      first.push(own)
      all.push(Math.max(...agents))
    }
  })
  const share = (performance.now() - began) / IDLE_MS
  const figure = (times: number[]): string => {
    const sorted = times.sort((a, b) => a - b)
    const at = (q: number): string => sorted[Math.ceil(q * sorted.length) - 1]!.toFixed(0)
    return `${at(0.5)} / ${at(0.95)} / ${at(1)} ms`
  }
  row(
    `one event until all ${AGENTS} answer it: p50 / p95 / worst of ${EVENTS}`,
    figure(all),
    '<= 300 ms',
  )
  row("  until the master's node answers it", figure(first))
  const each = busy.map((one, i) => ({
    sent: (one.sent - share * idle[i]!.sent) / EVENTS,
    received: (one.received - share * idle[i]!.received) / EVENTS,
  }))
  row('  octets of an event and node, sent / received, at most', most(each))
}

/** Returns an exit status. */
export const benchZones = async (): Promise<number> => {
  const dir = mkdtempSync(join(tmpdir(), 'spartan-zones-'))
  const net = `127.${randomInt(64, 128)}.${randomInt(256)}`
  const cluster = new ZoneCluster({
    ...{ program: PROGRAM, dir, tasks: TASKS },
    addresses: Array.from({ length: 1 + AGENTS }, (_, i) => `${net}.${i + 1}`),
    port: 20_000 + randomInt(3_000) * 3,
  })
  // An interrupted run leaves no process either.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void cluster.close().finally(() => process.exit(1)))
  try {
    progress(`${TASKS} tasks, six daemons on ${availableParallelism()} cores`)
    const octets = await cluster.begin()
    row(`both zones of ${TASKS} tasks in the gossip`, kilo(octets))
    await sleep(REST_MS)
    await joins(cluster)
    progress('events')
    await events(cluster)
    await compared(cluster)
    progress('done')
    return 0
  } finally {
    await cluster.close()
    rmSync(dir, { recursive: true, force: true })
  }
}
