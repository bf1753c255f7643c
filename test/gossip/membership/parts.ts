/** The small pure parts of the machine, one by one. */
import t from 'tap'
import { LamportClock, LTIME_MOST } from '../../../src/gossip/serf/clock.ts'
import { EventBuffer } from '../../../src/gossip/serf/events.ts'
import { isForUs, safeMatch } from '../../../src/gossip/serf/filter.ts'
import { Intents } from '../../../src/gossip/serf/intents.ts'
import { Queries, queryTimeout } from '../../../src/gossip/serf/queries.ts'
import { type Env, newStats } from '../../../src/gossip/swim/env.ts'
import { Health } from '../../../src/gossip/swim/health.ts'
import { entryOf, MemberTable, Nodes, rosterOf, stepFor } from '../../../src/gossip/swim/members.ts'
import { Queue, transmitLimit } from '../../../src/gossip/swim/queue.ts'
import {
  shortestSuspicion,
  Suspicion,
  suspicionTime,
  wantedConfirmations,
} from '../../../src/gossip/swim/suspicion.ts'
import { syncInterval } from '../../../src/gossip/swim/sync.ts'
import { Timers } from '../../../src/gossip/swim/timers.ts'
import { Writer } from '../../../src/gossip/wire/writer.ts'
import type { Query } from '../../../src/gossip/wire/serf.ts'
import { ALIVE, DEAD, SUSPECT } from '../../../src/gossip/wire/types.ts'
import { silent } from '../../../src/base/log.ts'
import { randomOf } from './fixture/world.ts'

t.test('timers run in order, once, and not when cancelled', async t => {
  const timers = new Timers()
  const ran: number[] = []
  const random = randomOf(1)
  const made = Array.from({ length: 500 }, () => {
    const at = Math.floor(random() * 1_000)
    return timers.at(at, now => ran.push(at <= now ? at : -1))
  })
  for (let i = 0; i < 500; i += 2) timers.cancel(made[i])
  timers.cancel(made[0])
  timers.cancel(undefined)
  const wanted = made
    .filter((_, i) => i % 2)
    .map(timer => timer.at)
    .sort((a, b) => a - b)
  t.equal(timers.next(), wanted[0])
  timers.run(500)
  timers.run(2_000)
  t.same(ran, wanted)
  t.equal(timers.next(), Infinity)
  timers.cancel(made[1])
  timers.at(10, () => timers.at(10, () => ran.push(7)))
  timers.shift(5)
  t.equal(timers.next(), 15)
  timers.run(15)
  t.equal(ran.at(-1), 7)
  timers.at(1, () => ran.push(8))
  timers.clear()
  timers.run(99)
  t.equal(ran.at(-1), 7)
})

t.test('news goes out often enough, the freshest first, and replaces what is old', async t => {
  t.same([1, 9, 10, 99, 1_000, 10_000].map(transmitLimit), [8, 8, 8, 8, 16, 20])
  const queue = new Queue()
  const told: string[] = []
  const of = (text: string): Buffer => Buffer.from(text)
  queue.push(of('old'), 'n1', () => told.push('old'))
  queue.push(of('new'), 'n1', () => told.push('new'))
  t.same(told, ['old'], 'replaced')
  queue.push(of('other'))
  t.equal(queue.length, 2)
  t.same(queue.take(100, 2, 3).map(String), ['other', 'new'])
  queue.push(of('x'.repeat(50)))
  t.same(queue.take(20, 2, 3).map(String), ['other', 'new'], 'what does not fit waits')
  t.same(queue.take(60, 2, 3).map(String), ['x'.repeat(50), 'other'])
  for (let i = 0; i < 10; i++) queue.take(1_000, 2, 3)
  t.equal(queue.length, 0)
  t.ok(told.includes('new'))
  t.same(queue.take(1_000, 2, 3), [])
  t.notOk(queue.has('n1'))
})

t.test(
  'a queue that is full gives up what was told most, and forgets what was replaced',
  async t => {
    const queue = new Queue(100)
    for (let i = 0; i < 50; i++) queue.push(Buffer.from(`first ${i}`), `f${i}`)
    queue.take(10_000, 2, 3)
    for (let i = 0; i < 80; i++) queue.push(Buffer.from(`second ${i}`), `s${i}`)
    t.equal(queue.length, 100)
    t.equal(queue.dropped, 30)
    const out = queue.take(100_000, 2, 3).map(String)
    t.equal(
      out.filter(text => text.startsWith('second')).length + queue.take(100_000, 2, 3).length > 0,
      true,
    )
    for (let i = 0; i < 10_000; i++) queue.push(Buffer.from(`again ${i}`), 'same')
    t.ok(queue.length <= 100)
    t.ok(queue.has('same'))
  },
)

t.test('a suspect has long to refute, and less with each accuser', async t => {
  t.same(
    [1, 10, 100, 1_000, 10_000].map(n => shortestSuspicion(n, 1_000)),
    [4_000, 4_000, 8_000, 12_000, 16_000],
  )
  t.same([2, 3, 4, 100].map(wantedConfirmations), [0, 0, 2, 2])
  t.equal(suspicionTime(0, 2, 4_000), 24_000)
  t.equal(suspicionTime(2, 2, 4_000), 4_000)
  t.equal(suspicionTime(0, 0, 4_000), 4_000)
  const one = new Suspicion('a', 10, 1_000, 100)
  t.equal(one.until, 24_100)
  t.notOk(one.confirm('a'), 'the first accuser is no second')
  t.ok(one.confirm('b'))
  t.ok(one.until < 24_100 && one.until > 4_100)
  t.ok(one.confirm('c'))
  t.notOk(one.confirm('d'), 'enough is enough')
  t.equal(one.until, 4_100)
  one.shift(50)
  t.equal(one.until, 4_150)
})

t.test('health stays between well and ill', async t => {
  const health = new Health()
  health.change(-5)
  t.equal(health.stretched(1_000), 1_000)
  health.change(3)
  t.equal(health.stretched(1_000), 4_000)
  health.change(50)
  t.equal(health.score, 7)
})

t.test('push/pulls get rarer as the ring grows', async t => {
  t.same([2, 32, 100, 1_000, 10_000].map(syncInterval), [30_000, 30_000, 90_000, 180_000, 300_000])
})

const nodes = new Nodes()
const node = (name: string, address = '192.0.2.1'): ReturnType<Nodes['of']> =>
  nodes.of({
    node: name,
    address,
    port: 7946,
    meta: Buffer.from('role'),
    versions: Buffer.from([1, 5, 2, 2, 5, 5]),
  })

t.test('what a node says of itself is kept once', async t => {
  t.equal(node('a'), node('a'))
  t.equal(node('a').meta, node('b').meta)
  t.equal(node('a').versions, node('b').versions)
  t.not(node('a'), node('a', '192.0.2.9'))
  nodes.forget('b')
})

t.test('tables count, sum up and share what they began with', async t => {
  const roster = rosterOf(['a', 'b', 'c'].map(name => entryOf(node(name), 1, ALIVE, 0)))
  const [one, two] = [new MemberTable(roster), new MemberTable(roster)]
  t.equal(one.digest, two.digest)
  one.set(entryOf(node('b'), 1, DEAD, 5))
  one.set(entryOf(node('d'), 1, ALIVE, 5))
  t.equal(two.get('b')?.state, ALIVE)
  t.same([one.size, one.living, one.count(DEAD), two.size], [4, 3, 1, 3])
  t.not(one.digest, two.digest)
  two.set(entryOf(node('d'), 1, SUSPECT, 7))
  two.set(entryOf(node('b'), 1, DEAD, 6))
  t.equal(one.digest, two.digest, 'a suspect counts as living')
  one.remove('a')
  one.remove('d')
  one.remove('nobody')
  t.equal(one.get('a'), undefined)
  t.same(
    [...one].map(entry => entry.node.name),
    ['b', 'c'],
  )
  one.set(entryOf(node('e'), 1, ALIVE, 5))
  one.set(entryOf(node('a'), 2, ALIVE, 5))
  t.same([...one].map(entry => entry.node.name).sort(), ['a', 'b', 'c', 'e'])
  const whole = new MemberTable()
  for (const entry of one) whole.set(entry)
  t.equal(whole.digest, one.digest, 'the order does not matter')
  t.equal(rosterOf([...one]).digest, one.digest | 0)
})

t.test('members are drawn at random, each at most once, and everybody has a chance', async t => {
  const random = randomOf(3)
  const table = new MemberTable()
  for (let i = 0; i < 40; i++) table.set(entryOf(node(`n${i}`), 1, i % 4 ? ALIVE : DEAD, 0))
  const seen = new Set<string>()
  for (let i = 0; i < 400; i++) {
    const drawn = table
      .some(3, random, entry => entry.state === ALIVE)
      .map(entry => entry.node.name)
    t.equal(new Set(drawn).size, 3)
    for (const name of drawn) seen.add(name)
  }
  t.equal(seen.size, 30)
  t.equal(table.some(20, random, () => true).length, 20)
  t.equal(table.some(3, random, () => false).length, 0)
  t.equal(new MemberTable().some(3, random, () => true).length, 0)
  for (const span of [1, 2, 3, 10, 97]) {
    const step = stepFor(span, random)
    t.equal(new Set(Array.from({ length: span }, (_, i) => (i * step) % span)).size, span)
  }
})

t.test('Lamport clocks run ahead of what they see, but not to the end of time', async t => {
  const clock = new LamportClock()
  t.equal(clock.tick(), 1)
  t.ok(clock.witness(10))
  t.equal(clock.time, 11)
  t.ok(clock.witness(3))
  t.equal(clock.time, 11)
  t.notOk(clock.witness(LTIME_MOST))
  t.notOk(clock.witness(Number.MAX_SAFE_INTEGER))
  t.equal(clock.time, 11)
})

t.test('intents count by their time, even before their member is known', async t => {
  const intents = new Intents()
  t.ok(intents.keep('n', true, 5, 0))
  t.notOk(intents.keep('n', false, 5, 0))
  t.ok(intents.keep('n', true, 6, 0))
  intents.joined('n')
  t.ok(intents.isLeaving('n'))
  t.equal(intents.timeOf('n'), 6)
  t.notOk(intents.take('n', false, 6))
  t.ok(intents.take('n', false, 7))
  t.notOk(intents.isLeaving('n'))
  intents.take('n', true, 9)
  intents.joined('n')
  t.notOk(intents.isLeaving('n'), 'who comes back is not leaving any more')
  intents.reaped('n')
  t.equal(intents.timeOf('n'), 0)
  for (let i = 0; i < 9_000; i++) intents.keep(`x${i}`, true, 1, 0)
  t.notOk(intents.keep('late', true, 1, 1_000), 'so many and no more')
  t.ok(intents.keep('later', true, 1, 400_000), 'until the old ones are forgotten')
})

t.test('events are new once, and old when they are too far back to tell', async t => {
  const events = new EventBuffer()
  const event = (ltime: number, name = 'e', payload = 'p'): Parameters<EventBuffer['take']>[0] => ({
    ltime,
    name,
    payload: Buffer.from(payload),
    coalesce: false,
  })
  t.equal(events.take(event(1), 2), 'new')
  t.equal(events.take(event(1), 2), 'seen')
  t.equal(events.take(event(1, 'f'), 2), 'new')
  t.equal(events.take(event(1, 'e', 'q'), 2), 'new')
  t.equal(events.take(event(513), 514), 'new', 'takes the slot of 1')
  t.equal(events.take(event(1), 514), 'old')
  events.ignoreBefore(600)
  t.equal(events.take(event(599), 601), 'old')
  t.equal(events.take(event(600), 601), 'new')
  for (let i = 0; i < 100; i++) events.take(event(700, `n${i}`), 701)
  t.equal([...events.groups()].find(group => group[0]?.ltime === 700)?.length, 64)
  for (let i = 0; i < 2_000; i++) events.take(event(1_000 + i, 'big', 'x'.repeat(9_000)), 1_001 + i)
  t.ok([...events.groups()].flat().reduce((sum, one) => sum + one.payload.length, 0) <= 512 * 1024)
})

t.test('filters pass who is meant, and nobody by an expression that could run away', async t => {
  const tag = (name: string, expression: string): Uint8Array =>
    new Writer().u8(1).map(2).text('Tag').text(name).text('Expr').text(expression).done()
  const names = (...all: string[]): Uint8Array => {
    const w = new Writer().u8(0).array(all.length)
    for (const name of all) w.text(name)
    return w.done()
  }
  const tags = { role: 'agent' }
  t.ok(isForUs([], 'me', tags))
  t.ok(isForUs([names('you', 'me')], 'me', tags))
  t.notOk(isForUs([names('you')], 'me', tags))
  t.ok(isForUs([tag('role', '^ag.*t$'), names('me')], 'me', tags))
  t.notOk(isForUs([tag('role', 'web')], 'me', tags))
  t.ok(isForUs([tag('dc', '^$')], 'me', tags), 'a tag that is not there is empty')
  for (const filter of [Buffer.of(9), Buffer.alloc(0), Buffer.of(0, 0xc1), Buffer.of(1, 0xc1)])
    t.notOk(isForUs([filter], 'me', tags))
  t.equal(safeMatch('web|agent', 'agent'), true)
  for (const bad of [
    '(a*)*b',
    '(a|a)+$',
    '(.*)\\1',
    '(?<=a)',
    '.*.*.*.*x',
    'a{1,9999}',
    '[',
    'x'.repeat(200),
  ])
    t.equal(safeMatch(bad, 'aaaa'), undefined, bad)
  t.equal(safeMatch('a', 'a'.repeat(100)), undefined)
})

t.test('queries are new once, and answers are gathered until all came or time is over', async t => {
  const env: Env = {
    name: 'me',
    now: 0,
    random: randomOf(1),
    timers: new Timers(),
    stats: newStats(),
    log: silent,
  }
  const queries = new Queries(env)
  const query = (ltime: number, id: number): Query => ({
    ltime,
    id,
    address: '',
    port: 0,
    source: '',
    filters: [],
    flags: 0,
    relayFactor: 0,
    timeout: 1_000,
    name: 'q',
    payload: Buffer.alloc(0),
  })
  t.ok(queries.isNew(query(1, 1), 2))
  t.notOk(queries.isNew(query(1, 1), 2))
  t.ok(queries.isNew(query(1, 2), 2))
  t.ok(queries.isNew(query(513, 1), 514))
  t.notOk(queries.isNew(query(1, 9), 514))
  const done: string[] = []
  const answer = (ltime: number, id: number, from: string): void =>
    queries.answered({ ltime, id, from, flags: 0, payload: Buffer.from('x') })
  queries.collect(query(5, 50), 2, answers => done.push(answers.map(one => one.from).join()))
  answer(5, 51, 'wrong')
  answer(5, 50, 'a')
  answer(5, 50, 'a')
  t.same(done, [])
  answer(5, 50, 'b')
  t.same(done, ['a,b'])
  queries.collect(query(6, 60), 3, answers => done.push(answers.map(one => one.from).join()))
  answer(6, 60, 'c')
  env.timers.run(1_000)
  t.same(done, ['a,b', 'c'])
  for (let i = 0; i < 16; i++) queries.collect(query(100 + i, 1), 3, () => done.push(''))
  t.notOk(queries.free)
  queries.close()
  t.equal(done.length, 18)
  t.same([1, 9, 10, 1_000].map(queryTimeout), [3_200, 3_200, 6_400, 12_800])
})
