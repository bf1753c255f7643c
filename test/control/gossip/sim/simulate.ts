/**
 * The gossip at scale, on a virtual clock: how soon an update is everywhere,
 * what an idle ring costs, what partitions, deaths, stalls, floods and
 * restarts do to it. Every number here is simulated, so it is the same on
 * every machine; SCALE=1000 plays all of it with so many nodes.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Clock } from '../../../../src/control/gossip/sim/clock.ts'
import { simulate } from '../../../../src/control/gossip/sim/main.ts'
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
} from '../../../../src/control/gossip/sim/scenarios.ts'
import { World } from '../../../../src/control/gossip/sim/world.ts'

t.setTimeout(600_000)

const SCALE = Number(process.env.SCALE ?? 0)

const ring = (nodes: number, options: ConstructorParameters<typeof World>[0] = {}): World => {
  const world = new World({ seed: 1, ...options })
  world.populate(SCALE || nodes)
  world.run(10_000)
  return world
}

const at = (spreads: readonly Spread[], share: number): number[] =>
  spreads.map(spread => timeOf(spread, share)).sort((a, b) => a - b)
const median = (times: readonly number[]): number => times[times.length >> 1] as number
const worst = (times: readonly number[]): number => times.at(-1) as number

t.test('virtual time runs events in their order', async t => {
  const clock = new Clock()
  const seen: string[] = []
  clock.after(20, () => seen.push('c'))
  clock.after(10, () => {
    seen.push('a')
    clock.after(0, () => seen.push('b'))
  })
  clock.after(20, () => seen.push('d'))
  clock.after(99, () => seen.push('never'))
  clock.runUntil(50)
  t.same([seen.join(''), clock.now, clock.waiting], ['abcd', 50, 1])
})

/** What is promised of an update (ms): without loss 99 % and all, and all at a quarter of datagrams lost. */
const PROMISED = { most: 350, all: 1_000, lossy: 2_500 } as const

for (const [nodes, updates] of [
  [100, 20],
  [1_000, 10],
] as const) {
  t.test(`at ${nodes} nodes an update is everywhere in a second, and idling is cheap`, async t => {
    const world = ring(nodes)
    const idle = idleTraffic(world, 5_000)
    const spreads = spreadMany(world, updates)
    t.ok(idle <= 2_000, `${idle.toFixed(0)} octets a second and node when idle`)
    const most = at(spreads, 0.99)
    const all = at(spreads, 1)
    t.ok(worst(most) <= PROMISED.most, `99 % after ${most.map(Math.round).join(', ')} ms`)
    t.ok(worst(all) <= PROMISED.all, `all after ${all.map(Math.round).join(', ')} ms`)
    t.ok(worst(spreads.map(spread => spread.octetsPerNode)) < 4_000)
    t.equal(statesOf(world), 1)
  })
}

for (const [nodes, updates] of [
  [100, 20],
  [1_000, 3],
] as const) {
  t.test(`a quarter of all datagrams lost among ${nodes}: everywhere in 2.5 s`, async t => {
    const world = ring(nodes, { loss: 0.25 })
    const spreads = spreadMany(world, updates)
    const all = at(spreads, 1)
    t.ok(worst(all) <= PROMISED.lossy, `all after ${all.map(Math.round).join(', ')} ms`)
    const deaths = world.list.reduce((sum, node) => sum + node.deaths, 0)
    t.equal(deaths, 0, 'and nobody was taken for dead')
    const health = world.list.map(node => node.core.status().health)
    t.ok(median(health.sort((a, b) => a - b)) === 0, 'nor do most think themselves ill')
  })
}

t.test('a late joiner has 50,000 entries within a second of network time', async t => {
  const world = new World({ seed: 1 })
  world.populate(13)
  world.run(5_000)
  fill(world, 50_000)
  const joined = joinLate(world)
  t.equal(joined.entries, 50_000)
  t.ok(joined.ms <= 1_000, `${joined.ms.toFixed(0)} ms`)
  t.comment(`and ${joined.cpuMs.toFixed(0)} ms of CPU on this machine, ${joined.octets} octets`)
})

t.test("a killed owner's backend is hidden beside a live one within 4 s, always", async t => {
  for (const [nodes, seeds, kills] of [
    [3, 40, 1],
    // a fourth within the minute would be a third of the ring, and held still for
    [10, 13, 3],
    [100, 4, 5],
    [1_000, 1, 2],
  ] as const) {
    const times: number[] = []
    for (let seed = 1; seed <= seeds; seed++) {
      const world = ring(nodes, { seed })
      for (let i = 0; i < kills; i++) {
        world.run((i > 0 ? 8_000 : 0) + world.random() * 2_000)
        times.push(timeOf(killOwner(world), 1))
      }
    }
    times.sort((a, b) => a - b)
    t.ok(
      worst(times) <= 4_000,
      `${nodes} nodes, ${times.length} kills: median ${median(times).toFixed(0)} ms, worst ${worst(times).toFixed(0)} ms`,
    )
  }
})

t.test(
  'a ring cut in halves for five minutes heals to equal state, and nobody lost anything',
  async t => {
    const world = ring(60)
    fill(world, 300)
    const { healMs, states, holds, lost } = partition(world, 300_000)
    t.ok(healMs <= 90_000, `records equal after ${(healMs / 1_000).toFixed(1)} s`)
    t.equal(states, 1)
    t.equal(lost, 0)
    t.ok(holds > 30, 'both halves held still')
  },
)

t.test('nodes that stand still are not the death of others', async t => {
  const { falseDeaths, stalled } = stalls(ring(60), 40_000)
  t.ok(stalled > 20)
  t.equal(falseDeaths, 0)
})

t.test('200 updates a second are more than pushing can carry, and none is lost', async t => {
  const world = ring(50)
  const { untilEqualMs, octetsPerNodeSecond, hotDropped } = flood(world, 200, 5_000)
  t.ok(
    untilEqualMs <= 30_000,
    `equal after ${untilEqualMs} ms, ${hotDropped} pushes left to the digest`,
  )
  t.ok(octetsPerNodeSecond < 60_000)
  t.equal(statesOf(world), 1)
})

t.test('a rolling restart of every node loses no name, with a disk or without', async t => {
  for (const disk of [true, false]) {
    const { untilEqualMs, lost } = rollingRestart(ring(12), 1_500, disk)
    t.same([lost, untilEqualMs < 30_000], [0, true])
  }
})

t.test('sixty nodes that start at once with one seed find each other', async t => {
  const ms = bootstrap(new World({ seed: 1 }), 60)
  t.ok(ms <= 60_000, `${ms} ms`)
})

t.test('the same seed gives the same run, to the letter', async t => {
  const run = (seed: string): string => {
    const lines: string[] = []
    const args = [
      '--nodes',
      '30',
      '--loss',
      '0.1',
      '--updates',
      '3',
      '--seed',
      seed,
      '--kill',
      '--join',
      '--flood',
      '20',
      '--svg',
      join(t.testdirName, 'plot.svg'),
    ]
    t.equal(simulate(args, { print: line => lines.push(line) }), 0)
    // What the real machine spent is not part of the simulation.
    return lines
      .join('\n')
      .replace(/ and [^ ]+ m?s of CPU/, '')
      .replace(/simulated in .*/, '')
  }
  t.testdir({})
  const first = run('5')
  t.equal(run('5'), first)
  t.not(run('6'), first)
  t.match(first, /How an update spreads/)
  const svg = readFileSync(join(t.testdirName, 'plot.svg'), 'utf8')
  t.match(svg, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/)
  t.equal(svg.match(/<polyline/g)?.length, 3)
})

t.test('the program says what it cannot use', async t => {
  const said: string[] = []
  const print = (line: string): void => void said.push(line)
  for (const args of [
    ['--nodes', 'many'],
    ['--loss', '1'],
    ['--delay', '5-1'],
    ['--nodes', '1'],
    ['--tea'],
    ['--flood', '0'],
  ])
    t.equal(simulate(args, { print }), 2, args.join(' '))
  t.ok(said.every(line => line.includes('usage: npm run simulate')))
  t.equal(simulate(['--help'], { print }), 0)
  t.equal(simulate(['--bootstrap', '--nodes', '5'], { print }), 0)
  t.match(said.at(-1), /everybody sees everybody after/)
  t.equal(simulate(['--memory', '--nodes', '50', '--entries', '100'], { print }), 0)
  t.match(said.at(-2), /51 members, 100 entries/)
})
