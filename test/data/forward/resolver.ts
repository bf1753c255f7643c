import t from 'tap'
import { hashed } from '../../../src/data/forward/query.ts'
import { decode, type Answer } from 'dns-packet'
import type { Snapshot } from '../../../src/boundary/messages.ts'
import { SLOT } from '../../../src/boundary/counters.ts'
import { Head } from '../../../src/data/serve/admit.ts'
import { FAILURE, NEGATIVE, POSITIVE, type Entry } from '../../../src/data/cache/entry.ts'
import { FRESH } from '../../../src/data/cache/validity.ts'
import { Restoring } from '../../../src/data/cache/restoring.ts'
import { putHit, shownTtl } from '../../../src/data/cache/hit.ts'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import { plainQuery } from '../../../src/wire/question.ts'
import { nameWire } from '../../../src/wire/name.ts'
import {
  a,
  nxdomain,
  Plane,
  positive,
  questionOf,
  raceRoute,
  response,
  servfail,
  snapshotOf,
  soa,
  udp,
  type Given,
} from '../../fixture/bench-plane.ts'
import { fillOf } from '../../fixture/fill.ts'
import { loadZone as load, type ZoneRecords } from '../../fixture/local-zone.ts'

const M1 = '192.0.2.1'
const one = (more: Partial<Snapshot> = {}) =>
  snapshotOf({
    own: [raceRoute('mesos', [udp(M1, 0)]), ...(more.own ?? [])],
    ...(more.forward ? { forward: more.forward } : {}),
    ...(more.special ? { special: more.special } : {}),
    ...(more.rest ? { rest: more.rest } : {}),
  })

const local = (zone: string, label = 0) => ({ kind: 'local', zone, label }) as const

const isAuthoritative = ({ bytes, at }: Entry): boolean => (bytes[at + 2]! & 4) !== 0

/** The response for an entry, decoded by dns-packet. */
const shown = (entry: Entry, name: string, now: number) => {
  const query = plainQuery(nameWire(name)!, entry.qtype)
  const head = new Head()
  head.edns = false
  const out = Buffer.alloc(65_535)
  const length = putHit(entry, query, 0, head, out, 0, shownTtl(entry, now))
  return decode(out.subarray(0, length))
}
const lines = (answers: readonly Answer[] | undefined): string[] =>
  (answers ?? []).map(
    r =>
      `${r.name} ${'ttl' in r ? r.ttl : ''} ${r.type} ${'data' in r ? (typeof r.data === 'string' ? r.data : JSON.stringify(r.data)) : ''}`,
  )

t.test('TTLs follow the policy of the zone', async t => {
  const rows: [name: string, ttl: number, kept: number][] = [
    ['web.mesos', 60, 5],
    ['web.mesos', 3, 3],
    ['leader.mesos', 60, 1],
    ['master0.mesos', 60, 1],
    ['masters.mesos', 60, 5],
    ['www.example.org', 300, 300],
    ['www.example.org', 900_000, 86_400],
  ]
  for (const [name, ttl, kept] of rows) {
    const p = await Plane.create(one())
    const given = p.ask(name)
    await p.answer(
      name.endsWith('mesos') ? M1 : '192.0.2.53',
      response({ answers: [a(name, '203.0.113.1', ttl)] }),
    )
    await new Promise(setImmediate)
    t.equal(given[0]?.entry.ttl, kept, `${name} ${ttl}`)
  }
})

t.test(
  'negative answers are kept by the SOA outside, a second inside, and SOA-less ones not at all outside',
  async t => {
    const p = await Plane.create(one())
    const inside = p.ask('nope.mesos')
    p.reply(M1, nxdomain('nope.mesos'))
    t.equal(inside[0]!.entry.ttl, 1)
    const odd = p.ask('_x._tcp.mesos', 'SRV')
    p.reply(M1, response({}))
    t.equal(odd[0]!.entry.ttl, 1, 'NOERROR without SOA, as Mesos-DNS says of unknown SRV names')
    const outside = p.ask('nope.example.org')
    await p.answer('192.0.2.53', response({ rcode: 3, authorities: [soa('example.org', 300, 30)] }))
    await new Promise(setImmediate)
    t.equal(outside[0]!.entry.ttl, 30)
    const bare = p.ask('bare.example.org')
    await p.answer('192.0.2.53', response({ rcode: 3 }))
    await new Promise(setImmediate)
    t.equal(bare[0]!.entry.ttl, 0)
    t.notOk([...p.cache.all()].includes(bare[0]!.entry))
  },
)

t.test('a referral is no answer', async t => {
  const p = await Plane.create(one())
  const given = p.ask('www.example.org')
  await p.answer(
    '192.0.2.53',
    response({
      authorities: [{ name: 'org', type: 'NS', ttl: 60, class: 'IN', data: 'ns.example.net' }],
    }),
  )
  await new Promise(setImmediate)
  p.io.advance(2000)
  await new Promise(setImmediate)
  t.equal(given[0]?.entry.kind, FAILURE)
})

t.test('a failure is kept a second, then two, and never over a good answer', async t => {
  const p = await Plane.create(one())
  const ttls: number[] = []
  for (let i = 0; i < 8; i++) {
    const given = p.ask('web.mesos')
    p.reply(M1, servfail)
    ttls.push(given[0]!.entry.ttl)
    p.io.advance(given[0]!.entry.ttl * 1000)
  }
  t.same(ttls, [1, 2, 4, 8, 16, 30, 30, 30])
  t.equal(p.counters[SLOT.failuresCached], 8)
  const good = p.ask('web.mesos')
  p.reply(M1, positive('web.mesos', '203.0.113.1'))
  t.equal(good[0]!.entry.kind, POSITIVE)
  p.io.advance(6000)
  const stale = p.ask('web.mesos')
  p.reply(M1, servfail)
  t.equal(stale[0]!.entry.ref, good[0]!.entry.ref)
  t.equal(stale[0]!.ede, 3)
})

t.test('what failed over another route is no failure before over this one', async t => {
  const p = await Plane.create(one())
  const fails = (): number => {
    const [given] = p.ask('www.example.org')
    p.reply('192.0.2.53', servfail)
    p.io.advance(given?.entry.ttl ?? 0)
    return [...p.cache.all()][0]!.ttl
  }
  t.equal(fails(), 1)
  p.io.advance(1000)
  t.equal(fails(), 2)
  p.resolver.take(one({ rest: { ...one().rest, number: -10 } as never }))
  t.equal(fails(), 1)
})

t.test('what was forgotten is given up, and nothing that is younger', async t => {
  const p = await Plane.create(one())
  const old = p.ask('old.example.org')
  // Its timer does not fire, as after a bug.
  p.io.time += 6_000
  const young = p.ask('young.example.org')
  p.resolver.sweep(p.io.time)
  t.match(old, [{ entry: { kind: FAILURE } }])
  t.same(young, [])
  t.equal(p.resolver.inFlight, 1)
})

t.test('a stale answer comes after half a second, and the refresh still counts', async t => {
  const p = await Plane.create(one())
  p.ask('web.mesos')
  p.reply(M1, positive('web.mesos', '203.0.113.1'))
  p.io.advance(6000)
  const given = p.ask('web.mesos')
  p.io.advance(499)
  t.same(given, [])
  p.io.advance(1)
  t.equal(given[0]!.ede, 3)
  t.same(lines(shown(given[0]!.entry, 'web.mesos', p.io.time).answers), [
    'web.mesos 1 A 203.0.113.1',
  ])
  p.reply(M1, positive('web.mesos', '203.0.113.9'))
  t.same(lines(shown([...p.cache.all()][0]!, 'web.mesos', p.io.time).answers), [
    'web.mesos 5 A 203.0.113.9',
  ])
  t.equal(given.length, 1, 'and who has the stale one gets no second one')
  t.equal(p.resolver.waiting, 0)
  t.equal(p.counters[SLOT.staleServed], 1)
})

t.test('after a failed refresh stale answers come at once until the next try', async t => {
  const p = await Plane.create(one())
  p.ask('web.mesos')
  p.reply(M1, positive('web.mesos', '203.0.113.1'))
  p.io.advance(6000)
  p.ask('web.mesos')
  p.reply(M1, servfail)
  const sent = p.io.sent.length
  const given = p.ask('web.mesos')
  t.equal(given[0]!.ede, 3)
  t.equal(p.io.sent.length, sent, 'nobody was asked')
  p.io.advance(2100)
  p.ask('web.mesos')
  t.equal(p.io.sent.length, sent + 1)
})

t.test('an empty list of masters is SERVFAIL with the reason, not NXDOMAIN', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [])] }))
  const given = p.ask('web.mesos')
  t.equal(rcodeOf(given[0]!.entry), 2)
  t.equal(given[0]!.entry.ede, 14)
})

t.test('RD=0 is refused for what is forwarded', async t => {
  const p = await Plane.create(one())
  const given = p.ask('www.example.org', 'A', { rd: false })
  t.equal(rcodeOf(given[0]!.entry), 5)
  t.equal(given[0]!.entry.ede, 20)
})

t.test('ANY gets the minimal answer outside if the name exists, and everything inside', async t => {
  const p = await Plane.create(one({ own: [local('spartan')] }))
  load(p, 'spartan', {
    'ready.spartan': [
      ['A', '127.0.0.1'],
      ['TXT', 'yes'],
    ],
  })
  const outside = p.ask('www.example.org', 'ANY')
  await p.answer('192.0.2.53', positive('www.example.org', '203.0.113.1'))
  t.match(lines(shown(outside[0]!.entry, 'www.example.org', p.io.time).answers), [
    /^www\.example\.org 3789 HINFO/,
  ])
  t.notOk(isAuthoritative(outside[0]!.entry))
  t.equal(outside[0]!.ede, 0)
  const sent = p.io.sent.length
  t.equal(p.ask('www.example.org', 'ANY').length, 1, 'by the address that is cached now')
  const nowhere = p.ask('nope.example.org', 'ANY')
  await p.answer('192.0.2.53', nxdomain('example.org'))
  const message = shown(nowhere[0]!.entry, 'nope.example.org', p.io.time)
  t.equal(rcodeOf(nowhere[0]!.entry), 3)
  t.match(message, { questions: [{ type: 'ANY' }], authorities: [{ type: 'SOA' }] })
  const failing = p.ask('bad.example.org', 'ANY')
  await p.answer('192.0.2.53', servfail)
  t.match(failing, [{ entry: { kind: FAILURE, ede: 22 }, ede: 0 }])
  t.equal(rcodeOf(failing[0]!.entry), 2)
  t.equal(p.io.sent.length, sent + 2)
  t.equal(p.cache.entries, 3, 'nothing is stored but what the addresses said')
  const inside = p.ask('ready.spartan', 'ANY')
  t.equal(shown(inside[0]!.entry, 'ready.spartan', p.io.time).answers?.length, 2)
})

t.test('an alias out of a local zone ends as its target does', async t => {
  const zone = 'component.thisdcos.directory'
  const p = await Plane.create(one({ own: [local(zone)] }))
  const alias = `out.${zone}`
  load(p, zone, {
    [alias]: [['CNAME', 'www.example.org']],
    [`gone.${zone}`]: [['CNAME', 'gone.example.org']],
    [`bad.${zone}`]: [['CNAME', 'bad.example.org']],
  })
  const message = (given: Given[], name: string) => shown(given[0]!.entry, name, p.io.time)

  const gone = p.ask(`gone.${zone}`)
  await p.answer('192.0.2.53', response({ rcode: 3, authorities: [soa('example.org', 60, 30)] }))
  t.equal(rcodeOf(gone[0]!.entry), 3, 'NXDOMAIN')
  t.equal(gone[0]!.entry.kind, NEGATIVE)
  t.match(message(gone, `gone.${zone}`), {
    answers: [{ type: 'CNAME' }],
    authorities: [{ type: 'SOA', name: 'example.org' }],
  })
  const bad = p.ask(`bad.${zone}`)
  await p.answer('192.0.2.53', servfail)
  t.equal(rcodeOf(bad[0]!.entry), 2, 'SERVFAIL')
  t.equal(bad[0]!.entry.ede, 22)

  p.ask('www.example.org')
  await p.answer('192.0.2.53', positive('www.example.org', '203.0.113.1'))
  const sent = p.io.sent.length
  p.io.advance(57_500)
  const cached = p.ask(alias)
  t.equal(p.io.sent.length, sent, 'the target is read from the cache')
  t.same(
    message(cached, alias).answers?.map(r => ('ttl' in r ? r.ttl : 0)),
    [3, 3],
    'with what is left of its TTL',
  )
  p.io.advance(10_000)
  const stale = p.ask(alias)
  await new Promise(setImmediate)
  p.io.advance(500)
  t.match(stale, [{ ede: 3 }], 'stale as the target is')
  t.equal(message(stale, alias).answers?.length, 2)
  t.same(
    [...p.cache.all()].filter(e => e.zone === 0 && p.validity.of(e, p.io.time) === 0).length,
    0,
    'and not kept',
  )
  const withoutRd = p.ask(`gone.${zone}`, 'AAAA', { rd: false })
  t.match(message(withoutRd, `gone.${zone}`), { answers: [{ type: 'CNAME' }] })
  t.equal(rcodeOf(withoutRd[0]!.entry), 0, 'RD=0 gets what is held')
})

t.test('names that must not leak are answered and never stored', async t => {
  const p = await Plane.create(one({ special: [{ kind: 'special', zone: 'test', label: 1 }] }))
  for (const name of ['test', 'a.test', 'b.a.test']) p.ask(name)
  t.same(
    ['a.test', 'test'].map(name => rcodeOf(p.ask(name)[0]!.entry)),
    [3, 0],
  )
  const { entry, ede } = p.ask('a.test')[0]!
  t.match(shown(entry, 'a.test', p.io.time).authorities, [
    { name: 'test', ttl: 3600, data: { minimum: 3600 } },
  ])
  t.ok(isAuthoritative(entry))
  t.equal(ede, 0)
  t.equal(p.cache.entries, 0)
})

/** An upstream that answers without OPT cannot send DNSSEC records. */
const OPT: Answer = {
  name: '.',
  type: 'OPT',
  udpPayloadSize: 1232,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0x8000,
  flag_do: true,
  options: [],
}

t.test("what fails while the last run's cache is restored waits for the end of that", async t => {
  const restored = async (
    name: string,
    cached: string,
  ): Promise<{ p: Plane; given: Given[]; end: () => void }> => {
    const p = await Plane.create(one())
    const restoring = new Restoring(p.timers, p.io.time)
    Object.assign(p.context, { restoring })
    const given = p.ask(name)
    p.io.advance(2_000)
    t.strictSame(given, [], 'nobody answers, and that is not said yet')
    const { spec } = p.resolver.router.match(cached)
    const source = spec.kind === 'forward' ? spec.number : 0
    const stale = fillOf(cached, { ttl: 1, stale: 60, source })
    const end = (): void => {
      p.cache.fill(stale, p.io.time - 2_000, p.validity.epoch)
      restoring.end()
    }
    return { p, given, end }
  }
  const there = await restored('www.example.org', 'www.example.org')
  there.end()
  t.match(there.given, [{ entry: { kind: POSITIVE }, ede: 3 }], 'it was in the cache')
  const absent = await restored('www.example.org', 'www.example.net')
  absent.end()
  t.match(absent.given, [{ entry: { kind: FAILURE } }], 'it was not')
  t.match(absent.p.ask('mail.example.org'), [], 'it asks again')
  const slow = await restored('www.example.org', 'www.example.org')
  slow.p.io.advance(10_000)
  slow.p.resolver.sweep(slow.p.io.time)
  t.match(slow.given, [], 'nor is it taken for a forgotten one, however long it takes')
  slow.end()
  t.match(slow.given, [{ entry: { kind: POSITIVE }, ede: 3 }])
  const hanging = await restored('www.example.org', 'www.example.org')
  hanging.p.io.advance(14_000)
  t.match(hanging.given, [{ entry: { kind: FAILURE } }], 'a restore without an end is given up')
})

t.test('a stale answer serves other DO and CD bits where it may', async t => {
  const signature: Answer = {
    name: 'www.example.org',
    type: 'RRSIG',
    ttl: 60,
    class: 'IN',
    data: {
      typeCovered: 'A',
      algorithm: 13,
      labels: 3,
      originalTTL: 60,
      expiration: 2_000_000_000,
      inception: 1_000_000_000,
      keyTag: 1,
      signersName: 'example.org',
      signature: Buffer.alloc(64),
    },
  }
  const flags = (n: number) => ({ dnssecOk: (n & 1) !== 0, checkingDisabled: (n & 2) !== 0 })
  for (const stored of [0, 1, 2, 3])
    for (const asked of [0, 1, 2, 3]) {
      const name = 'www.example.org'
      const p = await Plane.create(one())
      p.ask(name, 'A', flags(stored))
      const answers = [a(name, '203.0.113.1'), ...(stored & 1 ? [signature] : [])]
      await p.answer('192.0.2.53', response({ answers, additionals: [OPT] }))
      p.io.advance(61_000)
      const given = p.ask(name, 'A', flags(asked))
      for (let i = 0; i < 10; i++) {
        await new Promise(setImmediate)
        p.io.advance(250)
      }
      const may = (stored & 2) === 0 || (asked & 2) !== 0
      const { entry, ede } = given[0]!
      t.equal(rcodeOf(entry), may ? 0 : 2, `stored with ${stored}, asked with ${asked}`)
      if (!may) continue
      t.equal(ede, 3)
      const types = shown(entry, name, p.io.time).answers?.map(r => r.type)
      t.same(types, stored & 1 && asked & 1 ? ['A', 'RRSIG'] : ['A'], 'no signatures unasked')
    }
})

t.test('an answer for other bits that is still fresh is no stale one', async t => {
  const p = await Plane.create(one())
  const name = 'www.example.org'
  p.ask(name)
  await p.answer('192.0.2.53', response({ answers: [a(name, '203.0.113.1')], additionals: [OPT] }))
  const given = p.ask(name, 'A', { dnssecOk: true })
  for (let i = 0; i < 10; i++) p.io.advance(250)
  t.match(given, [{ entry: { kind: POSITIVE }, ede: 0 }])
  t.equal(p.counters[SLOT.staleServed], 0)
})

t.test('a local zone answers as RFC 1034 says', async t => {
  const p = await Plane.create(one({ own: [local('l4lb.thisdcos.directory'), local('localhost')] }))
  load(p, 'l4lb.thisdcos.directory', {
    'web.marathon.l4lb.thisdcos.directory': [['A', '11.0.0.1']],
    '_80._tcp.web.marathon.l4lb.thisdcos.directory': [
      ['SRV', '0 1 80 web.marathon.l4lb.thisdcos.directory'],
    ],
  })
  load(p, 'localhost', { localhost: [['A', '127.0.0.1']], '*.localhost': [['A', '127.0.0.1']] })
  const ask = (name: string, type = 'A') => {
    const { entry } = p.ask(name, type)[0]!
    const { answers, authorities, additionals } = shown(entry, name, p.io.time)
    return {
      rcode: rcodeOf(entry),
      kind: entry.kind,
      authoritative: isAuthoritative(entry),
      answers: lines(answers),
      soa: authorities?.map(r => r.name),
      more: lines(additionals),
      ttl: entry.ttl,
    }
  }
  const apex = 'l4lb.thisdcos.directory'
  t.match(ask(`web.marathon.${apex}`), {
    rcode: 0,
    answers: [`web.marathon.${apex} 5 A 11.0.0.1`],
    ttl: 5,
    kind: POSITIVE,
    authoritative: true,
  })
  t.match(ask(`WEB.Marathon.${apex}`), { rcode: 0, ttl: 5 }, 'whatever the case')
  t.match(
    ask(`web.marathon.${apex}`, 'AAAA'),
    { rcode: 0, answers: [], soa: [apex], ttl: 1, kind: NEGATIVE, authoritative: true },
    'NODATA',
  )
  t.match(
    ask(`marathon.${apex}`),
    { rcode: 0, answers: [], soa: [apex] },
    'an empty non-terminal is NODATA',
  )
  t.match(ask(`nope.${apex}`), { rcode: 3, soa: [apex], ttl: 1, kind: NEGATIVE })
  t.match(ask(apex, 'SOA'), { rcode: 0, answers: [/SOA/] })
  t.match(ask(apex, 'NS'), { rcode: 0, answers: [/3600 NS ns\.spartan/] }, 'TTL of the NS set')
  t.match(ask(`_80._tcp.web.marathon.${apex}`, 'SRV'), {
    more: [`web.marathon.${apex} 5 A 11.0.0.1`],
  })
  t.match(ask('a.b.localhost'), { rcode: 0, answers: ['a.b.localhost 5 A 127.0.0.1'] })
})

t.test('of a zone whose data has not all come, the names that have are answered', async t => {
  const apex = 'l4lb.thisdcos.directory'
  const p = await Plane.create(one({ own: [local(apex)] }))
  load(p, apex, {}, { loaded: false })
  const said = (name: string, type = 'A'): unknown[] => {
    const { entry } = p.ask(`${name}.${apex}`, type)[0]!
    return [rcodeOf(entry), entry.ede]
  }
  t.same(said('web.marathon'), [2, 14], 'SERVFAIL with the reason')
  t.same([...p.cache.all()], [], 'and is not kept')
  const records: ZoneRecords = {
    [`web.marathon.${apex}`]: [['A', '11.0.0.1']],
    [`*.wild.${apex}`]: [['A', '11.0.0.2']],
  }
  load(p, apex, records, { loaded: false })
  for (const [name, type, wanted] of [
    ['web.marathon', 'A', [0, -1]],
    ['web.marathon', 'AAAA', [0, -1]],
    ['marathon', 'A', [2, 14]],
    ['other.marathon', 'A', [2, 14]],
    ['any.wild', 'A', [2, 14]],
  ] as const)
    t.same(said(name, type), wanted, `${name} ${type}`)
  load(p, apex, records)
  for (const [name, wanted] of [
    ['web.marathon', [0, -1]],
    ['marathon', [0, -1]],
    ['other.marathon', [3, -1]],
    ['any.wild', [0, -1]],
  ] as const)
    t.same(said(name), wanted, `${name} of the whole zone`)
})

t.test('a CNAME leads from zone to zone and out of them', async t => {
  const p = await Plane.create(
    one({ own: [local('component.thisdcos.directory'), local('dcos.thisdcos.directory')] }),
  )
  load(p, 'component.thisdcos.directory', {
    'registry.component.thisdcos.directory': [['CNAME', 'master.dcos.thisdcos.directory']],
    'out.component.thisdcos.directory': [['CNAME', 'www.example.org']],
    'loop.component.thisdcos.directory': [['CNAME', 'loop.component.thisdcos.directory']],
  })
  load(p, 'dcos.thisdcos.directory', { 'master.dcos.thisdcos.directory': [['A', '192.0.2.7']] })
  const inside = p.ask('registry.component.thisdcos.directory')[0]!
  t.same(lines(shown(inside.entry, 'registry.component.thisdcos.directory', p.io.time).answers), [
    'registry.component.thisdcos.directory 5 CNAME master.dcos.thisdcos.directory',
    'master.dcos.thisdcos.directory 5 A 192.0.2.7',
  ])
  const out = p.ask('out.component.thisdcos.directory')
  await p.answer(
    '192.0.2.53',
    response({
      answers: [
        { name: 'www.example.org', type: 'CNAME', ttl: 60, class: 'IN', data: 'w.example.net' },
        a('w.example.net', '203.0.113.4'),
      ],
    }),
  )
  await new Promise(setImmediate)
  t.same(lines(shown(out[0]!.entry, 'out.component.thisdcos.directory', p.io.time).answers), [
    'out.component.thisdcos.directory 5 CNAME www.example.org',
    'www.example.org 5 CNAME w.example.net',
    'w.example.net 5 A 203.0.113.4',
  ])
  t.equal(rcodeOf(p.ask('loop.component.thisdcos.directory')[0]!.entry), 2)
})

t.test('an alias is answered under the name that was asked', async t => {
  const apex = 'l4lb.thisdcos.directory'
  const p = await Plane.create(
    one({
      own: [local(apex), { kind: 'rename', zone: 'dclb.thisdcos.directory', to: apex, label: 0 }],
    }),
  )
  load(p, apex, {
    [`web.marathon.${apex}`]: [
      ['A', '11.0.0.1'],
      ['A', '11.0.0.2'],
    ],
    [`_80._tcp.web.marathon.${apex}`]: [['SRV', `0 1 80 web.marathon.${apex}`]],
  })
  const name = 'web.marathon.dclb.thisdcos.directory'
  const { entry } = p.ask(name)[0]!
  t.match(lines(shown(entry, name, p.io.time).answers), [`${name} 5 A 11.0.0.1`])
  const srv = p.ask(`_80._tcp.${name}`, 'SRV')[0]!.entry
  t.match(lines(shown(srv, `_80._tcp.${name}`, p.io.time).answers), [
    /"target":"web\.marathon\.dclb\.thisdcos\.directory"/,
  ])
  const no = p.ask('nope.dclb.thisdcos.directory')[0]!.entry
  t.equal(no.kind, NEGATIVE)
  t.match(shown(no, 'nope.dclb.thisdcos.directory', p.io.time).authorities, [
    { name: 'dclb.thisdcos.directory' },
  ])
  t.equal(p.sources.ofName(name), 7, 'and depends on the zone it leads to')
  for (const one of [entry, srv, no]) {
    t.ok(isAuthoritative(one))
    t.equal(p.validity.of(one, p.io.time), FRESH)
    t.equal(p.sources.ofEntry(one), one.source)
  }
})

t.test('a failure under another suffix is no answer, and not kept', async t => {
  const [apex, empty, long] = ['short', 'empty', `${'long.'.repeat(20)}example`]
  const rename = (zone: string, to: string) => ({ kind: 'rename', zone, to, label: 0 }) as const
  const p = await Plane.create(
    one({
      own: [
        ...[local(apex), local(empty), rename(long, apex), rename('other', empty)],
        ...[rename('a', 'b'), rename('b', 'a'), rename('tiny', long)],
      ],
    }),
  )
  const target = `${'t'.repeat(60)}.${'u'.repeat(60)}.${'v'.repeat(60)}.${apex}`
  load(p, apex, { [`_s.${apex}`]: [['SRV', `0 1 80 ${target}`]], [target]: [['A', '11.0.0.1']] })
  const before = p.cache.entries
  for (const [name, type, rcode] of [
    ['www.other', 'A', 2],
    ['www.a', 'A', 2],
    [`_s.${long}`, 'SRV', 2],
    [`${'w.'.repeat(100)}tiny`, 'A', 3],
  ] as const) {
    const [given] = p.ask(name, type)
    t.equal(rcodeOf(given!.entry), rcode, name)
    t.equal(given!.ede, 0, 'nothing stale')
    t.notOk(isAuthoritative(given!.entry))
  }
  t.equal(p.sources.ofName('www.a'), 0, 'a circle depends on nothing')
  t.equal(p.cache.entries - before, 1, 'only the SRV record under its own name is kept')
})

t.test('forward zones and special names are found by their longest suffix', async t => {
  const forward = [
    {
      ...raceRoute('corp.example', [udp('192.0.2.60', 5, 53)]),
      policy: 'hedge',
      ttl: 'external',
      number: -3,
    },
    {
      ...raceRoute('eu.corp.example', [udp('192.0.2.61', 6, 53)]),
      policy: 'hedge',
      ttl: 'external',
      number: -4,
    },
  ] as Snapshot['forward']
  const p = await Plane.create(
    one({ forward, special: [{ kind: 'special', zone: 'test', label: 1 }] }),
  )
  const to = async (name: string) => {
    p.ask(name)
    await new Promise(setImmediate)
    return p.io.sent.at(-1)?.to.address
  }
  t.equal(await to('a.corp.example'), '192.0.2.60')
  t.equal(await to('a.eu.corp.example'), '192.0.2.61')
  t.equal(await to('corp.example'), '192.0.2.60')
  t.equal(await to('acorp.example'), '192.0.2.53')
  const sent = p.io.sent.length
  t.equal(rcodeOf(p.ask('foo.test')[0]!.entry), 3)
  t.equal(p.io.sent.length, sent, 'nothing leaked')
})

t.test(
  'external upstreams are hedged: the next is asked when the first is late, or at once when it failed',
  async t => {
    const rest = {
      kind: 'forward',
      zone: '',
      label: 1,
      number: -9,
      policy: 'hedge',
      ttl: 'external',
      upstreams: [udp('192.0.2.53', 9, 53), udp('192.0.2.54', 10, 53)],
    } as const
    const p = await Plane.create(snapshotOf({ rest }))
    const given = p.ask('www.example.org')
    await new Promise(setImmediate)
    t.same(
      p.io.sent.map(s => s.to.address),
      ['192.0.2.53'],
    )
    p.io.advance(100)
    await new Promise(setImmediate)
    t.same(
      p.io.sent.map(s => s.to.address),
      ['192.0.2.53', '192.0.2.54'],
    )
    p.reply('192.0.2.54', positive('www.example.org', '203.0.113.1'))
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    t.equal(given[0]?.entry.kind, POSITIVE)
    const sent = p.io.sent.length
    const second = p.ask('b.example.org')
    await new Promise(setImmediate)
    const first = p.io.sent.at(-1)!.to.address
    p.reply(first, servfail)
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    t.equal(p.io.sent.length, sent + 2, 'fail fast')
    p.reply(p.io.sent.at(-1)!.to.address, positive('b.example.org', '203.0.113.2'))
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    t.equal(second[0]?.entry.kind, POSITIVE)
  },
)

t.test(
  'records that do not belong to the question are dropped before anything is kept',
  async t => {
    const p = await Plane.create(one())
    const given = p.ask('www.example.org')
    await p.answer(
      '192.0.2.53',
      response({
        answers: [a('www.example.org', '203.0.113.1'), a('bank.example.net', '203.0.113.66')],
        authorities: [
          { name: 'example.net', type: 'NS', ttl: 60, class: 'IN', data: 'evil.example' },
        ],
        additionals: [a('evil.example', '203.0.113.67')],
      }),
    )
    await new Promise(setImmediate)
    const message = shown(given[0]!.entry, 'www.example.org', p.io.time)
    t.same(lines(message.answers), ['www.example.org 60 A 203.0.113.1'])
    t.same([message.authorities, message.additionals], [[], []])
    t.equal(p.cache.entries, 1)
  },
)

t.test('an alias that the upstream did not follow is followed', async t => {
  const cname = (name: string, data: string): Answer => ({
    name,
    type: 'CNAME',
    ttl: 20,
    class: 'IN',
    data,
  })
  const upstream = '192.0.2.53'
  const p = await Plane.create(one())
  const given = [p.ask('www.example.org'), p.ask('www.example.org')]
  await p.answer(upstream, response({ answers: [cname('www.example.org', 'w.example.net')] }))
  t.equal(given[0]!.length, 0)
  await p.answer(upstream, positive('w.example.net', '203.0.113.4'))
  for (const [one] of given)
    t.same(lines(shown(one!.entry, 'www.example.org', p.io.time).answers), [
      'www.example.org 20 CNAME w.example.net',
      'w.example.net 20 A 203.0.113.4',
    ])
  const sent = p.io.sent.length
  t.equal(p.ask('www.example.org').length, 1)
  t.equal(p.io.sent.length, sent, 'and the whole is kept')

  const gone = p.ask('gone.example.org')
  await p.answer(upstream, response({ answers: [cname('gone.example.org', 'no.example.net')] }))
  await p.answer(upstream, nxdomain('example.net'))
  t.equal(rcodeOf(gone[0]!.entry), 3, 'the rcode is that of the last name')

  const loop = p.ask('loop.example.org')
  await p.answer(upstream, response({ answers: [cname('loop.example.org', 'loop.example.org')] }))
  for (let i = 0; i < 9; i++) {
    p.io.advance(250)
    await new Promise(setImmediate)
  }
  t.equal(rcodeOf(loop[0]!.entry), 2)

  const far = p.ask('c0.example.org')
  for (let i = 0; i <= 16 && far.length === 0; i++)
    await p.answer(
      upstream,
      response({ answers: [cname(`c${i}.example.org`, `c${i + 1}.example.org`)] }),
    )
  t.equal(rcodeOf(far[0]!.entry), 2, 'more than 16 are no answer')

  const near = p.ask('d0.example.org')
  for (let i = 0; i < 16; i++)
    await p.answer(
      upstream,
      response({ answers: [cname(`d${i}.example.org`, `d${i + 1}.example.org`)] }),
    )
  await p.answer(upstream, positive('d16.example.org', '203.0.113.4'))
  t.equal(shown(near[0]!.entry, 'd0.example.org', p.io.time).answers?.length, 17, '16 are')
})

t.test('a CNAME chain that loops is a failure', async t => {
  const p = await Plane.create(one())
  const cname = (name: string, data: string): Answer => ({
    name,
    type: 'CNAME',
    ttl: 60,
    class: 'IN',
    data,
  })
  const given = p.ask('web.mesos')
  p.reply(
    M1,
    response({
      answers: Array.from({ length: 20 }, (_, i) =>
        cname(i === 0 ? 'web.mesos' : `c${i}.mesos`, `c${i + 1}.mesos`),
      ),
    }),
  )
  t.equal(given[0]!.entry.kind, FAILURE)
})

t.test('a liked name is refreshed near its end, within the budget', async t => {
  const p = await Plane.create(one())
  p.ask('www.example.org')
  await p.answer('192.0.2.53', positive('www.example.org', '203.0.113.1'))
  await new Promise(setImmediate)
  const entry = [...p.cache.all()][0]!
  const sent = p.io.sent.length
  p.resolver.prefetch(entry)
  p.resolver.prefetch(entry)
  await new Promise(setImmediate)
  t.equal(p.io.sent.length, sent + 1, 'one at a time')
  await p.answer('192.0.2.53', servfail)
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.equal([...p.cache.all()][0]!.ref, entry.ref, 'a failed refresh extends and replaces nothing')
})

t.test('a refresh asks what was asked', async t => {
  for (const flags of [0, 1, 2, 3]) {
    const p = await Plane.create(one())
    const name = 'Www.example.org'
    const answer = (address: string) =>
      response({ answers: [a(name, address)], additionals: [OPT] })
    p.ask(name, 'A', { dnssecOk: (flags & 1) !== 0, checkingDisabled: (flags & 2) !== 0 })
    await p.answer('192.0.2.53', answer('203.0.113.1'))
    const [entry] = [...p.cache.all()]
    const asked = p.sentTo('192.0.2.53').at(-1)!.bytes.subarray(2)
    p.io.advance(59_000)
    p.resolver.prefetch(entry!)
    const refresh = p.sentTo('192.0.2.53')
    t.equal(refresh.length, 2)
    t.same(refresh[1]!.bytes.subarray(2), asked, `flags ${flags}: all but the ID`)
    await p.answer('192.0.2.53', answer('203.0.113.2'))
    const stored = [...p.cache.all()]
    t.equal(stored.length, 1, 'in its place')
    t.equal(stored[0]!.bits, flags)
    t.equal(p.validity.of(stored[0]!, p.io.time + 2_000), FRESH)
  }
})

t.test('beyond the bound the oldest question is given up', async t => {
  const p = await Plane.create(one(), { limits: { maxInFlight: 3 } })
  const all = Array.from({ length: 5 }, (_, i) => p.ask(`n${i}.mesos`))
  t.same(
    all.map(given => given.length),
    [1, 1, 0, 0, 0],
  )
  t.equal(p.resolver.inFlight, 3)
  t.equal(p.counters[SLOT.shed], 2)
})

t.test('the copy of the Mesos zone answers when every master is dead', async t => {
  const apex = 'mesos.thisdcos.directory'
  const asked = async (records: ZoneRecords | undefined, name: string, loaded = true) => {
    const p = await Plane.create(
      snapshotOf({ own: [raceRoute('mesos', [udp(M1, 0)], { copy: apex }), local(apex)] }),
    )
    if (records) load(p, apex, records, { loaded })
    const given = [p.ask(name), p.ask(name)]
    const { socket, to } = p.io.sent.at(-1)!
    p.io.refuse(socket, to)
    t.same(
      given.map(all => all.length),
      [1, 1],
      'each asker gets one answer',
    )
    return { p, given: given.map(([one]) => one!) }
  }
  const zone: ZoneRecords = { [`web.${apex}`]: [['A', '203.0.113.8']] }
  const there = await asked(zone, 'web.mesos')
  for (const { entry, ede } of there.given) {
    t.equal(ede, 3)
    t.same(lines(shown(entry, 'web.mesos', there.p.io.time).answers), ['web.mesos 5 A 203.0.113.8'])
  }
  t.equal(rcodeOf((await asked(zone, 'no.mesos')).given[0]!.entry), 3)
  for (const [says, records, loaded] of [
    ['there is no copy', undefined, true],
    ['the copy is empty', {}, true],
    ['the copy has not all come', zone, false],
  ] as const)
    t.equal(rcodeOf((await asked(records, 'no.mesos', loaded)).given[0]!.entry), 2, says)
})

t.test('DO and CD make questions of their own', async t => {
  const p = await Plane.create(one())
  p.ask('web.mesos')
  p.ask('web.mesos', 'A', { dnssecOk: true })
  t.equal(p.io.sent.length, 2)
  t.equal(p.io.sent[1]!.bytes[p.io.sent[1]!.bytes.length - 4], 0x80, 'DO travels upstream')
})

t.test('names that print alike are different names', async t => {
  const dotted = Buffer.from('\x05a.b.c\x05mesos\x00', 'latin1')
  const p = await Plane.create(one())
  p.ask('a.b.c.mesos')
  const wire = plainQuery(dotted, 1)
  p.resolver.resolve(
    hashed({
      ...questionOf('x.mesos'),
      wire,
      qnameEnd: wire.length - 15,
      questionEnd: wire.length - 11,
      name: 'a\\.b\\.c.mesos',
    }),
    {
      client: -1,
      recursionDesired: true,
      links: 0,
      watch: undefined,
      answer: () => {},
    },
  )
  t.equal(p.io.sent.length, 2)
  t.not(p.io.sent[0]!.bytes.toString('latin1'), p.io.sent[1]!.bytes.toString('latin1'))
})
