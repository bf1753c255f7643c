/**
 * A client does not simply get what an upstream sends: RCODEs, EDNS, truncated replies, aliases and TTLs, through
 * the whole resolver.
 */
import t from 'tap'
import type { Answer } from 'dns-packet'
import { decode } from 'dns-packet'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import { classify } from '../../../src/data/forward/classify.ts'
import { aged } from '../../../src/data/upstream/paths.ts'
import { Records, scan } from '../../../src/wire/scan.ts'
import {
  a,
  nxdomain,
  Plane,
  positive,
  questionOf,
  raceRoute,
  response,
  snapshotOf,
  soa,
  udp,
} from '../../fixture/bench-plane.ts'

const UP = '192.0.2.53'
const NAME = 'www.example.org'
const OPT = (extended = 0): Answer => ({
  name: '.',
  type: 'OPT',
  udpPayloadSize: 1232,
  extendedRcode: extended,
  ednsVersion: 0,
  flags: 0x8000,
  flag_do: true,
  options: [],
})
const cname = (name: string, data: string, ttl = 60): Answer => ({
  name,
  type: 'CNAME',
  ttl,
  class: 'IN',
  data,
})
const dname = (name: string, data: string): Answer => ({
  name,
  type: 'DNAME',
  ttl: 60,
  class: 'IN',
  data,
})

/** How one response to a question about NAME is classified. */
const classified = (answers: Answer[], more: object = {}, type = 'A', dnssecOk = false) => {
  const question = Buffer.from(questionOf(NAME, type).wire)
  const wire = response({ answers, ...more })(question)
  const records = new Records()
  t.ok(scan(wire, wire.length, records))
  return classify(wire, records, dnssecOk)
}

t.test('every RCODE an upstream may say, to clients with every DO and CD', async t => {
  const wrong: string[] = []
  for (const dnssecOk of [false, true])
    for (const checkingDisabled of [false, true]) {
      const p = await Plane.create(snapshotOf(), { limits: { maxInFlight: 10_000 } })
      for (let rcode = 0; rcode < 4096; rcode++) {
        const name = `n${rcode}.example.org`
        // Lets used-up sockets be replaced.
        if (rcode % 16 === 0) await new Promise(setImmediate)
        const given = p.ask(name, 'A', { dnssecOk, checkingDisabled })
        const say = response({
          rcode: rcode & 15,
          additionals: [OPT(rcode >> 4)],
          ...(rcode === 0 ? { answers: [a(name, '203.0.113.1')] } : {}),
        })
        p.reply(UP, say)
        // The refusal may be due to our OPT, so it is repeated for the query without OPT.
        if (given.length === 0) p.reply(UP, say)
        const { entry } = given[0]!
        const wanted = rcode === 0 ? 0 : rcode === 3 ? 3 : rcode === 6 ? 6 : 2
        const flags = entry.bytes[entry.at + 3]!
        const ok =
          rcodeOf(entry) === wanted &&
          flags === (0x80 | wanted) &&
          (wanted !== 2 || entry.ede >= 0) &&
          (entry.bytes[entry.at + 2]! & 0x7e) === 0
        if (!ok) wrong.push(`${rcode} DO=${dnssecOk} CD=${checkingDisabled}: ${flags}`)
        // Stored or not, the next client gets the same answer.
        if (wanted === 2 && rcode % 64 === 2) {
          const again = p.ask(name, 'A', { dnssecOk, checkingDisabled })
          if (again.length > 0 && rcodeOf(again[0]!.entry) !== 2) wrong.push(`${rcode} again`)
        }
      }
    }
  t.same(wrong, [])
})

t.test('a refusal is passed on to whoever asked for what no resolver answers', async t => {
  const p = await Plane.create(snapshotOf())
  const given = p.ask(NAME, 'TYPE200')
  p.reply(UP, response({ rcode: 4, additionals: [OPT()] }))
  p.reply(UP, response({ rcode: 4 }))
  t.equal(rcodeOf(given[0]!.entry), 4)
})

t.test(
  'that EDNS is lacking is learnt from a refusal and an answer, and from nothing else',
  async t => {
    const p = await Plane.create(snapshotOf())
    const hasOpt = () => p.sentTo(UP).at(-1)!.bytes[11] === 1
    const formerr = response({ rcode: 1 })
    p.ask('a.example.org')
    t.ok(hasOpt())
    p.reply(UP, formerr)
    t.notOk(hasOpt(), 'asked again without')
    p.reply(UP, formerr)
    p.ask('b.example.org')
    t.ok(hasOpt(), 'the retry failed too: nothing is learnt')
    p.io.advance(1_700)
    t.notOk(hasOpt(), 'the last try of a silent one goes without')
    p.reply(UP, positive('b.example.org', '203.0.113.1'))
    p.ask('c.example.org')
    t.ok(hasOpt(), 'packets get lost: nothing is learnt')
    p.reply(UP, formerr)
    p.reply(UP, positive('c.example.org', '203.0.113.1'))
    p.ask('d.example.org')
    t.notOk(hasOpt(), 'learnt')
    p.reply(UP, positive('d.example.org', '203.0.113.1'))
    p.io.advance(61_000)
    p.ask('e.example.org')
    t.ok(hasOpt(), 'and forgotten after a minute')
  },
)

t.test('an answer without OPT does not pass for an unsigned one', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp('192.0.2.1', 0)])] }))
  const signed = p.ask(NAME, 'A', { dnssecOk: true })
  p.reply(UP, positive(NAME, '203.0.113.1'))
  t.equal(rcodeOf(signed[0]!.entry), 2)
  t.match(signed[0]!.entry.edeText?.toString(), /without EDNS/)
  const plain = p.ask(NAME)
  p.reply(UP, positive(NAME, '203.0.113.1'))
  t.equal(rcodeOf(plain[0]!.entry), 0, 'whoever did not ask for DNSSEC gets it')
  const cluster = p.ask('web.mesos', 'A', { dnssecOk: true })
  p.reply('192.0.2.1', positive('web.mesos', '203.0.113.1'))
  t.equal(rcodeOf(cluster[0]!.entry), 0, 'and the cluster zone is not signed')
  const silent = p.ask('late.example.org', 'A', { dnssecOk: true })
  p.io.advance(1_000)
  t.equal(p.sentTo(UP).at(-1)!.bytes[11], 1, 'no try without OPT is made for it')
  t.same(silent, [])
})

t.test('a reply that is cut is asked for again over TCP at once', async t => {
  const whole = positive(NAME, '203.0.113.1', '203.0.113.2')
  const cuts: Record<string, (q: Buffer) => Buffer> = {
    'TC and no records': response({ tc: true }),
    'TC and half a record': q => {
      const b = whole(q)
      b[2]! |= 2
      return b.subarray(0, b.length - 5)
    },
    'larger than the buffer': whole,
    'half a record': q => whole(q).subarray(0, whole(q).length - 5),
  }
  for (const [title, cut] of Object.entries(cuts)) {
    const p = await Plane.create(snapshotOf())
    p.tcp.set(UP, whole)
    const given = p.ask(NAME)
    const larger = title === 'larger than the buffer'
    for (const { socket, to, bytes } of [p.sentTo(UP)[0]!, p.sentTo(UP)[0]!])
      p.io.arrive(socket, to, cut(bytes), larger)
    for (let i = 0; i < 5; i++) await new Promise(setImmediate)
    t.equal(given[0]?.entry.kind, 0, title)
    t.equal(p.count(9, 'tcpRetries'), 1, `${title}: once`)
  }
})

t.test('a DNAME counts only above the name, with the alias that it makes', async t => {
  const rows: [string, Answer[], string][] = [
    [
      'above, alias fits',
      [
        dname('example.org', 'example.net'),
        cname(NAME, 'www.example.net'),
        a('www.example.net', '203.0.113.1'),
      ],
      'positive',
    ],
    [
      'above, alias differs',
      [
        dname('example.org', 'example.net'),
        cname(NAME, 'evil.example'),
        a('evil.example', '203.0.113.1'),
      ],
      'soft',
    ],
    ['foreign', [dname('example.com', 'example.net'), a(NAME, '203.0.113.1')], 'positive'],
    [
      'foreign beside an alias',
      [
        dname('example.com', 'example.net'),
        cname(NAME, 'b.example.org'),
        a('b.example.org', '203.0.113.1'),
      ],
      'positive',
    ],
    ['foreign and alone', [dname('example.com', 'example.net')], 'nodata'],
    ['at the name itself', [dname(NAME, 'example.net')], 'nodata'],
  ]
  for (const [title, answers, kind] of rows) {
    const is = classified(answers)
    t.equal(is.kind, kind, title)
    if (title === 'foreign') t.same(is.keep, [1], 'and is left out')
  }
  t.equal(classified([dname('example.com', 'example.net')], {}, 'DNAME').kind, 'nodata')
  t.equal(classified([dname(NAME, 'example.net')], {}, 'DNAME').kind, 'positive')
})

t.test('aliases: without their target, in a circle, and too many', async t => {
  const chain = (n: number): Answer[] =>
    Array.from({ length: n }, (_, i) =>
      cname(i === 0 ? NAME : `c${i}.example.org`, `c${i + 1}.example.org`),
    )
  const left = classified([cname(NAME, 'c1.example.org', 30)])
  t.match(left, { kind: 'alias', ttl: 30, links: 1 })
  t.equal(left.target?.toString('latin1'), '\x02c1\x07example\x03org\x00')
  t.equal(
    classified(chain(1), { authorities: [soa('example.org')] }).kind,
    'nodata',
    'its zone says there is no more',
  )
  t.equal(classified(chain(1), { rcode: 3 }).kind, 'nxdomain', 'the RCODE is that of the target')
  t.equal(classified([cname(NAME, 'b.example.org'), cname('b.example.org', NAME)]).kind, 'soft')
  t.equal(classified([...chain(16), a('c16.example.org', '203.0.113.1')]).kind, 'positive')
  t.equal(classified([...chain(17), a('c17.example.org', '203.0.113.1')]).kind, 'soft')
})

t.test('DNSSEC records go only to whoever asked', async t => {
  const nsec: Answer = {
    name: NAME,
    type: 'NSEC',
    ttl: 5,
    class: 'IN',
    data: { nextDomain: 'x.example.org', rrtypes: ['A'] },
  } as Answer
  const more = { authorities: [soa('example.org'), nsec] }
  t.same(classified([], more).keep, [0])
  t.same(classified([], more, 'A', true).keep, [0, 1])
  t.equal(classified([], more, 'A', true).ttl, 5, 'and their TTL counts')
})

t.test('no TTL rises', async t => {
  const srvTo = (target: string): Answer => ({
    name: NAME,
    type: 'SRV',
    ttl: 60,
    class: 'IN',
    data: { port: 80, target },
  })
  const srv = srvTo('h.example.org')
  const both = [a('i.example.org', '203.0.113.2', 9), a('h.example.org', '203.0.113.1', 7)]
  for (const additionals of [both, [...both].reverse()])
    t.match(
      classified([srv, srvTo('i.example.org')], { additionals }, 'SRV'),
      { ttl: 7, whole: true },
      'the addresses of both targets, in either order',
    )
  t.equal(classified([srv], { additionals: [a('h.example.org', '203.0.113.1', 7)] }, 'SRV').ttl, 7)
  const wire = response({
    answers: [a(NAME, '203.0.113.1', 100), a(NAME, '203.0.113.2', 20)],
    additionals: [OPT()],
  })(Buffer.from(questionOf(NAME).wire))
  const { answers, additionals } = decode(aged(wire, 30))
  t.same(
    answers?.map(r => 'ttl' in r && r.ttl),
    [70, 0],
  )
  t.match(additionals?.[0], { flag_do: true }, 'the OPT is no record with a TTL')
})

t.test('agreement is no disagreement', async t => {
  const [M1, M2, M3] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'] as const
  const p = await Plane.create(
    snapshotOf({ own: [raceRoute('mesos', [udp(M1, 0), udp(M2, 1), udp(M3, 2)])] }),
  )
  const disagreements = () => [0, 1, 2].map(slot => p.count(slot, 'disagreements'))
  p.ask('web.mesos')
  for (const m of [M1, M2, M3]) p.reply(m, positive('web.mesos', '203.0.113.1'))
  t.same(disagreements(), [0, 0, 0], 'three positives')
  p.ask('no.mesos')
  for (const m of [M1, M2, M3]) p.reply(m, nxdomain('no.mesos'))
  t.same(disagreements(), [0, 0, 0], 'three negatives')
  p.ask('some.mesos')
  p.reply(M1, positive('some.mesos', '203.0.113.1'))
  p.reply(M2, nxdomain('some.mesos'))
  t.same(disagreements(), [0, 1, 0])
})

t.test(
  'the first question to an IPv6-only upstream, and the 600th cold name of one turn',
  async t => {
    const six = '2001:db8::53'
    const rest = { ...snapshotOf().rest, upstreams: [udp(six, 9, 53)] } as never
    const p = await Plane.create(snapshotOf({ rest }))
    const given = p.ask(NAME)
    await new Promise(setImmediate)
    p.reply(six, positive(NAME, '203.0.113.1'))
    t.equal(given[0]?.entry.kind, 0)
    const q = await Plane.create(snapshotOf(), { limits: { maxInFlight: 10_000 } })
    const all = Array.from({ length: 600 }, (_, i) => q.ask(`n${i}.example.org`))
    for (let i = 0; i < 5; i++) await new Promise(setImmediate)
    t.equal(q.io.sent.length, 600)
    for (const { socket, to, bytes } of [...q.io.sent]) {
      const label = bytes.toString('latin1', 13, 13 + bytes[12]!)
      q.io.arrive(socket, to, positive(`${label}.example.org`, '203.0.113.1')(bytes))
    }
    t.ok(all.every(given => given[0]?.entry.kind === 0))
  },
)
