import t from 'tap'
import { SLOT } from '../../../src/boundary/counters.ts'
import { POSITIVE, NEGATIVE, FAILURE } from '../../../src/data/cache/entry.ts'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import { u16 } from '../../../src/wire/octets.ts'
import {
  a,
  nodata,
  nxdomain,
  Plane,
  positive,
  raceRoute,
  refusedAnswer,
  response,
  servfail,
  snapshotOf,
  udp,
} from '../../fixture/bench-plane.ts'

const M1 = '192.0.2.1'
const M2 = '192.0.2.2'
const M3 = '192.0.2.3'
const masters = () =>
  snapshotOf({ own: [raceRoute('mesos', [udp(M1, 0), udp(M2, 1), udp(M3, 2)])] })
const plane = () => Plane.create(masters())
const web = positive('web.mesos', '203.0.113.1')

t.test('a miss is sent to every master at once, with one ID from one socket', async t => {
  const p = await plane()
  p.ask('web.mesos')
  t.same(
    p.io.sent.map(s => s.to.address),
    [M1, M2, M3],
  )
  t.equal(new Set(p.io.sent.map(s => s.bytes.readUInt16BE(0))).size, 1)
  t.equal(new Set(p.io.sent.map(s => s.socket)).size, 1)
})

t.test('the first answer wins at once', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  p.io.advance(3)
  p.reply(M2, web)
  t.equal(given.length, 1)
  t.equal(given[0]!.at, 1003)
  t.equal(given[0]!.entry.kind, POSITIVE)
  t.equal(p.count(1, 'wins'), 1)
})

t.test('a bad reply that comes first does not win', async t => {
  for (const [name, bad] of [
    ['SERVFAIL', servfail],
    ['REFUSED', refusedAnswer],
    ['NXDOMAIN', nxdomain('web.mesos')],
    ['NODATA', nodata('web.mesos')],
  ] as const) {
    const p = await plane()
    const given = p.ask('web.mesos')
    p.reply(M1, bad)
    t.same(given, [], `${name}: nothing yet`)
    p.io.advance(10)
    p.reply(M3, web)
    t.equal(given[0]?.entry.kind, POSITIVE, `${name}: the good answer`)
    const counted = name === 'NXDOMAIN' || name === 'NODATA' ? p.count(0, 'disagreements') : 0
    t.equal(
      counted,
      name === 'NXDOMAIN' || name === 'NODATA' ? 1 : 0,
      `${name}: disagreement counted`,
    )
  }
})

t.test('a lone negative waits for the grace and no longer', async t => {
  const p = await plane()
  const given = p.ask('nope.mesos')
  p.reply(M1, nxdomain('nope.mesos'))
  p.io.advance(19)
  t.same(given, [])
  p.io.advance(1)
  t.equal(given[0]!.at, 1020)
  t.equal(given[0]!.entry.kind, NEGATIVE)
  t.equal(given[0]!.entry.ttl, 1)
})

t.test('a majority of equal negatives needs no grace', async t => {
  const p = await plane()
  const given = p.ask('nope.mesos')
  p.reply(M1, nxdomain('nope.mesos'))
  p.reply(M2, nxdomain('nope.mesos'))
  t.equal(given.length, 1)
  t.equal(rcodeOf(given[0]!.entry), 3)
})

t.test('NODATA is preferred to NXDOMAIN when nobody agrees', async t => {
  const p = await plane()
  const given = p.ask('web.mesos', 'AAAA')
  p.reply(M1, nxdomain('web.mesos'))
  p.reply(M2, nodata('web.mesos'))
  t.same(given, [])
  p.io.advance(20)
  t.equal(rcodeOf(given[0]!.entry), 0)
})

t.test('when all have failed the most telling failure is given at once', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  p.reply(M1, refusedAnswer)
  p.reply(M2, servfail)
  p.reply(M3, refusedAnswer)
  t.equal(given[0]!.entry.kind, FAILURE)
  t.equal(rcodeOf(given[0]!.entry), 2)
  t.match(given[0]!.entry.edeText?.toString(), /192\.0\.2\.2:61053 said SERVFAIL/)
})

t.test('a failure and a negative give the negative once all have answered', async t => {
  const p = await plane()
  const given = p.ask('nope.mesos')
  p.reply(M1, servfail)
  p.reply(M2, servfail)
  p.reply(M3, nxdomain('nope.mesos'))
  t.equal(rcodeOf(given[0]!.entry), 3)
})

t.test('silent masters are asked again at 250 and 750 ms, and SERVFAIL comes at 1.8 s', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  p.io.advance(249)
  t.equal(p.io.sent.length, 3)
  p.io.advance(1)
  t.equal(p.io.sent.length, 6)
  p.io.advance(500)
  t.equal(p.io.sent.length, 9)
  t.equal(p.io.sent.at(-1)!.bytes[11], 0, 'the last try carries no OPT')
  p.io.advance(1049)
  t.same(given, [])
  p.io.advance(1)
  t.equal(rcodeOf(given[0]!.entry), 2)
  t.equal(given[0]!.entry.ede, 22)
  t.equal(given[0]!.at, 2800)
})

t.test('only silent masters are asked again', async t => {
  const p = await plane()
  p.ask('web.mesos')
  p.reply(M1, servfail)
  p.io.advance(250)
  t.same(
    p.io.sent.slice(3).map(s => s.to.address),
    [M2, M3],
  )
})

t.test('a refused port ends that lane and not the race', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  const sent = p.sentTo(M1)[0]!
  p.io.refuse(sent.socket, sent.to)
  t.equal(p.count(0, 'unreachable'), 1)
  p.reply(M2, web)
  t.equal(given.length, 1)
})

t.test('all ports refused fail at once', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  for (const s of [...p.io.sent]) p.io.refuse(s.socket, s.to)
  t.equal(given[0]!.entry.ede, 23)
})

t.test(
  'replies that are not to our question from whom we asked are counted and the wait goes on',
  async t => {
    const p = await plane()
    const given = p.ask('web.mesos')
    const { socket, to, bytes } = p.sentTo(M1)[0]!
    const good = web(bytes)
    const forged = (change: (b: Buffer) => void): Buffer => {
      const b = Buffer.from(good)
      change(b)
      return b
    }
    p.io.arrive(
      socket,
      to,
      forged(b => b.writeUInt16BE(b.readUInt16BE(0) ^ 1, 0)),
    )
    p.io.arrive(socket, { ...to, port: 53 }, good)
    p.io.arrive(socket, { ...to, address: '192.0.2.77' }, good)
    p.io.arrive(
      socket,
      to,
      forged(b => (b[13] = 0x78)),
    )
    p.io.arrive(
      socket,
      to,
      forged(b => b.writeUInt16BE(28, 12 + 11)),
    )
    p.io.arrive(
      socket,
      to,
      forged(b => (b[2] = 0)),
    )
    p.io.arrive(
      socket,
      to,
      forged(b => (b[2]! |= 0x20)),
    )
    p.io.arrive(socket, to, good.subarray(0, 11))
    p.io.arrive(socket, to, good.subarray(0, good.length - 1))
    t.same(given, [])
    const c = p.counters
    t.equal(c[SLOT.repliesWrongId], 1)
    t.equal(c[SLOT.repliesWrongSource], 2)
    t.equal(c[SLOT.repliesWrongQuestion], 3)
    t.equal(c[SLOT.repliesMalformed], 3)
    p.io.arrive(socket, to, good)
    t.equal(given.length, 1, 'the true reply is still taken')
  },
)

t.test('a master that cannot read our OPT is asked without it', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  p.reply(M1, q => {
    const b = Buffer.from(q.subarray(0, 12))
    b[2] = 0x80
    b[3] = 1
    b.fill(0, 4)
    return b
  })
  const again = p.sentTo(M1).at(-1)!
  t.equal(p.sentTo(M1).length, 2)
  t.equal(again.bytes[11], 0)
  p.reply(M1, web)
  t.equal(given.length, 1)
})

t.test('a truncated reply is fetched over TCP from the same master and cached whole', async t => {
  const p = await plane()
  const many = Array.from({ length: 60 }, (_, i) => a('web.mesos', `203.0.113.${i}`))
  p.tcp.set(M1, response({ answers: many }))
  const given = p.ask('web.mesos')
  p.reply(M1, response({ tc: true }))
  t.same(given, [])
  await new Promise(setImmediate)
  const { entry } = given[0]!
  t.equal(u16(entry.bytes, entry.at + 6), 60, 'records in the answer section')
  t.equal(p.count(0, 'tcpRetries'), 1)
})

t.test('a truncated reply whose TCP fails leaves the race to the others', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  p.reply(M1, response({ tc: true }))
  await new Promise(setImmediate)
  t.same(given, [])
  p.reply(M2, web)
  t.equal(given.length, 1)
})

t.test('the reply over TCP counts no more once a whole datagram has come', async t => {
  const p = await plane()
  p.tcp.set(M1, web)
  const given = p.ask('web.mesos')
  p.reply(M1, response({ tc: true }))
  p.reply(M1, web)
  t.equal(given.length, 1)
  await new Promise(setImmediate)
  p.io.advance(5)
  for (const master of [M2, M3]) p.reply(master, web)
  const known = p.resolver.router
    .upstreams()
    .slice(0, 3)
    .map(u => u.latency.known)
  t.same(known, [true, true, true], 'the others were waited for')
  t.equal(given.length, 1)
})

t.test('losers teach latency, and late answers correct a negative', async t => {
  const p = await plane()
  const given = p.ask('web.mesos')
  p.reply(M1, nxdomain('web.mesos'))
  p.reply(M2, nxdomain('web.mesos'))
  t.equal(rcodeOf(given[0]!.entry), 3)
  p.io.advance(5)
  p.reply(M3, web)
  t.equal(p.count(2, 'disagreements'), 1)
  const entry = [...p.cache.all()][0]!
  t.equal(entry.kind, POSITIVE, 'whoever asks next gets the answer')
})

t.test(
  'a master silent long enough is dead, left out, probed, and back at its first reply',
  async t => {
    const p = await Plane.create(masters(), { probes: true })
    for (let i = 0; i < 6; i++) {
      p.ask(`n${i}.mesos`)
      p.reply(M2, positive(`n${i}.mesos`, '203.0.113.1'))
      p.reply(M3, positive(`n${i}.mesos`, '203.0.113.1'))
      p.io.advance(600)
    }
    t.ok(p.told.includes('upstream lost 192.0.2.1:61053'))
    const before = p.sentTo(M1).length
    p.ask('later.mesos')
    p.reply(M2, positive('later.mesos', '203.0.113.1'))
    p.ask('later2.mesos')
    t.equal(p.sentTo(M1).length, before, 'not asked what clients ask')
    const asked = p.io.time
    while (p.sentTo(M1).length === before && p.io.time - asked < 5_000) p.io.advance(50)
    t.ok(p.sentTo(M1).at(-1)!.bytes.includes('leader'), 'but probed')
    p.reply(M1, positive('leader.mesos', '203.0.113.1'))
    t.ok(p.told.includes('upstream back 192.0.2.1:61053'))
  },
)

t.test('a majority counts only the masters that are not known dead', async t => {
  const p = await plane()
  for (let i = 0; i < 6; i++) {
    p.ask(`n${i}.mesos`)
    p.reply(M1, positive(`n${i}.mesos`, '203.0.113.1'))
    p.io.advance(600)
  }
  t.ok(p.told.includes('upstream lost 192.0.2.2:61053'))
  const given = p.ask('gone.mesos')
  p.reply(M1, nxdomain('gone.mesos'))
  t.equal(given.length, 1, '1 of 1')
})

t.test('500 askers of one cold name cause one exchange per master', async t => {
  const p = await plane()
  const all = Array.from({ length: 500 }, () => p.ask('web.mesos'))
  t.equal(p.io.sent.length, 3)
  p.reply(M3, web)
  t.ok(all.every(given => given.length === 1))
  t.equal(p.counters[SLOT.coalesced], 499)
})

t.test('sockets are replaced after a number of questions, so that ports keep changing', async t => {
  const p = await plane()
  for (let i = 0; i < 6000; i++) {
    p.ask(`n${i}.mesos`)
    p.reply(M1, positive(`n${i}.mesos`, '203.0.113.1'))
    if (i % 100 === 0) {
      await new Promise(setImmediate)
      p.io.advance(50)
    }
  }
  t.ok(new Set(p.io.sent.map(s => s.socket.port)).size > 25)
  p.io.advance(4000)
  p.exchanges.sweep(p.io.time)
  t.ok(p.io.sockets.some(s => s.closed))
})

t.test('masters of both address families are asked, each from a socket of its own', async t => {
  const six = '2001:db8::5'
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(M1, 0), udp(six, 1)])] }))
  await p.exchanges.open(6)
  for (const [winner, loser] of [
    [six, M1],
    [M1, six],
  ] as const) {
    const name = winner === six ? 'one.mesos' : 'two.mesos'
    const given = p.ask(name)
    for (const sent of p.io.sent)
      t.equal(sent.socket.address, sent.to.family === 4 ? '0.0.0.0' : '::')
    p.reply(winner, positive(name, '203.0.113.1'))
    t.equal(given[0]?.entry.kind, POSITIVE, `the answer of ${winner}`)
    p.reply(loser, positive(name, '203.0.113.1'))
  }
  t.equal(p.counters[SLOT.repliesWrongId], 0)
  t.equal(p.count(0, 'requests') + p.count(1, 'requests'), 4)
})
