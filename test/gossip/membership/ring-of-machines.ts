/** Many complete membership machines on a virtual clock and network. */
import t from 'tap'
import type { RingEvent } from '../../../src/gossip/core.ts'
import { writeTags } from '../../../src/gossip/serf/tags.ts'
import {
  writeAlive,
  writePing,
  writePushPullHead,
  writeState,
} from '../../../src/gossip/wire/messages.ts'
import { SerfState, SerfStateWriter } from '../../../src/gossip/wire/serf-state.ts'
import { writeIntent, writeUserEvent } from '../../../src/gossip/wire/serf.ts'
import { ALIVE, SERF, TYPE } from '../../../src/gossip/wire/types.ts'
import { Keyring, keyText } from '../../../src/gossip/keyring.ts'
import type { Rider, RiderSend } from '../../../src/gossip/rider.ts'
import type { KeyResult } from '../../../src/gossip/serf/keys.ts'
import { type Node, World } from './fixture/world.ts'

/** Runs the same tests with another seed: GOSSIP_SEED=7 npx tap … */
const SEED = Number(process.env.GOSSIP_SEED ?? 1)

const named = (n: number): string[] => Array.from({ length: n }, (_, i) => `n${i}`)
/** The daemon waits so long for its parts to close (daemon/daemon.ts). */
const CLOSE_MS = 2_000

const ring = (n: number, options: object = {}): World => {
  const world = new World(SEED)
  for (const name of named(n))
    world.add(name, { ...(world.nodes[0] ? { seeds: [world.nodes[0].at] } : {}), ...options })
  world.until(() => world.agree(named(n)), 30_000)
  for (const node of world.nodes) node.events.length = 0
  return world
}
const types = (node: Node, about: string): string[] =>
  node.events
    .filter(event => 'member' in event && event.member.name === about)
    .map(event => event.type)
const stateOf = (node: Node, name: string): string =>
  node.core.memberNamed(name)?.state ?? 'unknown'
const others = (world: World, node: Node): Node[] =>
  world.nodes.filter(one => one !== node && !one.gone)

t.test('ten members find each other through one seed', async t => {
  const world = new World(SEED)
  for (const name of named(10))
    world.add(name, world.nodes[0] ? { seeds: [world.nodes[0].at] } : {})
  t.ok(world.until(() => world.agree(named(10)), 20_000) < 5_000)
  t.equal(
    new Set(world.nodes.map(node => node.core.digest)).size,
    1,
    'their tables have one digest',
  )
  t.ok(world.nodes.slice(1).every(node => node.core.status().joined))
})

t.test('a seed that comes up later is found', async t => {
  const world = new World(SEED)
  const seed = { address: '192.0.2.2', port: 7946 }
  world.add('n0', { seeds: [seed] })
  world.run(20_000)
  world.add('n1', { address: seed.address, port: seed.port })
  t.ok(world.until(() => world.agree(['n0', 'n1'])) <= 60_000)
})

t.test('a killed member is suspected within 4 s and dead within 12 s, everywhere', async t => {
  const world = ring(10)
  const [, victim] = world.nodes
  world.kill(victim!)
  const suspected = world.until(() =>
    others(world, victim!).every(node => types(node, 'n1').includes('suspect')),
  )
  t.ok(suspected <= 4_000, `suspected after ${suspected} ms`)
  const dead = world.until(() =>
    others(world, victim!).every(node => stateOf(node, 'n1') === 'dead'),
  )
  t.ok(suspected + dead <= 12_000, `dead after ${suspected + dead} ms`)
  for (const node of others(world, victim!)) t.match(types(node, 'n1').join(), /^suspect,dead$/)
})

t.test('a paused member is suspected, refutes, and accuses nobody when it goes on', async t => {
  const world = ring(10)
  const [, sleeper] = world.nodes
  world.pause(sleeper!)
  t.ok(
    world.until(
      () => others(world, sleeper!).every(node => stateOf(node, 'n1') === 'suspect'),
      10_000,
    ) < 10_000,
  )
  world.resume(sleeper!)
  t.ok(world.until(() => world.agree(named(10)), 10_000) <= 3_000)
  world.run(30_000)
  t.ok(world.agree(named(10)))
  t.ok(sleeper!.core.stats.stalls > 0, 'it knows that it stood still')
  t.ok(others(world, sleeper!).every(node => types(node, 'n1').at(-1) === 'alive'))
  t.notOk(sleeper!.events.some(event => event.type === 'suspect' || event.type === 'dead'))
})

t.test('a member paused until it is dead everywhere comes back by itself', async t => {
  const world = ring(10)
  const [, sleeper] = world.nodes
  world.pause(sleeper!)
  world.run(120_000)
  t.ok(others(world, sleeper!).every(node => stateOf(node, 'n1') === 'dead'))
  world.resume(sleeper!)
  t.ok(world.until(() => world.agree(named(10)), 60_000) <= 30_000)
  t.notOk(sleeper!.events.some(event => event.type === 'dead'))
})

t.test('a graceful leave is a leave everywhere, and no suspicion', async t => {
  const world = ring(10)
  const [, leaver] = world.nodes
  let left = false
  world.act(leaver!, core => core.leave(world.now, () => (left = true)))
  t.ok(world.until(() => left, 5_000) <= CLOSE_MS)
  t.ok(others(world, leaver!).every(node => stateOf(node, 'n1') === 'left'))
  world.kill(leaver!)
  world.run(60_000)
  for (const node of others(world, leaver!)) t.same(types(node, 'n1'), ['leave'])
})

t.test('whoever leaves at the same time is not waited for', async t => {
  for (const [nodes, within] of [
    [1, 100],
    [2, 1_000],
    [10, CLOSE_MS],
  ] as const) {
    const world = ring(nodes)
    let left = 0
    for (const node of world.nodes) world.act(node, core => core.leave(world.now, () => left++))
    t.ok(world.until(() => left === nodes, 5_000) <= within, `all ${nodes}`)
  }
})

t.test(
  'who left comes back, even counting incarnations from 1 again as a real serf does',
  async t => {
    const world = ring(5, { incarnation: 7 })
    const [, leaver] = world.nodes
    world.act(leaver!, core => core.leave(world.now, () => {}))
    world.run(4_000)
    world.restart(leaver!, { incarnation: 1, seeds: [world.nodes[0]!.at] })
    t.ok(world.until(() => world.agree(named(5)), 60_000) <= 5_000)
  },
)

t.test('who crashed comes back counting from 1 (memberlist #311)', async t => {
  const world = ring(5, { incarnation: 7 })
  const [, victim] = world.nodes
  world.kill(victim!)
  world.until(() => others(world, victim!).every(node => stateOf(node, 'n1') === 'dead'))
  world.restart(victim!, { incarnation: 1, seeds: [world.nodes[0]!.at] })
  t.ok(world.until(() => world.agree(named(5)), 60_000) <= 5_000)
})

t.test('a member that comes back at another address is found there', async t => {
  for (const [what, wait] of [
    ['at once', 0],
    ['when it is dead', 60_000],
  ] as const) {
    const world = ring(5)
    const [, mover] = world.nodes
    world.kill(mover!)
    world.run(wait)
    world.restart(mover!, {
      address: '203.0.113.9',
      incarnation: 2_000,
      seeds: [world.nodes[0]!.at],
    })
    const there = (): boolean =>
      world.nodes.every(node => node.core.memberNamed('n1')?.address === '203.0.113.9')
    t.ok(world.until(() => world.agree(named(5)) && there(), 60_000) <= 5_000, what)
    world.run(30_000)
    t.notOk(
      world.nodes.some(node => node.events.some(({ type }) => type === 'outvoted')),
      'and is no twin of its old self',
    )
  }
})

t.test('two nodes of one name are a conflict, and the first one stays', async t => {
  const world = ring(5)
  const twin = world.add('n1', {
    address: '203.0.113.9',
    incarnation: 5_000,
    seeds: [world.nodes[0]!.at],
  })
  world.run(40_000)
  const ring5 = world.nodes.filter(node => node !== twin)
  t.ok(ring5.every(node => node.core.memberNamed('n1')?.address === '192.0.2.2'))
  t.ok(ring5.some(node => node.events.some(event => event.type === 'conflict')))
  t.ok(
    twin.events.some((event: RingEvent) => event.type === 'conflict'),
    'the newcomer is told',
  )
  t.same(
    world.nodes.filter(node => isOut(node)),
    [twin],
    'and that the ring keeps the other',
  )
})
/** Whether it was told that the ring keeps another node of its name. */
const isOut = (node: Node): boolean => node.events.some(event => event.type === 'outvoted')

t.test('a ring whose halves know different nodes of one name settles on one', async t => {
  const world = new World(SEED)
  const halves = [
    ['n0', 'n1', 'n2'],
    ['n3', 'n4'],
  ] as const
  const side = new Map<Node, number>()
  world.passes = (from, to) => side.get(from) === side.get(to)
  halves.forEach((names, i) => {
    const [first, ...rest] = [...names, 'x'].map((name, n) => {
      const node = world.add(name, { address: `203.0.${113 + i}.${n + 1}`, incarnation: 10 + i })
      side.set(node, i)
      return node
    })
    for (const node of rest) world.act(node, core => core.join([first!.at], world.now, () => {}))
  })
  t.ok(
    world.until(() =>
      halves.every((names, i) =>
        world.agree(
          [...names, 'x'],
          [...side].filter(([, of]) => of === i).map(([node]) => node),
        ),
      ),
    ) < Infinity,
  )
  world.passes = () => true
  world.act(world.nodes[0]!, core => core.join([world.nodes.at(-1)!.at], world.now, () => {}))
  const twins = world.nodes.filter(({ name }) => name === 'x')
  t.ok(world.until(() => twins.some(isOut)) < Infinity)
  t.same(twins.map(isOut), [false, true], 'more members know the first one')
  world.kill(twins[1]!)
  const stays = twins[0]!.at.address
  const settled = (): boolean =>
    world.nodes.every(node => node.gone || node.core.memberNamed('x')?.address === stays)
  t.ok(world.until(() => settled() && world.agree(['n0', 'n1', 'n2', 'n3', 'n4', 'x'])) < Infinity)
  world.run(60_000)
  t.same(twins.map(isOut), [false, true])
})

t.test('two nodes of one name and nobody else: exactly one stays', async t => {
  const world = new World(SEED)
  const one = world.add('x', { address: '203.0.113.1' })
  const other = world.add('x', { address: '203.0.113.2', incarnation: 9, seeds: [one.at] })
  world.until(() => isOut(other))
  world.run(30_000)
  t.same([one, other].map(isOut), [false, true])
})

/** A ring of five with a twin of n1 that has stepped aside. */
const withTwin = (): { world: World; twin: Node; first: Node } => {
  const world = ring(5)
  const first = world.nodes[1]!
  const twin = world.add('n1', {
    address: '203.0.113.9',
    incarnation: 5_000,
    seeds: [world.nodes[0]!.at],
  })
  world.until(() => isOut(twin))
  return { world, twin, first }
}
const isBack = (node: Node): boolean => node.events.some(event => event.type === 'returned')
/** What the others were told of n1 since then. */
const told = (world: World, since: ReadonlyMap<Node, number>): string[] =>
  world.nodes
    .filter(({ name }) => name !== 'n1')
    .map(node =>
      node.events
        .slice(since.get(node))
        .flatMap(event => ('member' in event && event.member.name === 'n1' ? [event.type] : []))
        .join(),
    )

for (const [how, end] of [
  ['dies', (world, node) => world.kill(node)],
  [
    'says good-bye',
    (world, node) => world.act(node, core => core.leave(world.now, () => world.kill(node))),
  ],
] satisfies [string, (world: World, node: Node) => void][])
  t.test(`the twin that stepped aside comes back when the other one ${how}, once`, async t => {
    const { world, twin, first } = withTwin()
    const since = new Map(world.nodes.map(node => [node, node.events.length]))
    end(world, first)
    world.run(50_000)
    t.notOk(isBack(twin), 'not at once: the other one may be restarted')
    t.ok(world.until(() => isBack(twin)) < Infinity)
    t.ok(world.until(() => world.agree(named(5))) < Infinity, 'all see it as a member')
    const others = world.nodes.filter(node => node !== twin && !node.gone)
    t.ok(others.every(node => node.core.memberNamed('n1')?.address === twin.at.address))
    world.run(120_000)
    const gone = how === 'dies' ? 'suspect,dead' : 'leave'
    t.same([...new Set(told(world, since))], [`${gone},join`], 'gone once, and here once')
  })

t.test('the twin stays aside while the other one is there', async t => {
  const { world, twin, first } = withTwin()
  world.passes = (from, to) => !(from === twin && to === first) && !(from === first && to === twin)
  const since = new Map(world.nodes.map(node => [node, node.events.length]))
  const said = twin.core.stats.packetsOut
  world.run(300_000)
  t.notOk(isBack(twin), 'also if only others reach it')
  t.same([...new Set(told(world, since))], [''], 'nobody notices')
  t.ok(twin.core.stats.packetsOut - said < 300, 'and it says little')
  world.passes = () => true
  world.pause(first)
  world.run(40_000)
  world.resume(first)
  world.run(30_000)
  t.notOk(isBack(twin), 'also if that one stood still for a while')
  world.loss = 0.25
  world.run(600_000)
  t.notOk(isBack(twin), 'also if a quarter of all datagrams is lost')
  t.same(
    [
      twin.core.userEvent('x', Buffer.alloc(0), false, world.now),
      twin.core.keys('list', '', world.now, () => {}),
    ],
    [false, false],
  )
  let ended = false
  world.act(twin, core => core.leave(world.now, () => (ended = true)))
  t.ok(ended, 'it ends without a good-bye')
  world.loss = 0
  world.run(5_000)
  t.ok(
    world.agree(
      named(5),
      world.nodes.filter(node => node !== twin),
    ),
  )
})

t.test('a twin that comes back while the other one does steps aside again', async t => {
  const { world, twin, first } = withTwin()
  world.kill(first)
  t.ok(world.until(() => isBack(twin)) < Infinity)
  world.run(10_000)
  const again = world.restart(first, { incarnation: 9_000, seeds: [world.nodes[0]!.at] })
  t.ok(world.until(() => isOut(again)) < Infinity, 'the ring keeps the one that it knows')
  world.run(60_000)
  t.notOk(isOut(again) && twin.events.filter(({ type }) => type === 'outvoted').length > 1)
})

t.test('our own name at another address of this host is no twin', async t => {
  const world = new World(SEED)
  const node = world.add('n0')
  const other = { address: '203.0.113.9', port: 7946 }
  const claim = writeAlive({
    node: 'n0',
    ...other,
    meta: new Uint8Array(0),
    versions: Uint8Array.of(1, 5, 2, 2, 5, 5),
    incarnation: 1,
  })
  node.core.packet(claim, other, world.now)
  let pings = 0
  for (let ms = 0; ms < 5_000; ms += 50) {
    for (const effect of node.core.take())
      if (effect.do === 'packet' && effect.to.address === other.address) {
        pings++
        node.core.packet(Buffer.from(effect.bytes), node.at, world.now + ms)
      }
    node.core.tick(world.now + ms)
  }
  t.ok(pings > 0, 'it looked')
  t.equal(node.core.stats.conflicts, 0)
})

t.test("a ring cut in half for five minutes heals within a minute of the cut's end", async t => {
  const world = ring(12)
  const half = new Set(world.nodes.slice(0, 6))
  world.passes = (from, to) => half.has(from) === half.has(to)
  world.run(300_000)
  t.ok(world.nodes.every(node => world.alive(node).length === 6))
  world.passes = () => true
  const ms = world.until(() => world.agree(named(12)), 120_000)
  t.ok(ms <= 60_000, `healed after ${ms} ms`)
})

t.test('a member only TCP reaches is not accused', async t => {
  const world = ring(5)
  const [a, b] = world.nodes
  world.packetPasses = (from, to) => !(from === a && to === b) && !(from === b && to === a)
  for (const node of world.nodes.slice(2))
    world.packetPasses = both(world.packetPasses, (_, to) => to !== node || _ === node)
  world.run(60_000)
  t.ok(a!.core.stats.probesByTcp > 0)
  t.notOk(a!.events.some(event => event.type === 'dead'))
})
const both =
  (a: World['passes'], b: World['passes']): World['passes'] =>
  (from, to) =>
    a(from, to) && b(from, to)

t.test('a quarter of all packets lost kills nobody', async t => {
  const world = ring(10)
  world.loss = 0.25
  world.run(120_000)
  t.equal(world.nodes.flatMap(node => node.events).filter(event => event.type === 'dead').length, 0)
  t.ok(world.nodes.every(node => node.core.counts().dead === 0))
})

t.test('a user event comes to everybody once, and not to who joins later', async t => {
  const world = ring(10)
  t.ok(
    world.act(world.nodes[3]!, core =>
      core.userEvent('deploy', Buffer.from('42'), false, world.now),
    ),
  )
  world.run(5_000)
  for (const node of world.nodes) {
    const seen = node.events.filter(event => event.type === 'userEvent')
    t.equal(seen.length, 1)
    t.match(seen[0], { name: 'deploy', ltime: 1 })
  }
  const late = world.add('n10', { seeds: [world.nodes[0]!.at] })
  world.run(60_000)
  t.equal(late.events.filter(event => event.type === 'userEvent').length, 0)
  t.notOk(
    world.act(late, core => core.userEvent('big', new Uint8Array(512), false, world.now)),
    "Serf's limit of 512 octets holds",
  )
})

t.test(
  'an event that overtakes the answer to a join is as old as one that comes in it',
  async t => {
    const world = ring(3)
    const [first] = world.nodes
    world.act(first!, core => core.userEvent('deploy', Buffer.from('1'), false, world.now))
    world.run(2_000)
    const late = world.add('n3', { seeds: [first!.at] })
    world.act(late, core => core.tick(world.now))
    const event = (ltime: number, name: string): Uint8Array =>
      Buffer.concat([
        Buffer.of(TYPE.user),
        writeUserEvent({ ltime, name, payload: Buffer.from('1'), coalesce: false }),
      ])
    // a member that learned of the joiner sends at once; the answer takes a TCP round trip
    world.act(late, core => core.packet(event(1, 'deploy'), first!.at, world.now))
    world.act(late, core => core.packet(event(9, 'news'), first!.at, world.now))
    world.run(5_000)
    t.same(
      late.events.flatMap(one => (one.type === 'userEvent' ? [one.name] : [])),
      ['news'],
      'the old one is not delivered, the new one is',
    )
  },
)

t.test('the time of a leave does not grow while tables are exchanged', async t => {
  // a joiner that counted the leave's time up treated the member as leaving when it came back
  const world = ring(3)
  const [first, second, third] = world.nodes
  world.act(third!, core => core.leave(world.now, () => {}))
  world.until(() => [first!, second!].every(node => stateOf(node, 'n2') === 'left'))
  world.kill(third!)
  const before = Math.max(...[first!, second!].map(node => node.core.status().clocks.member))
  for (let i = 0; i < 20; i++) {
    const [from, to] = i % 2 ? [first!, second!] : [second!, first!]
    world.act(from, core => core.join([to.at], world.now, () => {}))
    world.run(2_000)
  }
  const times = [first!, second!].map(node => leaveTime(world, node, 'n2'))
  t.equal(times[0], times[1])
  t.ok(times[0]! <= before, `${times[0]} is from before ${before}`)
  const back = world.restart(third!, { seeds: [first!.at], incarnation: 9_000 })
  world.until(() => world.agree(named(3)))
  world.run(5_000)
  t.ok(leaveTime(world, first!, 'n2') > times[0]! + 1, 'a Serf that counts one more sees the join')
  t.equal(back.core.counts().alive, 3)
})
/** The Lamport time that a member shows for another in its push/pull. */
const leaveTime = (world: World, of: Node, name: string): number => {
  const id = -77
  const from = { address: '203.0.0.9', port: 7946 }
  const user = new SerfStateWriter({ member: 1, event: 1, query: 1 }, [], [], 0).done()
  of.core.streamAccepted(id, from, world.now)
  of.core.streamData(
    id,
    Buffer.concat([writePushPullHead({ nodes: 0, userLength: user.length, join: false }), user]),
    world.now,
  )
  let time = -1
  for (let ms = 0; ms < 200; ms += 10) {
    of.core.tick(world.now + ms)
    for (const effect of of.core.take()) {
      if (effect.do !== 'end' || effect.id !== id) continue
      const at = Buffer.from(effect.bytes).lastIndexOf(Buffer.of(SERF.pushPull, 0x86))
      const state = new SerfState(effect.bytes.subarray(at))
      time = new Map(state.members(100)).get(name) ?? -1
    }
  }
  return time
}

t.test('force-leave turns failed into left everywhere, and with prune into nobody', async t => {
  const world = ring(6)
  const [first, one, two] = world.nodes
  world.kill(one!)
  world.kill(two!)
  world.until(() =>
    others(world, one!).every(
      node => stateOf(node, 'n1') === 'dead' && stateOf(node, 'n2') === 'dead',
    ),
  )
  world.act(first!, core => core.forceLeave('n1', false, world.now))
  world.act(first!, core => core.forceLeave('n2', true, world.now))
  world.run(3_000)
  t.ok(others(world, one!).every(node => stateOf(node, 'n1') === 'left'))
  t.ok(others(world, one!).every(node => stateOf(node, 'n2') === 'unknown'))
})

t.test('force-leave of a member that lives is refuted', async t => {
  const world = ring(5)
  world.act(world.nodes[0]!, core => core.forceLeave('n1', false, world.now))
  world.run(10_000)
  t.ok(world.agree(named(5)))
})

t.test('tags that change are seen everywhere', async t => {
  const world = ring(5)
  world.act(world.nodes[2]!, core => core.setTags({ role: 'other' }, world.now))
  world.run(3_000)
  t.ok(world.nodes.every(node => node.core.memberNamed('n2')?.tags.role === 'other'))
  t.ok(others(world, world.nodes[2]!).every(node => types(node, 'n2').join() === 'update'))
  t.notOk(world.act(world.nodes[2]!, core => core.setTags({ role: 'x'.repeat(512) }, world.now)))
})

t.test('keys are replaced while the ring runs', async t => {
  const [old, fresh] = [Buffer.alloc(32, 1), Buffer.alloc(16, 2)]
  const world = new World(SEED)
  const keyrings = named(5).map(() => new Keyring([old]))
  named(5).forEach((name, i) =>
    world.add(name, { keyring: keyrings[i]!, ...(i > 0 ? { seeds: [world.nodes[0]!.at] } : {}) }),
  )
  t.ok(world.until(() => world.agree(named(5)), 10_000) < 10_000)
  const ask = (operation: 'list' | 'install' | 'use' | 'remove', key = ''): KeyResult => {
    let result: KeyResult | undefined
    t.ok(
      world.act(world.nodes[1]!, core => core.keys(operation, key, world.now, r => (result = r))),
    )
    world.until(() => result !== undefined, 20_000)
    return result!
  }
  t.match(ask('install', keyText(fresh)), { members: 5, answered: 5, failed: 0 })
  t.match(ask('use', keyText(fresh)), { members: 5, answered: 5, failed: 0 })
  t.match(ask('list'), {
    answered: 5,
    keys: { [keyText(old)]: 5, [keyText(fresh)]: 5 },
    primary: { [keyText(fresh)]: 5 },
  })
  t.match(ask('remove', keyText(fresh)), { answered: 5, failed: 5 }, 'the primary key stays')
  t.match(ask('remove', keyText(old)), { answered: 5, failed: 0 })
  t.ok(keyrings.every(one => one.list().join() === keyText(fresh)))
  world.run(10_000)
  t.ok(world.agree(named(5)))
  t.equal(
    world.nodes.reduce((sum, node) => sum + node.core.stats.refused, 0),
    0,
    'not a packet was lost over it',
  )
})

t.test('another key, no key, and another label are kept out', async t => {
  const world = new World(SEED)
  const keyring = new Keyring([Buffer.alloc(32, 1)])
  const first = world.add('n0', { keyring })
  const seeds = [first.at]
  world.add('wrong', { keyring: new Keyring([Buffer.alloc(32, 9)]), seeds })
  world.add('plain', { seeds })
  world.add('label', { keyring: new Keyring([Buffer.alloc(32, 1)]), label: 'other', seeds })
  world.run(60_000)
  t.same(world.alive(first), ['n0'])
  for (const node of world.nodes) t.same(world.alive(node), [node.name])
  world.add('n1', { keyring: new Keyring([Buffer.alloc(32, 1)]), seeds })
  t.ok(world.until(() => world.alive(first).length === 2) < 10_000)
})

t.test('a labelled ring works, encrypted or not', async t => {
  for (const keyring of [undefined, new Keyring([Buffer.alloc(24, 1)])]) {
    const world = new World(SEED)
    for (const name of named(3))
      world.add(name, {
        label: 'blue',
        keyring,
        ...(world.nodes[0] ? { seeds: [world.nodes[0].at] } : {}),
      })
    t.ok(world.until(() => world.agree(named(3)), 10_000) < 10_000)
  }
})

/** A rider that records what it gets, and sends what the test sets. */
const noted = (): Rider & { out: RiderSend[]; got: string[] } => {
  const got: string[] = []
  const out: RiderSend[] = []
  return {
    got,
    out,
    digest: () => Uint8Array.of(0x81, 1, 2, 3),
    onDigest: (from, digest) => got.push(`digest ${from} ${Buffer.from(digest).toString('hex')}`),
    onPacket: (from, body) => got.push(`packet ${from} ${Buffer.from(body)}`),
    onStreamRequest: (from, body) => {
      got.push(`request ${from} ${body.length}`)
      return body.length > 1 ? Buffer.from(`answer to ${body.length}`) : undefined
    },
    onStreamResponse: (from, token, body) =>
      got.push(`response ${from} ${token} ${body ? Buffer.from(body) : 'none'}`),
    onMember: event => got.push(`${event.type} ${event.member.name}`),
    poll: () => ({ sends: out.splice(0), nextMs: 1_000 }),
  }
}

t.test('the records ride along, between capable members only', async t => {
  const world = new World(SEED)
  const riders = [noted(), noted()] as const
  const tags = { role: 'test', sp: '1' }
  world.add('n0', { rider: riders[0], tags })
  world.add('n1', { rider: riders[1], tags, seeds: [world.nodes[0]!.at] })
  world.add('serf', { seeds: [world.nodes[0]!.at] })
  world.until(() => world.agree(['n0', 'n1', 'serf']), 10_000)
  world.run(5_000)
  t.ok(riders[1].got.includes('join n0'))
  t.ok(riders[1].got.includes('digest n0 81010203'))
  t.ok(riders[0].got.includes('digest n1 81010203'))
  riders[0].out.push(
    { via: 'packet', to: 'n1', body: Buffer.from('hello') },
    { via: 'packet', to: 'serf', body: Buffer.from('never') },
    { via: 'packet', to: 'nobody', body: Buffer.from('never') },
    { via: 'stream', to: 'n1', body: new Uint8Array(100_000), token: 7 },
    { via: 'stream', to: 'serf', body: Buffer.from('no'), token: 8 },
  )
  world.run(2_000)
  riders[0].out.push({ via: 'stream', to: 'n1', body: Uint8Array.of(1), token: 9 })
  world.run(2_000)
  t.ok(riders[1].got.includes('packet n0 hello'))
  t.ok(riders[1].got.includes('request n0 100000'))
  t.ok(riders[0].got.includes('response n1 7 answer to 100000'))
  t.ok(riders[0].got.includes('response serf 8 none'))
  t.ok(riders[0].got.includes('response n1 9 none'), 'a request that is not answered ends too')
  t.equal(world.nodes[0]!.core.stats.recordsDropped, 2)
  t.equal(world.nodes[2]!.core.stats.malformed, 0, 'a plain serf is shown nothing it does not know')
})

t.test('the records have a budget that no flood of theirs exceeds', async t => {
  const world = new World(SEED)
  const rider = noted()
  const tags = { sp: '1' }
  world.add('n0', { rider, tags, recordsPerSecond: 10_000 })
  world.add('n1', { rider: noted(), tags, seeds: [world.nodes[0]!.at] })
  world.until(() => world.agree(['n0', 'n1']), 10_000)
  const before = world.nodes[0]!.core.stats.recordBytesOut
  for (let i = 0; i < 100; i++)
    rider.out.push({ via: 'packet', to: 'n1', body: new Uint8Array(1_000) })
  world.run(10_000)
  const { stats } = world.nodes[0]!.core
  t.ok(stats.recordBytesOut - before <= 2 * 10_000)
  t.ok(stats.recordsDropped >= 80)
})

t.test('a quiet ring of capable members saves its push/pulls', async t => {
  const world = ring(8, { tags: { sp: '1' } })
  world.run(400_000)
  const { syncs, syncsSaved } = world.nodes[0]!.core.stats
  t.ok(syncsSaved > 5, `${syncs} done, ${syncsSaved} saved`)
  t.ok(world.agree(named(8)))
})

t.test("members lost to each other's tables are found again by digest", async t => {
  const world = new World(SEED)
  world.add('n0', { tags: { sp: '1' } })
  // all gossip is lost, so only push/pull can pass it on
  world.packetPasses = () => true
  for (let i = 1; i < 30; i++)
    world.add(`n${i}`, { tags: { sp: '1' }, seeds: [world.nodes[0]!.at] })
  t.ok(world.until(() => world.agree(named(30)), 60_000) <= 10_000)
})

t.test('a restart with an old clock still beats what is said of it', async t => {
  const world = ring(4, { incarnation: 1_000_000 })
  world.restart(world.nodes[1]!, { incarnation: 5, seeds: [world.nodes[0]!.at] })
  t.ok(world.until(() => world.agree(named(4)), 60_000) <= 10_000)
})

t.test('a full table takes new members in the place of those who are gone', async t => {
  const world = new World(SEED)
  const first = world.add('n0', { membersMost: 4 })
  for (const name of ['n1', 'n2', 'n3', 'n4']) world.add(name, { seeds: [first.at] })
  world.run(20_000)
  t.equal([...first.core.members()].length, 4)
  t.ok(first.core.stats.membersRefused > 0)
  const [known] = world.alive(first).filter(name => name !== 'n0')
  world.kill(world.nodes.find(node => node.name === known)!)
  t.ok(world.until(() => world.alive(first).length === 4, 120_000) < 120_000)
})

t.test('a large table is taken a slice at a time, and packets are answered in between', async t => {
  const world = new World(SEED)
  const { core } = world.add('we')
  const states = Array.from({ length: 3_000 }, (_, n) =>
    writeState({
      node: `m${n}`,
      address: `203.0.${n >> 8}.${n & 255}`,
      port: 7946,
      meta: writeTags({ role: 'test' })!,
      versions: Uint8Array.of(1, 5, 2, 2, 5, 5),
      incarnation: 1_000,
      state: ALIVE,
    }),
  )
  const serf = new SerfStateWriter({ member: 9, event: 1, query: 1 }, [], [], 3_000)
  for (let n = 0; n < 3_000; n++) serf.member(`m${n}`, 1)
  const user = serf.done()
  const head = writePushPullHead({ nodes: 3_000, userLength: user.length, join: true })
  const from = { address: '203.0.0.0', port: 7946 }
  core.streamAccepted(-1, from, world.now)
  core.streamData(-1, Buffer.concat([head, ...states, user]), world.now)
  let largest = 0
  let answers = 0
  const known = (): number => core.counts().alive
  for (let ticks = 0; core.nextMs() <= world.now && ticks < 1_000; ticks++) {
    const before = known()
    core.tick(world.now)
    largest = Math.max(largest, known() - before)
    core.take()
    core.packet(writePing(9, 'we', { ...from, name: 'm0' }), from, world.now)
    answers += core.take().filter(effect => effect.do === 'packet').length
  }
  t.equal(known(), 3_001)
  t.ok(largest <= 100, `${largest} at once`)
  t.ok(answers >= 60, `${answers} answers in between`)
  t.equal(core.stats.malformed, 0)
})

t.test('a driver that measured a stall makes the member patient', async t => {
  const world = ring(3)
  const [first] = world.nodes
  world.act(first!, core => core.delayed(2_500, world.now))
  t.equal(first!.core.status().health, 3)
  t.equal(first!.core.stats.stalls, 1)
  t.ok(first!.core.nextMs() > world.now + 2_000, 'and everything waits as long')
})

t.test('whoever shows a later time for us than ours hears that we are here', async t => {
  // a member that knows a leave of ours shows only the leave's time in its push/pull
  const world = new World(SEED)
  const { core } = world.add('we')
  const from = { address: '203.0.0.1', port: 7946 }
  const state = writeState({
    node: 'm0',
    ...from,
    meta: writeTags({ role: 'test' })!,
    versions: Uint8Array.of(1, 5, 2, 2, 5, 5),
    incarnation: 1_000,
    state: ALIVE,
  })
  const serf = new SerfStateWriter({ member: 60, event: 1, query: 1 }, [], [], 2)
  serf.member('m0', 1)
  serf.member('we', 57)
  const user = serf.done()
  core.streamAccepted(-1, from, world.now)
  core.streamData(
    -1,
    Buffer.concat([
      writePushPullHead({ nodes: 1, userLength: user.length, join: true }),
      state,
      user,
    ]),
    world.now,
  )
  const said: Buffer[] = []
  for (let ms = 0; ms < 2_000; ms += 20) {
    core.tick(world.now + ms)
    for (const effect of core.take())
      if (effect.do === 'packet') said.push(Buffer.from(effect.bytes))
  }
  const joins = Array.from({ length: 40 }, (_, i) => 58 + i).filter(ltime =>
    said.some(bytes =>
      bytes.includes(writeIntent(SERF.join, { ltime, node: 'we', prune: false }).subarray(1)),
    ),
  )
  t.equal(joins.length, 1, `one join intent, at ${joins.join()}`)
})
