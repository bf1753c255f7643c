/**
 * What a large cluster costs the clients of a running daemon. Prints figures,
 * asserts none. Evidence for: one task event to a served record within 50 ms,
 * and DNS latency unmoved while everything is rebuilt.
 *
 *   npm run build
 *   TS_NODE_TRANSPILE_ONLY=1 node --import @tapjs/typescript/import scripts/bench/mesos-live.ts
 *   usage: mesos-live.ts [events|latency] [tasks] [agents] [rounds]
 *
 * A made-up Mesos master streams to `spartan run` (a process of its own, from
 * dist). events: a task is added, and its names are asked over UDP until they
 * answer; alone, and among a hundred events a second about other tasks.
 * latency: an open loop of 2,000 queries a second for 500 cached names, in a
 * thread of its own, for some seconds each, in turns: nothing happens;
 * one and two processes that only count take a core each; a new leader says the same again
 * twice a second; every task of the cluster changes its name once; and again and
 * again, which is more than any cluster does. All of this shares the cores there are;
 * the thread that asks goes before the rest, as if it were another machine, so
 * that what it waits for is the daemon and not a core of its own.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Histogram } from './histogram.ts'
import { MesosMaster } from './mesos-master.ts'
import { goFirst } from '../../src/data/priority.ts'
import { plainQuery } from '../../src/wire/question.ts'
import { nameWire } from '../../src/wire/name.ts'
import {
  added,
  records,
  subscribed,
  updated,
  type Cluster,
  type TaskSpec,
} from '../../test/fixture/mesos.ts'

const NET = `127.99.${Math.floor(Math.random() * 250)}`
const AT = { address: `${NET}.1`, port: 20_053 }
const NAMES = 500
const RATE = 2_000
const EVENTS = 40
const ROUNDS = Number(process.argv[5] ?? 2)

type LoadPlan = { readonly seconds: number; readonly at: typeof AT }

// The thread that asks.

const ask = async ({ seconds, at }: LoadPlan): Promise<object> => {
  goFirst()
  const queries = Array.from({ length: NAMES }, (_, i) =>
    plainQuery(nameWire(`n${i}.example.org`)!, 1),
  )
  const socket = createSocket('udp4')
  socket.connect(at.port, at.address)
  await once(socket, 'connect')
  const sentAt = new Float64Array(65_536).fill(-1)
  const times = new Histogram()
  let worst = 0
  socket.on('message', b => {
    const id = b.readUInt16BE(0)
    const since = sentAt[id]!
    sentAt[id] = -1
    if (since < 0) return
    const ms = performance.now() - since
    worst = Math.max(worst, ms)
    times.add(ms)
  })
  const began = performance.now()
  let sent = 0
  while (performance.now() - began < seconds * 1_000) {
    const due = Math.floor(((performance.now() - began) * RATE) / 1_000)
    for (; sent < due; sent++) {
      const id = sent & 0xffff
      const query = queries[sent % NAMES]!
      query.writeUInt16BE(id, 0)
      sentAt[id] = performance.now()
      socket.send(query)
    }
    await delay(1)
  }
  await delay(300)
  socket.close()
  const at1 = (share: number): string => (times.percentile(share) / 1_000).toFixed(2)
  const [p50, p90, p99, p999] = [at1(0.5), at1(0.9), at1(0.99), at1(0.999)]
  return { sent, lost: sent - times.count, p50, p90, p99, p999, worst: worst.toFixed(1) }
}

// The cluster.

const spec = (i: number, agents: number): TaskSpec => ({
  id: `service-${i % 800}.${i}-1000-11ed-4b8b-a100-02420a000001`,
  name: `service-${i % 800}.group-${i % 40}`,
  agent: `A-S${i % agents}`,
  ips: [`9.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`],
  resourcePorts: [[31_000 + (i % 500), 31_000 + (i % 500)]],
  ports: [{ number: 8080, name: 'http', protocol: 'tcp' }],
})

const clusterOf = (tasks: number, agents: number, framework: string): Cluster => ({
  tasks: Array.from({ length: tasks }, (_, i) => spec(i, agents)),
  frameworks: { F0: framework },
  agents: Object.fromEntries(
    Array.from({ length: agents }, (_, i) => [`A-S${i}`, `10.${i >> 8}.${i & 255}.1`]),
  ),
})

/** A resolver whose every name is 192.0.2.1, for an hour. */
const resolver = (): Socket => {
  const socket = createSocket('udp4')
  const record = Buffer.from('c00c0001000100000e100004c0000201', 'hex')
  socket.on('message', (b, from) => {
    const query = b.subarray(0, 12 + b.subarray(12).indexOf(0) + 5)
    const response = Buffer.concat([query, record])
    response.writeUInt16BE(0x8180, 2)
    response.writeUInt16BE(1, 6)
    response.writeUInt32BE(0, 8)
    socket.send(response, from.port, from.address)
  })
  socket.bind(20_054, `${NET}.9`)
  return socket
}

/** Sends one query and tells whether the answer has records; undefined if none came soon. */
class Asker {
  readonly #socket = createSocket('udp4')
  #id = 0

  async open(): Promise<void> {
    // the daemon may not listen yet
    this.#socket.on('error', () => {})
    this.#socket.connect(AT.port, AT.address)
    await once(this.#socket, 'connect')
  }

  async found(query: Buffer): Promise<boolean> {
    const id = (this.#id = (this.#id + 1) & 0xffff)
    query.writeUInt16BE(id, 0)
    return new Promise(resolve => {
      const done = (found: boolean): void => {
        clearTimeout(timer)
        this.#socket.off('message', heard)
        resolve(found)
      }
      const heard = (b: Buffer): void => {
        if (b.readUInt16BE(0) === id) done(b.readUInt16BE(6) > 0)
      }
      const timer = setTimeout(() => done(false), 200)
      this.#socket.on('message', heard)
      this.#socket.send(query)
    })
  }

  close(): void {
    this.#socket.close()
  }
}

const query = (name: string): Buffer => plainQuery(nameWire(name)!, 1)

const show = (what: string, times: number[]): void => {
  const sorted = [...times].sort((a, b) => a - b)
  const at = (q: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!.toFixed(1).padStart(6)
  console.log(
    `${what.padEnd(46)} median ${at(0.5)}  p95 ${at(0.95)}  worst ${at(1)} ms   (${times.length})`,
  )
}

const DCOS = 'marathon.autoip.dcos.thisdcos.directory'
const COPY = 'marathon.mesos.thisdcos.directory'

const measureEvents = async (
  master: MesosMaster,
  agents: number,
  stormy: boolean,
): Promise<void> => {
  const [dcosTimes, copyTimes]: [number[], number[]] = [[], []]
  const [one, two] = [new Asker(), new Asker()]
  await Promise.all([one.open(), two.open()])
  let n = 0
  const storm = stormy
    ? setInterval(() => {
        const i = (n * 37) % 10_000
        const state = n++ % 2 ? 'TASK_RUNNING' : 'TASK_KILLING'
        master.send(records(updated({ ...spec(i, agents), state })))
      }, 10)
    : undefined
  for (let i = 0; i < EVENTS; i++) {
    await delay(200 + Math.random() * 100)
    const name = `probe-${stormy ? 's' : 'l'}${i}`
    const text = records(added({ ...spec(i, agents), id: name, name }))
    const until = async (asker: Asker, within: string, times: number[]): Promise<void> => {
      const question = query(`${name}.${within}`)
      for (;;) {
        if (await asker.found(question)) break
        await delay(1)
      }
      times.push(performance.now() - began)
    }
    const began = performance.now()
    master.send(text)
    await Promise.all([until(one, DCOS, dcosTimes), until(two, COPY, copyTimes)])
  }
  clearInterval(storm)
  one.close()
  two.close()
  const how = stormy ? 'among 100 events a second' : 'alone'
  show(`an event ${how}: dcos.thisdcos.directory`, dcosTimes)
  show(`an event ${how}: mesos.thisdcos.directory`, copyTimes)
}

type Found = { readonly p50: string; readonly p99: string; readonly p999: string }

const load = async (seconds: number): Promise<Found> => {
  const plan: LoadPlan = { seconds, at: AT }
  const worker = new Worker(new URL(import.meta.url), {
    workerData: plan,
    execArgv: process.execArgv,
  })
  const [found] = (await once(worker, 'message')) as [Found]
  return found
}

/** CPU seconds of a process' threads, by name. */
const cpuOf = (pid: number): number => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

const measureLatency = async (
  master: MesosMaster,
  daemon: ChildProcess,
  states: readonly Buffer[],
): Promise<void> => {
  const SECONDS = 5
  await load(2)
  const all = new Map<string, Found[]>()
  for (let round = 0; round < ROUNDS; round++) {
    const said = (what: string, more: string, found: Found): void => {
      const row = what.replace(/^\d+ full/, 'full')
      all.set(row, [...(all.get(row) ?? []), found])
      console.log(
        `${round} ${what.padEnd(31)} ${more.padEnd(18)} load ${loadavg()[0]!.toFixed(1)}  ${JSON.stringify(found)}`,
      )
    }
    let cpu = cpuOf(daemon.pid!)
    const spent = (): string => {
      const before = cpu
      cpu = cpuOf(daemon.pid!)
      return `daemon ${(cpu - before).toFixed(1)} s CPU`
    }
    const quiet = await load(SECONDS)
    said('nothing happens', spent(), quiet)
    for (const processes of [1, 2]) {
      const counting = Array.from({ length: processes }, () =>
        spawn(process.execPath, ['-e', 'for (;;);']),
      )
      const busy = await load(SECONDS)
      for (const one of counting) one.kill('SIGKILL')
      said(`${processes} processes count`, spent(), busy)
    }
    const again = setInterval(() => master.send(states[0]!), 500)
    const reloaded = await load(SECONDS)
    clearInterval(again)
    said('the same state, twice a second', spent(), reloaded)
    await delay(1_000)
    // a new leader of another cluster: every name changes
    let rounds = 0
    const renamed = (): void => master.send(states[++rounds % 2]!)
    setTimeout(renamed, 1_000)
    const rebuiltOnce = await load(SECONDS)
    said('one full rebuild', spent(), rebuiltOnce)
    await delay(1_000)
    let rebuilds = 0
    let stopped = false
    const rebuild = async (): Promise<void> => {
      while (!stopped) {
        renamed()
        rebuilds++
        const within = rounds % 2 ? 'other' : 'marathon'
        const asker = new Asker()
        await asker.open()
        const question = query(`service-1-group-1.${within}.mesos.thisdcos.directory`)
        while (!stopped && !(await asker.found(question))) await delay(20)
        asker.close()
      }
    }
    const rebuilding = rebuild()
    const during = await load(SECONDS)
    stopped = true
    await rebuilding
    said(`${rebuilds - 1} full rebuilds`, spent(), during)
    await delay(2_000)
    cpu = cpuOf(daemon.pid!)
  }
  console.log(`medians of ${ROUNDS} rounds, ms`)
  const middle = (found: readonly Found[], at: keyof Found): string =>
    found.map(f => f[at]).sort((a, b) => Number(a) - Number(b))[found.length >> 1]!
  for (const [row, found] of all) {
    const [p50, p99, p999] = (['p50', 'p99', 'p999'] as const).map(at => middle(found, at))
    console.log(`  ${row.padEnd(31)} p50 ${p50}  p99 ${p99}  p99.9 ${p999}`)
  }
}

const main = async (): Promise<void> => {
  const [what = 'both', tasksText = '10000', agentsText = '1000'] = process.argv.slice(2)
  const [tasks, agents] = [Number(tasksText), Number(agentsText)]
  const states = ['marathon', 'other'].map(framework =>
    Buffer.from(records(subscribed(clusterOf(tasks, agents, framework)))),
  )
  const master = new MesosMaster(states[0]!)
  const port = await master.listen()
  const upstream = resolver()
  const dir = mkdtempSync(join(tmpdir(), 'spartan-live-'))
  const config = join(dir, 'spartan.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      node: 'bench',
      listen: { addresses: [AT.address], port: AT.port },
      allow: ['127.0.0.0/8'],
      upstreams: [`${NET}.9:20054`],
      mesos: { master: `http://127.0.0.1:${port}`, leaderOnly: true },
      admin: { listen: `${AT.address}:20062`, socket: join(dir, 'admin.sock') },
      log: { level: 'warn' },
      stateDir: dir,
    }),
  )
  const program = new URL('../../dist/main.js', import.meta.url).pathname
  const daemon = spawn(
    process.execPath,
    ['--single-threaded-gc', program, 'run', '--config', config],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  daemon.once('exit', code => code !== 0 && process.exit(1))
  try {
    const asker = new Asker()
    await asker.open()
    const question = query(`service-1-group-1.${COPY}`)
    while (!(await asker.found(question))) await delay(50)
    asker.close()
    console.log(`${tasks} tasks on ${agents} agents, load ${loadavg()[0]!.toFixed(1)}`)
    await delay(1_000)
    if (what !== 'latency') {
      await measureEvents(master, agents, false)
      await measureEvents(master, agents, true)
    }
    if (what !== 'events') await measureLatency(master, daemon, states)
  } finally {
    daemon.kill('SIGTERM')
    await once(daemon, 'exit')
    master.close()
    upstream.close()
    rmSync(dir, { recursive: true })
  }
}

if (isMainThread) await main()
else parentPort!.postMessage(await ask(workerData as LoadPlan))
