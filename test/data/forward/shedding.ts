/** Too many questions at once: which are refused, and how that affects the others. */
import t from 'tap'
import { clientOf, OURSELVES } from '../../../src/base/ip.ts'
import { SLOT } from '../../../src/boundary/counters.ts'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import {
  nxdomain,
  Plane,
  positive,
  raceRoute,
  servfail,
  snapshotOf,
  udp,
} from '../../fixture/bench-plane.ts'

const MASTER = '192.0.2.1'
const plane = (maxInFlight: number): Promise<Plane> =>
  Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }), {
    limits: { maxInFlight },
  })
const flood = { client: '127.0.0.66' }
const honest = { client: '127.0.0.7' }

t.test('a flood of names from one client costs another client no answer', async t => {
  const p = await plane(50)
  const wanted: ReturnType<Plane['ask']>[] = []
  for (let i = 0; i < 5_000; i++) {
    p.ask(`flood${i}.mesos`, 'A', flood)
    // Lets new sockets be opened.
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

t.test(
  'who joins a question just when its only asker is given up is answered all the same',
  async t => {
    const p = await plane(2)
    // Four askers are the limit. The flood has most of them, and its oldest is alone with the first name.
    p.ask('web.mesos', 'A', flood)
    const sent = p.sentTo(MASTER).at(-1)!
    for (let i = 0; i < 3; i++) p.ask('other.mesos', 'A', flood)
    const given = p.ask('web.mesos', 'A', honest)
    p.io.arrive(sent.socket, sent.to, positive('web.mesos', '203.0.113.1')(sent.bytes))
    t.equal(given.length, 1)
    t.equal(rcodeOf(given[0]!.entry), 0)
    t.ok(p.resolver.waiting <= 4)
  },
)

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

t.test('while no upstream answers, new names fail soon, until one answers', async t => {
  const snapshot = snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] })
  const p = await Plane.create(snapshot, { probes: true })
  p.ask('first.mesos')
  p.io.advance(2_000)
  const given = p.ask('second.mesos')
  p.io.advance(100)
  t.match(given, [{ entry: { ede: 22 } }])
  t.equal(rcodeOf(given[0]!.entry), 2)
  // To the last probe.
  p.reply(MASTER, servfail)
  const third = p.ask('third.mesos')
  p.io.advance(200)
  t.equal(third.length, 0, 'an upstream that answers again is waited for')
})

t.test('all addresses of a /64 are one client, and its flood costs others nothing', async t => {
  const p = await plane(50)
  const given = p.ask('web.mesos', 'A', { client: '2001:db8:0:1::7' })
  for (let i = 0; i < 1_000; i++)
    p.ask(`n${i}.mesos`, 'A', { client: `2001:db8:0:2::${i.toString(16)}` })
  t.equal(given.length, 0, 'its question was not given up')
  t.equal(p.resolver.inFlight, 50)
})

t.test('who counts as one client', t => {
  const same = [
    ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201'],
    ['2001:db8::1', '2001:0DB8:0:0:ffff::', '2001:db8::'],
    ['2001:db8:0:1::1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8:1::1', '2001:db8:1::2'],
    ['2001:db9::1'],
    ['fe80::1', 'fe80::1%eth0'],
    ['fe80::2'],
    ['192.0.2.2'],
    ['255.255.255.255'],
    ['0.0.0.0'],
    ['::1', '::'],
    ['', 'nonsense'],
  ]
  const names = same.map(all => [...new Set(all.map(clientOf))])
  t.ok(
    names.every(all => all.length === 1),
    JSON.stringify(names),
  )
  t.equal(new Set(names.flat()).size, same.length, 'and who does not')
  t.ok(names.flat().every(Number.isSafeInteger))
  t.equal(clientOf(''), OURSELVES)
  t.end()
})

t.test('a race that waits for slower upstreams is in the air, and gives way', async t => {
  const masters = [MASTER, '192.0.2.2', '192.0.2.3']
  const p = await Plane.create(
    snapshotOf({
      own: [
        raceRoute(
          'mesos',
          masters.map((address, i) => udp(address, i)),
        ),
      ],
    }),
    { limits: { maxInFlight: 4 } },
  )
  for (let i = 0; i < 3; i++) {
    p.ask(`n${i}.mesos`, 'A', honest)
    p.reply(MASTER, positive(`n${i}.mesos`, '203.0.113.1'))
  }
  t.equal(p.resolver.inFlight, 0)
  t.equal(p.resolver.inTheAir, 3, 'two masters of each have not replied')
  const given = Array.from({ length: 4 }, (_, i) => p.ask(`m${i}.mesos`, 'A', flood))
  t.equal(p.resolver.inFlight, 4)
  t.equal(p.resolver.inTheAir, 4)
  t.same(
    given.map(g => g.length),
    [0, 0, 0, 0],
    'nobody had to give up',
  )
  p.io.advance(10_000)
  t.equal(p.resolver.inTheAir, 0, 'all comes to an end')
})

t.test('masters that disagree with every answer are reported once a second', async t => {
  const masters = [MASTER, '192.0.2.2']
  const p = await Plane.create(
    snapshotOf({
      own: [
        raceRoute(
          'mesos',
          masters.map((address, i) => udp(address, i)),
        ),
      ],
    }),
  )
  const disagree = (n: number): void => {
    p.ask(`n${n}.mesos`)
    p.reply(MASTER, positive(`n${n}.mesos`, '203.0.113.1'))
    p.reply('192.0.2.2', nxdomain(`n${n}.mesos`))
  }
  const reports = (): number => p.told.filter(line => line.startsWith('upstream disagrees')).length
  for (let n = 0; n < 100; n++) disagree(n)
  t.equal(reports(), 1)
  t.equal(p.count(1, 'disagreements'), 100, 'each is counted')
  p.io.advance(1_000)
  disagree(100)
  t.equal(reports(), 2)
})
