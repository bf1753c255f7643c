/**
 * The gossip at scale on a virtual clock: partitions, stalls, floods, restarts and late joiners (promised.ts has
 * updates and deaths). All numbers are simulated, so they are the same on every machine; SCALE=1000 runs it with
 * that many nodes.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Clock } from '../../../scripts/simulate/clock.ts'
import { simulate } from '../../../scripts/simulate/main.ts'
import {
  bootstrap,
  fill,
  flood,
  joinLate,
  partition,
  rollingRestart,
  stalls,
  statesOf,
} from '../../../scripts/simulate/scenarios.ts'
import { World } from '../../../scripts/simulate/world.ts'
import { ring } from './fixture/ring.ts'

t.setTimeout(600_000)

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

t.test('nodes that start at once with one seed find each other in 15 s', async t => {
  for (const nodes of [60, 300]) {
    const ms = bootstrap(new World({ seed: 1 }), nodes)
    t.ok(ms <= 15_000, `${nodes} nodes: ${ms} ms`)
  }
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
    // CPU time of the real machine is not part of the simulation.
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
