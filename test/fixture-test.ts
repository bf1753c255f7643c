/** Tests of the fixtures: an error in a fixture would invalidate every test that uses it. */
import t from 'tap'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import dnsPacket from 'dns-packet'
import { TapReader } from '../scripts/tap-reader.js'
import { freePort, ownAddress, ownAddresses } from './fixture/address.ts'
import { chaos } from './fixture/chaos.ts'
import { ask, exchange, openTcp, query } from './fixture/client.ts'
import { dig, have } from './fixture/dig.ts'
import { masters } from './fixture/masters.ts'
import { goodQueries, goodReplies, mutations, pointerReplies } from './fixture/mutate.ts'
import { packets } from './fixture/packets.ts'
import { fc } from './fixture/property.ts'
import { seeded } from './fixture/random.ts'
import { A, AAAA, CNAME, SOA, SRV, TXT, line, lines, rr } from './fixture/rr.ts'
import { Stub } from './fixture/stub.ts'
import { upstream } from './fixture/upstream.ts'
import { decode, encode, framed } from './fixture/wire.ts'
import { WRONGS, type Wrong } from './fixture/wrong.ts'

t.test(
  'what is generated gets as long as a test says, and all tests take it from here',
  async t => {
    const longest = (all: readonly { length: number }[]): number =>
      Math.max(...all.map(one => one.length))
    t.ok(longest(fc.sample(fc.array(fc.nat(), { maxLength: 600 }), 100)) > 300)
    t.ok(longest(fc.sample(fc.string({ maxLength: 200 }), 100)) > 100)
    const others = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' }).filter(
      file =>
        file.endsWith('.ts') &&
        file !== 'fixture/property.ts' &&
        readFileSync(join(import.meta.dirname, file), 'utf8').includes("from 'fast" + "-check'"),
    )
    t.same(others, [])
  },
)

const web = A('web.mesos. 60 192.0.2.1')

t.test('a record is read as a zone file has it', async t => {
  t.same(rr('web.mesos. 60 IN A 192.0.2.1'), web)
  t.same(rr('web.mesos. 60 A 192.0.2.1'), web)
  t.equal(
    line(SRV('_http._tcp.web.mesos. 60 0 1 31000 a.mesos.')),
    '_http._tcp.web.mesos 60 IN SRV 0 1 31000 a.mesos',
  )
  t.same(
    lines([web, A('a.mesos. 1 192.0.2.2')]),
    lines([A('A.mesos. 1 192.0.2.2'), web]),
    'order and case do not count',
  )
  t.throws(() => rr('web.mesos A'))
})

t.test('the builder and the strict reader agree with each other and with dns-packet', async t => {
  const records = [
    web,
    AAAA('web.mesos. 60 2001:db8::1'),
    AAAA('web.mesos. 60 ::'),
    AAAA('web.mesos. 60 1:0:0:2::3'),
    SRV('web.mesos. 60 0 1 31000 a.mesos.'),
    TXT('web.mesos. 60 "one" "two \\"words\\""'),
    SOA('mesos. 60 ns1.mesos. root.mesos. 1 2 3 4 4294967295'),
    CNAME('a\\.b.\\255\\000.mesos. 60 a\\\\c.mesos.'),
    rr('web.mesos. 60 TYPE65280 \\# 3 cafe00'),
  ]
  const bytes = encode({
    id: 7,
    flags: ['qr', 'aa', 'rd'],
    rcode: 16,
    questions: [{ name: 'Web.mesos', type: 'ANY', class: 'IN' }],
    answers: records,
    edns: { dnssecOk: true },
  })
  const back = decode(bytes)
  t.same(lines(back.answers), lines(records))
  t.match(back, {
    id: 7,
    qr: true,
    aa: true,
    tc: false,
    rd: true,
    ra: false,
    rcode: 16,
    edns: { size: 1232, dnssecOk: true },
  })
  const other = dnsPacket.decode(bytes)
  t.equal(other.answers?.length, records.length)
  t.match(other.answers?.[0], { name: 'Web.mesos', type: 'A', ttl: 60, data: '192.0.2.1' })
  t.throws(() => decode(Buffer.concat([bytes, Buffer.alloc(1)])), /after the last record/)
  t.throws(() => decode(bytes.subarray(0, -1)))
  for (const { says, bytes } of pointerReplies().slice(0, 4)) t.throws(() => decode(bytes), says)
})

t.test('every recorded packet can be had, and most are well formed', async t => {
  const all = packets()
  t.ok(all.length > 60)
  t.ok(all.every(p => p.says !== '' && p.bytes.length > 0))
  const good = all.filter(p => {
    try {
      return decode(p.bytes)
    } catch {
      return false
    }
  })
  t.ok(good.length > 50, `${good.length} of ${all.length}`)
})

t.test('an upstream answers honestly from its records', async t => {
  const up = await upstream(t, [
    web,
    CNAME('alias.mesos. 60 web.mesos.'),
    A('deep.a.mesos. 60 192.0.2.3'),
  ])
  for (const tcp of [false, true]) {
    t.match(await ask(up, 'Web.Mesos', 'A', { tcp }), {
      status: 'NOERROR',
      aa: true,
      answers: [{ name: 'Web.Mesos', data: '192.0.2.1', ttl: 60 }],
    })
  }
  t.same(
    (await ask(up, 'alias.mesos')).answers.map(r => r.type),
    ['CNAME', 'A'],
  )
  t.match(await ask(up, 'web.mesos', 'SRV'), {
    status: 'NOERROR',
    answers: [],
    authority: [{ type: 'SOA' }],
  })
  t.match(await ask(up, 'a.mesos'), { status: 'NOERROR', answers: [] }, 'an empty non-terminal')
  t.match(await ask(up, 'no.mesos', 'A', { edns: {} }), {
    status: 'NXDOMAIN',
    edns: { version: 0 },
    authority: [{ type: 'SOA' }],
  })
  t.equal(up.queries.length, 6)
  t.equal(up.count({ name: 'web.mesos', transport: 'tcp' }), 1)
  t.match(up.queries[0], {
    name: 'Web.Mesos',
    type: 'A',
    transport: 'udp',
    rd: true,
    edns: undefined,
  })
})

t.test('an upstream misbehaves as rules say', async t => {
  const many = Array.from({ length: 60 }, (_, i) => A(`many.mesos. 60 192.0.2.${i + 1}`))
  const up = await upstream(t, [
    web,
    ...many,
    { name: 'fail.mesos', rcode: 'SERVFAIL', times: 1 },
    { name: 'drop.mesos', drop: true },
    { name: 'tc.mesos', truncate: true, records: [A('tc.mesos. 60 192.0.2.9')] },
    { name: 'old.mesos', edns: 'formerr' },
    { name: 'older.mesos', edns: 'strip', lowercase: true },
    { name: 'flip.mesos', flip: [[A('flip.mesos. 1 192.0.2.1')], [A('flip.mesos. 1 192.0.2.2')]] },
    { name: '*.half.mesos', tcp: 'half' },
  ])
  t.equal((await ask(up, 'fail.mesos')).status, 'SERVFAIL')
  t.equal((await ask(up, 'fail.mesos')).status, 'NXDOMAIN', 'only once')
  t.equal(await exchange(up, query('drop.mesos'), { timeout: 50 }), undefined)
  t.match(await ask(up, 'tc.mesos'), { tc: true, answers: [] })
  t.match(await ask(up, 'tc.mesos', 'A', { tcp: true }), {
    tc: false,
    answers: [{ data: '192.0.2.9' }],
  })
  t.match(await ask(up, 'many.mesos'), { tc: true }, 'more than 512 octets')
  t.equal((await ask(up, 'many.mesos', 'A', { edns: { size: 1232 } })).answers.length, 60)
  t.match(await ask(up, 'old.mesos', 'A', { edns: {} }), { status: 'FORMERR', edns: undefined })
  t.match(await ask(up, 'OLDER.mesos', 'A', { edns: {} }), {
    edns: undefined,
    questions: [{ name: 'older.mesos' }],
  })
  t.not(
    (await ask(up, 'flip.mesos')).answers[0]?.data,
    (await ask(up, 'flip.mesos')).answers[0]?.data,
  )
  t.equal(await exchange(up, query('a.half.mesos'), { tcp: true }), undefined)
})

t.test('each kind of wrong reply is wrong', async t => {
  const up = await upstream(t, [web])
  const asked = query('web.mesos', 'A', { id: 77 })
  const good = await exchange(up, asked)
  for (const wrong of Object.keys(WRONGS) as Wrong[]) {
    const bad = WRONGS[wrong](Buffer.from(good!))
    t.notOk(bad.equals(good!), wrong)
  }
  up.set([web, { before: ['garbage', 'source', 'runt'], duplicate: 2 }])
  t.equal((await exchange(up, asked))?.readUInt16BE(0), 77)
  up.set([web, { wrong: 'source' }])
  t.equal(await exchange(up, asked, { timeout: 50 }), undefined, 'another port is not heard')
})

t.test('an upstream falls silent, refuses, and comes back', async t => {
  const up = await upstream(t, [web])
  const port = up.port
  up.silence()
  t.equal(await exchange(up, query('web.mesos'), { timeout: 50 }), undefined)
  t.equal(up.queries.length, 1, 'it heard')
  await up.refuse()
  await t.rejects(ask(up, 'web.mesos', 'A', { tcp: true }), { code: 'ECONNREFUSED' })
  await up.resume()
  t.equal(up.port, port)
  t.equal((await ask(up, 'web.mesos')).status, 'NOERROR')
})

t.test('masters share a port on addresses of their own', async t => {
  const three = await masters(t, [web])
  t.equal(new Set(three.all.map(m => m.address)).size, 3)
  t.same(
    three.all.map(m => m.port),
    [three.port, three.port, three.port],
  )
  await Promise.all(three.all.map(m => ask(m, 'web.mesos')))
  t.same(three.counts(), [1, 1, 1])
  t.equal(new Set(ownAddresses(3)).size, 3)
  t.ok((await freePort([ownAddress()])) > 0)
})

t.test('a chaos proxy loses, doubles, delays and cuts by seeded dice', async t => {
  const up = await upstream(t, [web])
  const proxy = await chaos(t, up)
  t.equal((await ask(proxy, 'web.mesos')).status, 'NOERROR')
  t.equal((await ask(proxy, 'web.mesos', 'A', { tcp: true })).status, 'NOERROR')
  proxy.set({ loss: 1 })
  t.equal(await exchange(proxy, query('web.mesos'), { timeout: 50 }), undefined)
  proxy.set({ delay: 30, jitter: 20, duplicate: 1 })
  up.forget()
  t.ok((await ask(proxy, 'web.mesos')).took >= 60, 'twice the delay')
  t.equal(up.queries.length, 2, 'doubled')
  proxy.set({ reorder: 1 })
  t.equal((await ask(proxy, 'web.mesos')).status, 'NOERROR', 'held back, not lost')
  proxy.set({ cut: 1 })
  t.equal(await exchange(proxy, query('web.mesos'), { tcp: true, timeout: 500 }), undefined)
  t.ok(
    proxy.stats.lost > 0 &&
      proxy.stats.duplicated > 0 &&
      proxy.stats.reordered > 0 &&
      proxy.stats.cuts > 0,
  )
  proxy.set({ rate: 10 })
  await Promise.all(
    Array.from({ length: 20 }, () => exchange(proxy, query('web.mesos'), { timeout: 50 })),
  )
  t.ok(proxy.stats.overRate > 10)
})

t.test('a stub asks the next server and counts what a program would have seen', async t => {
  const three = await masters(t, [web, AAAA('web.mesos. 60 2001:db8::1')])
  const stub = new Stub(three.all, { timeout: 100 })
  t.match(await stub.lookup('web.mesos'), {
    result: 'ok',
    addresses: ['192.0.2.1', '2001:db8::1'],
    retries: 0,
  })
  const [a, b] = three.at(0).queries
  t.equal(a?.port, b?.port, 'A and AAAA from one port')
  t.equal((await stub.lookup('no.mesos')).result, 'EAI_NONAME')
  three.at(0).silence()
  three.at(1).set([{ rcode: 'SERVFAIL' }])
  t.match(await stub.lookup('web.mesos'), { result: 'ok', retries: 2 })
  t.match(await new Stub(three.all, { parallel: true, timeout: 500 }).lookup('web.mesos'), {
    result: 'ok',
    retries: 0,
  })
  three.silence()
  t.match(await new Stub(three.all, { timeout: 20, attempts: 1 }).lookup('web.mesos'), {
    result: 'EAI_AGAIN',
  })
  await three.resume()
  three.set([web, { truncate: true }])
  // Twenty look-ups at once, each with a connection, take more than 100 ms on a loaded machine.
  const patient = new Stub(three.all, { timeout: 5_000 })
  t.match(await patient.lookup('web.mesos'), { result: 'ok' }, 'TC is asked again over TCP')
  t.match(await patient.stream(['web.mesos'], { rate: 500, count: 20 }), {
    asked: 20,
    ok: 20,
    failed: 0,
  })
})

t.test('messages on TCP are told apart however they are cut', async t => {
  const up = await upstream(t, [web])
  const { socket, next, closed } = await openTcp(up)
  const both = Buffer.concat([
    framed(query('web.mesos', 'A', { id: 1 })),
    framed(query('no.mesos', 'A', { id: 2 })),
  ])
  for (const octet of both) socket.write(Buffer.of(octet))
  t.equal((await next())?.readUInt16BE(0), 1)
  t.equal((await next())?.readUInt16BE(0), 2)
  socket.end()
  await closed
  t.equal(await next(), undefined)
})

t.test('mutations repeat by their seed and are mostly broken', async t => {
  const good = [...goodQueries(), ...goodReplies()]
  const take = (seed: number): Buffer[] => {
    const all = mutations(seed, good)
    return Array.from({ length: 500 }, () => all.next().value as Buffer)
  }
  t.same(
    take(1).map(b => b.toString('hex')),
    take(1).map(b => b.toString('hex')),
  )
  t.notSame(take(1)[0], take(2)[0])
  const whole = take(3).filter(b => {
    try {
      return decode(b)
    } catch {
      return false
    }
  })
  t.ok(whole.length > 20 && whole.length < 400, `${whole.length} of 500 are still well formed`)
  t.same(Array.from({ length: 3 }, seeded(9)), Array.from({ length: 3 }, seeded(9)))
})

for (const program of ['dig', 'kdig'] as const) {
  t.test(`${program} is run and read`, async t => {
    if (!have(t, program)) return
    const up = await upstream(t, [web, SRV('_http._tcp.web.mesos. 60 0 1 31000 web.mesos.')])
    t.match(await dig(up, ['web.mesos', 'A'], program), {
      status: 'NOERROR',
      answer: ['web.mesos 60 IN A 192.0.2.1'],
      code: 0,
    })
    t.same((await dig(up, ['_http._tcp.web.mesos', 'SRV', '+tcp'], program)).answer, [
      '_http._tcp.web.mesos 60 IN SRV 0 1 31000 web.mesos',
    ])
    const no = await dig(up, ['no.mesos', 'A'], program)
    t.equal(no.status, 'NXDOMAIN')
    t.equal(no.authority.length, 1)
    t.ok(no.flags.includes('qr'), no.flags.join())
  })
}

t.test(
  'the runner counts leaves, keeps failures with their place, and says why something was skipped',
  async t => {
    const said: string[] = []
    const reader = new TapReader(text => said.push(text))
    const tap = `TAP version 14
# Subtest: test/a.ts
    # Subtest: one \\# two
        ok 1 - fine
        # before it
        not ok 2 - numbers agree
          ---
          compare: ===
          ok 7 - not a result
          ...
        # what the program said
        ok 3 - SKIPPED: serf is not installed # SKIP
        1..3
    not ok 1 - one \\# two # time=1ms
    # Subtest: thrown
        1..0
    not ok 2 - thrown # time=1ms
    ok 3 - whole # SKIP no dig
    1..3
not ok 1 - test/a.ts # time=20.5ms
ok 2 - test/b.ts # SKIP no tests found
# Subtest: test/c.ts
    # said in vain
    ok 1 - fine
    1..1
ok 3 - test/c.ts # time=1ms
1..3`
    for (const text of tap.split('\n')) reader.line(text)
    reader.end()
    t.equal(reader.passed, 2)
    t.equal(reader.filesSeen, 3)
    t.same(
      reader.failures.map(f => [...f.at, f.name].join(' > ')),
      ['test/a.ts > one # two > numbers agree', 'test/a.ts > thrown', 'test/b.ts > no tests found'],
    )
    t.match(reader.failures[0]?.detail, [/compare/, /not a result/])
    t.same(
      reader.skips.map(s => s.reason),
      ['serf is not installed', 'no dig'],
    )
    t.same(
      reader.comments,
      [{ file: 'test/a.ts', lines: ['before it', 'what the program said'] }],
      'comments of a file in which something failed',
    )
    t.match(said, [/^NOT OK test\/a\.ts {2}1 passed/, /^ok .*b\.ts/])
    const runner = fileURLToPath(new URL('../scripts/test.js', import.meta.url))
    const none = spawnSync(process.execPath, [runner, 'test/fixture/rr.ts'], {
      encoding: 'utf8',
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    t.equal(none.status, 1, 'a file without tests is a failure')
    t.notMatch(process.env['NODE_OPTIONS'], 'transpile', 'programs of a test load no transpiler')
    t.match(none.stdout, /\n0 passed, 1 failed\n$/)
  },
)
