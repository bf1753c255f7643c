/**
 * The simulator's command line: reads options, runs scenarios, prints tables and writes the plot. The same options
 * give the same output.
 */
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { weigh } from './memory.ts'
import { plotSpreads } from './plot.ts'
import {
  bootstrap,
  fill,
  flood,
  idleTraffic,
  joinLate,
  killOwner,
  partition,
  rollingRestart,
  type Spread,
  spreadMany,
  stalls,
  statesOf,
  timeOf,
} from './scenarios.ts'
import { World } from './world.ts'

const USAGE = `usage: npm run simulate -- [options]

The gossip's real state machines on a virtual clock and network. Without a
scenario it measures how updates spread and what an idle ring costs.

  --nodes N       nodes that know each other at the start (default 1000)
  --loss X        share of datagrams lost, 0 to 0.9 (default 0)
  --delay A-B     one-way delay of a datagram, ms (default 0.2-2)
  --seed N        the run's seed (default 1)
  --updates N     updates published one after the other (default 10)
  --entries N     names published before anything is measured (default: as many as nodes, at most 2000)
  --svg FILE      write the curves of the updates there

  --partition     cut the ring in halves for five minutes, then heal it
  --stalls        let nodes stand still for one to four seconds, for a minute
  --kill          kill an owner, five times
  --join          let a node join late
  --flood N       N updates a second for ten seconds
  --restart       restart every node, one every 1.5 s
  --bootstrap     start all nodes at once with one seed (no other scenario)
  --memory        what one node of a ring of --nodes members and --entries names weighs (no other scenario)
`

type Print = (line: string) => void

const ms = (n: number): string =>
  n === Infinity ? 'never' : n >= 10_000 ? `${(n / 1_000).toFixed(1)} s` : `${Math.round(n)} ms`

/** Formats rows under headings; all columns but the first are right-aligned. */
export const table = (heads: readonly string[], rows: readonly (readonly string[])[]): string => {
  const widths = heads.map((head, i) =>
    Math.max(head.length, ...rows.map(row => row[i]?.length ?? 0)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) =>
        i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number),
      )
      .join('  ')
  return [line(heads), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

const spreadRow = (name: string, spread: Spread): string[] => [
  name,
  ms(timeOf(spread, 0.5)),
  ms(timeOf(spread, 0.99)),
  ms(timeOf(spread, 1)),
  `${spread.times.length}/${spread.nodes}`,
  `${Math.round(spread.octetsPerNode)}`,
]
const SPREAD_HEADS = ['', '50 %', '99 %', 'all', 'nodes', 'octets/node']

const mb = (octets: number): string => `${(octets / 1e6).toFixed(1)} MB`

type Rim = {
  readonly print: Print
  /** The process's memory before our code was loaded. */
  readonly before: NodeJS.MemoryUsage
  /** Returns freed memory to the system, as the daemon does. */
  readonly trim: (() => void) | undefined
}

/** Runs what `args` ask for; returns the exit status: 2 for invalid options. */
export const simulate = (args: readonly string[], rim: Partial<Rim> = {}): number => {
  const {
    print = (line: string): void => void process.stdout.write(`${line}\n`),
    before = process.memoryUsage(),
    trim,
  } = rim
  let values
  try {
    values = parseArgs({
      args: [...args],
      options: {
        nodes: { type: 'string', default: '1000' },
        loss: { type: 'string', default: '0' },
        delay: { type: 'string', default: '0.2-2' },
        seed: { type: 'string', default: '1' },
        updates: { type: 'string', default: '10' },
        entries: { type: 'string' },
        svg: { type: 'string' },
        flood: { type: 'string' },
        partition: { type: 'boolean', default: false },
        stalls: { type: 'boolean', default: false },
        kill: { type: 'boolean', default: false },
        join: { type: 'boolean', default: false },
        restart: { type: 'boolean', default: false },
        memory: { type: 'boolean', default: false },
        bootstrap: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
  } catch (er) {
    print(`${(er as Error).message}\n\n${USAGE}`)
    return 2
  }
  if (values.help) {
    print(USAGE)
    return 0
  }
  const nodes = Number(values.nodes)
  const loss = Number(values.loss)
  const updates = Number(values.updates)
  const entries = Number(values.entries ?? Math.min(nodes, 2_000))
  const [least = NaN, most = least] = values.delay.split('-').map(Number)
  const perSecond = Number(values.flood ?? 1)
  const whole = [nodes, updates, entries, Number(values.seed)].every(
    n => Number.isInteger(n) && n >= 0,
  )
  if (
    !whole ||
    nodes < 2 ||
    nodes > 100_000 ||
    !(loss >= 0 && loss <= 0.9) ||
    !(least >= 0 && most >= least) ||
    !(perSecond > 0)
  ) {
    print(`an option has a value that makes no sense\n\n${USAGE}`)
    return 2
  }
  if (values.memory) {
    const { members, entries: held, rss, code, heap, buffers } = weigh(nodes, entries, before, trim)
    print(
      `${members} members, ${held} entries: ${mb(heap + buffers)} more than bare node (${mb(heap)} heap, ${mb(buffers)} buffers)`,
    )
    print(
      `resident set ${mb(rss)} more, ${mb(code)} of it the code${trim ? '' : ', with what was freed on the way and not given back'}`,
    )
    return 0
  }
  const world = new World({ seed: Number(values.seed), loss, delay: [least, most] })
  print(`${nodes} nodes, ${loss * 100} % loss, ${least} to ${most} ms delay, seed ${values.seed}\n`)
  if (values.bootstrap) {
    print(`bootstrap: everybody sees everybody after ${ms(bootstrap(world, nodes))}`)
    return 0
  }
  const started = performance.now()
  world.populate(nodes)
  world.run(10_000)
  fill(world, entries)
  world.run(10_000)
  const idle = idleTraffic(world, 10_000)
  const spreads = spreadMany(world, updates)
  if (spreads.length > 0) {
    const sorted = spreads.toSorted((a, b) => timeOf(a, 1) - timeOf(b, 1))
    const rows = spreads.slice(0, 20).map((spread, i) => spreadRow(`update ${i + 1}`, spread))
    rows.push(
      spreadRow('median run', sorted[sorted.length >> 1] as Spread),
      spreadRow('worst run', sorted.at(-1) as Spread),
    )
    print(`How an update spreads\n\n${table(SPREAD_HEADS, rows)}\n`)
    if (values.svg)
      writeFileSync(
        values.svg,
        plotSpreads(`${updates} updates, ${nodes} nodes, ${loss * 100} % loss`, spreads),
      )
  }
  if (values.kill) {
    const rows = Array.from({ length: 5 }, (_, i) => spreadRow(`kill ${i + 1}`, killOwner(world)))
    print(
      `How soon a killed owner's backend is hidden beside a live one\n\n${table(SPREAD_HEADS, rows)}\n`,
    )
  }
  if (values.join) {
    const join = joinLate(world)
    print(
      `late joiner: ${join.entries} entries after ${ms(join.ms)} on the network and ${ms(join.cpuMs)} of CPU, ${join.octets} octets\n`,
    )
  }
  if (values.flood !== undefined) {
    const { untilEqualMs, octetsPerNodeSecond, hotDropped, p50LagMs } = flood(
      world,
      perSecond,
      10_000,
    )
    print(
      `flood of ${perSecond} updates a second for 10 s: ${Math.round(octetsPerNodeSecond)} octets a second and node, median lag of a push ${ms(p50LagMs)},`,
    )
    print(
      `  ${hotDropped} pushes left to the digest, all equal ${ms(untilEqualMs)} after the end\n`,
    )
  }
  if (values.stalls) {
    const { falseDeaths, stalled, flaps } = stalls(world, 60_000)
    print(
      `stalls: ${stalled} nodes stood still, ${falseDeaths} times a healthy one was taken for dead, ${flaps} owners came back from suspicion\n`,
    )
  }
  if (values.partition) {
    const { healMs, states, holds, lost } = partition(world, 300_000)
    print(
      `partition of five minutes: records equal ${ms(healMs)} after it ended, ${states} state(s) at the end, ${lost} updates lost, ${holds} nodes held still\n`,
    )
  }
  if (values.restart) {
    const { untilEqualMs, lost } = rollingRestart(world, 1_500, false)
    print(`rolling restart: equal ${ms(untilEqualMs)} after the last settled, ${lost} names lost\n`)
  }
  const { sent } = world.network
  const stats = world.list.map(node => node.records.stats())
  const mean = (pick: (s: (typeof stats)[number]) => number): string =>
    (stats.reduce((sum, s) => sum + pick(s), 0) / stats.length).toFixed(1)
  const sum = (pick: (t: (typeof sent)[number]) => number): number =>
    sent.reduce((total, t) => total + pick(t), 0)
  print('Traffic and repair, per node over the whole run\n')
  print(
    table(
      ['', 'per node'],
      [
        ['idle, octets a second', idle.toFixed(0)],
        ['datagrams', (sum(t => t.packets) / sent.length).toFixed(0)],
        ['octets in datagrams', (sum(t => t.bytes) / sent.length).toFixed(0)],
        ['streams', (sum(t => t.streams) / sent.length).toFixed(1)],
        ['octets in streams', (sum(t => t.streamBytes) / sent.length).toFixed(0)],
        ['deltas taken', mean(s => s.deltasIn - s.deltasOld)],
        ['deltas known already', mean(s => s.deltasOld)],
        ['exchanges', mean(s => s.exchanges)],
        ['exchanges failed', mean(s => s.exchangesFailed)],
        ['digests that differed', mean(s => s.digestMismatches)],
      ],
    ),
  )
  const took = ((performance.now() - started) / 1_000).toFixed(0)
  // With packet loss some node is always suspected somewhere, and the shown records depend on that.
  world.network.conditions.loss = 0
  world.run(60_000)
  print(
    `\n${statesOf(world)} state(s) among the live nodes; ${(world.clock.now / 1_000).toFixed(0)} s simulated in ${took} s, ${world.clock.events} events, ${Math.round(process.memoryUsage().rss / 1e6)} MB`,
  )
  return 0
}
