/**
 * `npm run bench -- --cases balance`: what VIPs cost an agent. It starts the daemon, `spartan balance` and nft in
 * network namespaces, and prints figures:
 *
 * - the time from the balancer's start until the kernel has 5,000 VIPs with 50,000 backends
 * - the time of one change, from the gossip's datagram to the kernel
 * - the set-up of a connection to a VIP beside one to a backend, on an agent with 10 VIPs and on one with 5,000
 * - connections that fail while the balancer is killed and started again, 500 a second
 *
 * Each node of the cluster announces its own backends by gossip. Needs root, nft and network namespaces.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { askDaemon } from '../../../src/http/admin-client.ts'
import { lab, missing, type Host } from '../../../test/fixture/netns.ts'
import {
  backendOf,
  BACKENDS,
  EACH,
  MOVING,
  percentile,
  PORTS,
  VIPS,
  type Connected,
  type Connects,
  type Steady,
  type Streamed,
} from './place.ts'

const PROGRAM = fileURLToPath(new URL('../../../../dist/main.js', import.meta.url))
const GOSSIP = 7_946
const RESOLVER = '198.51.100.1'
const SYNCS = 3
const CHANGES = 40
const ROUNDS = 40
const PER_ROUND = 250
const FEW = 10

type Agent = Host & { readonly ip: string; readonly config: string; readonly socket: string }
type Shown = {
  readonly balancer?: { readonly vips: number; readonly backends: number; readonly behind: number }
  readonly vips: readonly { vip: string; addresses: string[]; backends: unknown[] }[]
}

/** What ends with the bench, in reverse order. */
const ends: (() => unknown)[] = []
const t = { teardown: (end: () => unknown): unknown => ends.push(end) }

const progress = (text: string): void => void process.stderr.write(`${text}\n`)

const ended = async (): Promise<void> => {
  for (let end = ends.pop(); end; end = ends.pop()) await end()
}

/** A helper process in a namespace. */
const helper = async (host: Host, file: string, ...args: string[]): Promise<ChildProcess> => {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child = spawn(
    'ip',
    ['netns', 'exec', host.name, process.execPath, ...process.execArgv, path, ...args],
    { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
  )
  ends.push(() => child.kill('SIGKILL'))
  await said(child)
  return child
}
const said = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`a helper ended with ${code}`))
    child.once('exit', ended)
    child.once('message', message => {
      child.off('exit', ended)
      resolve(message as T)
    })
  })
const asked = <T>(child: ChildProcess, what: object): Promise<T> => {
  const answer = said<T>(child)
  child.send(what)
  return answer
}

const shown = async ({ socket }: Agent): Promise<Shown | undefined> => {
  const target = { socket, listen: undefined }
  const answer = await askDaemon(target, { path: '/v1/balance' }).catch(() => undefined)
  return answer?.json as Shown | undefined
}
/** Waits until the daemon shows a state. */
const until = async (agent: Agent, good: (now: Shown) => boolean): Promise<Shown> => {
  for (;;) {
    const now = await shown(agent)
    if (now && good(now)) return now
    await sleep(500)
  }
}

const agent = (host: Host & { ip: string }, dir: string, more: object): Agent => {
  mkdirSync(dir)
  host.sh(`ip addr add ${RESOLVER}/32 dev lo; ip route add ${BACKENDS} via 10.77.0.1`)
  const [config, socket] = [join(dir, 'spartan.yaml'), join(dir, 'admin.sock')]
  writeFileSync(
    config,
    JSON.stringify({
      node: host.name,
      listen: { addresses: [RESOLVER] },
      allow: ['127.0.0.0/8'],
      admin: { listen: '', socket },
      stateDir: join(dir, 'state'),
      log: { level: 'info' },
      ...more,
    }),
  )
  host.start(process.execPath, [PROGRAM, 'run', '--config', config])
  return { ...host, config, socket }
}

/** A balancer, and the promise of its report that the kernel has so many VIPs. */
type Balancer = { readonly child: ChildProcess; readonly programmed: Promise<void> }
const balance = (on: Agent, vips: number): Balancer => {
  const child = on.start(process.execPath, [PROGRAM, 'balance', '--config', on.config])
  const programmed = new Promise<void>(resolve => {
    createInterface({ input: child.stdout! }).on('line', line => {
      const said = JSON.parse(line) as { readonly msg: string; readonly vips?: number }
      if (said.msg === 'the kernel has the VIPs' && (said.vips ?? 0) >= vips) resolve()
      if (process.env['DEBUG']) process.stderr.write(`${line}\n`)
    })
  })
  return { child, programmed }
}
const gone = (child: ChildProcess, signal: NodeJS.Signals): Promise<void> =>
  new Promise(resolve => {
    child.once('exit', () => resolve())
    child.kill(signal)
  })
const cleaned = (on: Agent): void =>
  void on.try(process.execPath, [PROGRAM, 'balance', '--cleanup', '--config', on.config])

const row = (what: string, figure: string, bound: string): void =>
  void process.stdout.write(`${what.padEnd(74)} ${figure.padStart(22)}   ${bound}\n`)

/** From the start of the process to the table in the kernel; nft's share is in the balancer's report. */
const firstSyncs = async (on: Agent): Promise<Balancer> => {
  const times: number[] = []
  for (;;) {
    const began = performance.now()
    const balancer = balance(on, VIPS + 1)
    await balancer.programmed
    times.push(performance.now() - began)
    if (times.length === SYNCS) {
      const all = times.map(time => (time / 1_000).toFixed(2)).join(', ')
      row(
        'first sync, 5,000 VIPs and 50,000 backends, from the start of the process',
        `${all} s`,
        '<= 3 s',
      )
      return balancer
    }
    await gone(balancer.child, 'SIGTERM')
    cleaned(on)
  }
}

const changeTimes = async (nodes: ChildProcess): Promise<void> => {
  const turns = Array.from({ length: CHANGES }, (_, i) => i + 1)
  const times = await asked<number[]>(nodes, { turns })
  const all = [0.5, 0.95, 1].map(share => percentile(times, share).toFixed(0)).join(' / ')
  row(
    `one change, from the gossip to the kernel: p50 / p95 / worst of ${CHANGES}`,
    `${all} ms`,
    'p95 <= 100 ms',
  )
}

const addresses = ({ vips }: Shown): string[] =>
  vips.filter(({ vip }) => vip.startsWith('service-')).flatMap(vip => vip.addresses)

/** Connections on an agent with few VIPs and on one with many, in turns. */
const connections = async (few: Agent, many: Agent): Promise<void> => {
  const sides = []
  for (const [on, vips] of [
    [few, FEW],
    [many, VIPS],
  ] as const) {
    const state = await until(
      on,
      ({ balancer }) => (balancer?.vips ?? 0) >= vips && balancer?.behind === 0,
    )
    const direct = Array.from({ length: vips * EACH }, (_, i) =>
      backendOf(Math.floor(i / EACH), i % EACH),
    )
    sides.push({ client: await helper(on, CLIENT), direct, vips: addresses(state) })
  }
  const [a, b] = sides as [(typeof sides)[0], (typeof sides)[0]]
  const once = ({ client, direct, vips }: typeof a): Promise<Connected> =>
    asked(client, { direct, vips, count: PER_ROUND } satisfies Connects)
  const found: Record<string, number[]> = {}
  const add = (what: string, value: number): void => void (found[what] ??= []).push(value)
  for (let round = -2; round < ROUNDS; round++) {
    const [of10, of5000] = [await once(a), await once(b)]
    const one = await once({ ...b, vips: b.vips.slice(0, 1), direct: b.direct.slice(0, EACH) })
    if (round < 0) continue // warms up
    add('10', of10.vip / of10.direct)
    add('5000', of5000.vip / of5000.direct)
    add('one', one.vip / one.direct)
    add('between', of5000.vip / of10.vip)
    add('direct', of10.direct)
    add('directs', of5000.direct / of10.direct)
  }
  const middle = (what: string): string => percentile(found[what]!, 0.5).toFixed(2)
  row(
    `connection set-up p50 beside direct (${middle('direct')} us), agent with 10 VIPs`,
    middle('10'),
    '<= 1.2',
  )
  row('the same, agent with 5,000 VIPs, all in use', middle('5000'), '<= 1.2')
  row('the same, agent with 5,000 VIPs, one in use', middle('one'), '<= 1.2')
  row('set-up p50 with 5,000 VIPs beside 10', middle('between'), '<= 1.10')
  row('  of which connections without a VIP, to as many backends', middle('directs'), '')
}

/** The balancer is killed and started again under a stream of connections. */
const kills = async (on: Agent, first: Balancer): Promise<void> => {
  const { vips } = await until(on, ({ balancer }) => balancer?.behind === 0)
  const [to = ''] = vips.find(({ vip }) => vip.startsWith(MOVING))?.addresses ?? []
  const client = await helper(on, CLIENT)
  client.send({ to, port: 80, perSecond: 500 } satisfies Steady)
  let { child } = first
  for (let times = 0; times < 3; times++) {
    await sleep(1_000)
    await gone(child, 'SIGKILL')
    await sleep(1_000)
    const next = balance(on, VIPS + 1)
    child = next.child
    await next.programmed
  }
  const { tried, failures } = await asked<Streamed>(client, { stop: true })
  const failed = Object.values(failures).reduce((a, b) => a + b, 0)
  row(
    'kill -9 and restart, three times, 500 connections a second: failed',
    `${failed} of ${tried}`,
    '0',
  )
  if (failed > 0) process.stdout.write(`  ${JSON.stringify(failures)}\n`)
  await gone(child, 'SIGTERM')
  cleaned(on)
  const left = on.sh('nft list ruleset; ip route show proto 178; ip -6 route show proto 178').trim()
  row('after --cleanup: lines of rules and routes that are left', left === '' ? '0' : left, '0')
}

const EXT = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const CLIENT = `client${EXT}`

/** Returns an exit status. */
export const benchBalance = async (): Promise<number> => {
  const lacking = missing('nft', 'conntrack')
  if (lacking !== '') {
    process.stderr.write(`${lacking}\n`)
    return 1
  }
  const dir = mkdtempSync(join(tmpdir(), 'spartan-balance-'))
  ends.push(() => rmSync(dir, { recursive: true, force: true }))
  // An interrupted run leaves no namespace either.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void ended().finally(() => process.exit(1)))
  try {
    const cluster = lab(t)
    const server = cluster.host('server', [])
    server.sh(`ip route add local ${BACKENDS} dev lo; sysctl -qw net.core.somaxconn=4096`)
    await helper(server, `server${EXT}`)
    progress('an agent with 10 VIPs starts')
    const few = agent(cluster.host('few', []), join(dir, 'few'), {
      vips: { files: [join(dir, 'few.json')] },
    })
    const list = Array.from({ length: FEW }, (_, vip) => ({
      vip: `/service-${vip}:80`,
      backends: Array.from({ length: EACH }, (_, nth) => `${backendOf(vip, nth)}:${PORTS[0]}`),
    }))
    writeFileSync(join(dir, 'few.json'), JSON.stringify({ framework: 'bench', vips: list }))
    balance(few, FEW)
    const host = cluster.host('many', [])
    const nodes = await helper(host, `nodes${EXT}`, host.ip, String(GOSSIP))
    progress('nodes that announce 5,000 VIPs start')
    const many = agent(host, join(dir, 'many'), {
      gossip: {
        ...{ bind: `${host.ip}:${GOSSIP}`, insecure: true },
        seeds: [`${host.ip}:20000`],
      },
    })
    await until(many, ({ vips }) => {
      const backends = vips.reduce((sum, one) => sum + one.backends.length, 0)
      progress(`their agent knows ${backends} backends`)
      return backends > VIPS * EACH
    })
    await sleep(3_000) // the gossip comes to rest
    const balancer = await firstSyncs(many)
    await sleep(5_000) // nft monitor reads the events of the first sync
    await changeTimes(nodes)
    await connections(few, many)
    await kills(many, balancer)
    return 0
  } finally {
    await ended()
  }
}
