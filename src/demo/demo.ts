/**
 * `spartan demo`: a small cluster on loopback that runs the real programs. It consists of a Mesos whose tasks start
 * and end, three masters that serve the `mesos` zone (`spartan mesos-dns`), and three agents (`spartan run`) that
 * race the masters and gossip their VIPs. It prints commands to try, and runs until it is stopped.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { askDaemon } from '../http/admin-client.ts'
import { messageOf } from '../base/error.ts'
import { Cluster } from './cluster/cluster.ts'
import { layOut, writeFiles, type Layout } from './layout.ts'
import { Daemon } from './process.ts'
import { startResolver } from './resolver.ts'
import { look, described, type Seen } from './show.ts'

export type DemoOptions = {
  /** Stop after this many seconds; default: when interrupted. */
  readonly seconds?: number
  /** Shifts all addresses, so that two demos can run at once. */
  readonly offset?: number
  readonly out?: (text: string) => void
}

const PATIENCE_MS = 60_000
/** Interval of the changes in the cluster. */
const STEP_MS = 5_000

/** Runs until ^C or for some seconds; returns the exit status. */
export const runDemo = async ({
  seconds,
  offset = 0,
  out = print,
}: DemoOptions = {}): Promise<number> => {
  const stopped = interrupted(seconds)
  const layout = layOut(offset)
  const running: { close(): unknown }[] = []
  try {
    writeFiles(layout)
    out(
      'Starting a Mesos of 3 masters and 4 agents, a resolver, 3 mesos-dns and 3 spartan, all on loopback ...\n',
    )
    const cluster = await Cluster.start({
      masters: layout.mesos,
      agents: layout.mesosAgents,
      now: Date.now,
      random: seeded(7),
      onStep: what => out(`  mesos: ${what}\n`),
    })
    running.push({ close: () => cluster.close() })
    const resolver = await startResolver(layout.resolver)
    running.push({ close: () => resolver.close() })
    const masters = layout.masters.map(m => new Daemon(m.name, ['mesos-dns', '--config', m.config]))
    const agents = layout.agents.map(a => new Daemon(a.name, ['run', '--config', a.config]))
    const all = [...masters, ...agents]
    running.push({ close: () => Promise.all(all.map(d => d.stop())) })
    await Promise.all(masters.map(m => m.start()))
    await Promise.all(agents.map(a => a.start()))
    await show(layout, masters, out)
    out(invitation(layout))
    cluster.play(STEP_MS)
    await stopped
    out('Stopping.\n')
    return 0
  } catch (er) {
    out(`The demo cannot go on: ${messageOf(er)}\n`)
    return 1
  } finally {
    for (const part of running.reverse()) await part.close()
  }
}

/** Shows a race, a cache hit, and the loss of a master. */
const show = async (
  layout: Layout,
  masters: readonly Daemon[],
  out: (text: string) => void,
): Promise<void> => {
  const [agent] = layout.agents
  const ask = (name: string): Promise<Seen> => look(name, agent!.listen[0]!, layout.port)
  const name = 'web.marathon.mesos'
  await until(async () => (await ask('leader.mesos')).answers.length > 0)

  out('\nA name nobody has asked for yet: all three masters are asked at once.\n')
  const { json } = await askDaemon(
    { socket: agent!.socket, listen: undefined },
    { method: 'POST', path: '/v1/trace', body: { name, type: 'A' } },
  )
  for (const { atMs, step, detail } of (
    json as { steps: { atMs: number; step: string; detail: string }[] }
  ).steps) {
    out(`  ${atMs.toFixed(1).padStart(5)} ms  ${step.padEnd(7)} ${detail}\n`)
  }

  out('\nThe same name again: from the cache.\n')
  out(`  ${described(name, await ask(name))}\n`)

  out('\nA master is killed: nobody waits for it.\n')
  await masters[1]!.kill()
  out(`  ${described('api-shop.marathon.mesos', await ask('api-shop.marathon.mesos'))}\n`)
  await masters[1]!.start()

  const vip = 'web.marathon.l4lb.thisdcos.directory'
  const last = layout.agents.at(-1)!
  out(
    `\nA VIP that tasks on any agent declare resolves on every agent, here ${last.name}, by gossip.\n`,
  )
  // Agents learn of the change at different times, and the printed commands must work at once.
  for (const { listen } of layout.agents)
    await until(async () => (await look(vip, listen[0]!, layout.port)).answers.length > 0)
  out(`  ${described(vip, await look(vip, last.listen[0]!, layout.port))}\n`)
}

const invitation = ({ agents, spare, port, folder }: Layout): string => {
  const [first, second, third] = agents[0]!.listen
  const { address, port: adminPort } = agents[0]!.admin
  return `
Try it:
  dig @${first} -p ${port} web.marathon.mesos
  dig @${second} -p ${port} _web._tcp.marathon.mesos SRV
  dig @${third} -p ${port} +tcp leader.mesos
  dig @${agents[1]!.listen[0]} -p ${port} web.marathon.l4lb.thisdcos.directory
  dig @${agents[2]!.listen[0]} -p ${port} www.example.org

Status page:    http://${address}:${adminPort}/
Metrics:        http://${address}:${adminPort}/metrics
A fourth agent: node dist/main.js run --config ${spare.config}
Configuration:  ${folder}

Tasks come and go from now on. ^C stops everything.
`
}

const until = async (well: () => Promise<boolean>): Promise<void> => {
  const end = performance.now() + PATIENCE_MS
  while (!(await well())) {
    if (performance.now() > end) throw new Error('the cluster did not come up in time')
    await sleep(100)
  }
}

/** Resolves at SIGINT or SIGTERM, or after `seconds`. */
const interrupted = (seconds: number | undefined): Promise<void> =>
  new Promise(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
    if (seconds !== undefined) setTimeout(resolve, seconds * 1000)
  })

/** Seeded random numbers (mulberry32), so that the timetable is the same each time. */
const seeded = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const print = (text: string): void => void process.stdout.write(text)
