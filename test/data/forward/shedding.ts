/** Too many questions at once: who gives way, and what it costs the others. */
import t from 'tap'
import { SLOT } from '../../../src/boundary/counters.ts'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import { Plane, positive, raceRoute, snapshotOf, udp } from '../../fixture/bench-plane.ts'

const MASTER = '192.0.2.1'
const plane = (maxInFlight: number): Promise<Plane> =>
  Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }), { maxInFlight })
const flood = { client: '127.0.0.66' }
const honest = { client: '127.0.0.7' }

t.test('a flood of names from one client costs another client no answer', async t => {
  const p = await plane(50)
  const wanted: ReturnType<Plane['ask']>[] = []
  for (let i = 0; i < 5_000; i++) {
    p.ask(`flood${i}.mesos`, 'A', flood)
    // Sockets are opened as they are used up.
    if (i % 50 === 0) await new Promise(setImmediate)
    if (i % 500 === 0) wanted.push(p.ask(`n${i}.mesos`, 'A', honest))
  }
  t.ok(
    wanted.every(given => given.length === 0),
    'none of its questions was given up',
  )
  t.equal(p.resolver.inFlight, 50)
  t.equal(p.counters[SLOT.shed], 5_000 + 10 - 50)
  t.equal(p.cache.entries, 0, 'nor is what was given up remembered as a failure')
})

t.test('a name that a flood asked for first is answered for whoever else waits', async t => {
  const p = await plane(10)
  p.ask('web.mesos', 'A', flood)
  const given = p.ask('web.mesos', 'A', honest)
  const sent = p.sentTo(MASTER).at(-1)!
  for (let i = 0; i < 100; i++) p.ask(`flood${i}.mesos`, 'A', flood)
  t.equal(given.length, 0)
  p.io.arrive(sent.socket, sent.to, positive('web.mesos', '203.0.113.1')(sent.bytes))
  t.equal(rcodeOf(given[0]!.entry), 0)
})

t.test('200,000 questions for one name that nobody answers grow nothing', async t => {
  const p = await plane(100)
  const given = p.ask('web.mesos', 'A', honest)
  let refused = 0
  for (let i = 0; i < 200_000; i++)
    if (p.ask('web.mesos', 'A', flood).length > 0 || i >= 199) refused++
  t.equal(p.resolver.inFlight, 1)
  t.ok(p.resolver.waiting <= 200, `${p.resolver.waiting} wait`)
  t.ok(refused > 199_000)
  t.equal(given.length, 0, 'the other client still waits')
  p.reply(MASTER, positive('web.mesos', '203.0.113.1'))
  t.equal(rcodeOf(given[0]!.entry), 0)
  t.equal(p.resolver.waiting, 0)
})

t.test('what is given up is not asked for any longer', async t => {
  const p = await plane(3)
  for (let i = 0; i < 10; i++) p.ask(`n${i}.mesos`, 'A', flood)
  p.io.advance(300)
  const again = p.io.sent.filter(s => s.at > 1_000).length
  t.equal(again, 3, 'only what is in flight is sent again')
})

t.test('with equal shares the oldest gives way', async t => {
  const p = await plane(3)
  const all = Array.from({ length: 5 }, (_, i) => p.ask(`n${i}.mesos`, 'A', flood))
  t.same(
    all.map(given => given.length),
    [1, 1, 0, 0, 0],
  )
  t.match(all[0], [{ entry: { ede: 0 } }])
  t.equal(rcodeOf(all[0]![0]!.entry), 2)
})

t.test('while no upstream answers, new names fail soon, and their questions go on', async t => {
  const p = await plane(100)
  p.ask('first.mesos')
  p.io.advance(2_000)
  const given = p.ask('second.mesos')
  p.io.advance(100)
  t.match(given, [{ entry: { ede: 22 } }])
  t.equal(rcodeOf(given[0]!.entry), 2)
  p.reply(MASTER, positive('second.mesos', '203.0.113.2'))
  t.equal(rcodeOf(p.ask('second.mesos')[0]!.entry), 0, 'its answer came all the same')
  const third = p.ask('third.mesos')
  p.io.advance(200)
  t.equal(third.length, 0, 'an upstream that answers again is waited for')
})
