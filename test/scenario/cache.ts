/**
 * What is cached, for how long, and what is never cached: TTLs, negative answers and failures, stale answers, routes
 * and reloads.
 */
import t from 'tap'
import { ask as askAt, exchange, openTcp, query } from '../fixture/client.ts'
import { daemon } from '../fixture/daemon.ts'
import { masters } from '../fixture/masters.ts'
import { A, CNAME, NS, SOA, SRV, TXT, data } from '../fixture/rr.ts'
import {
  ask,
  asked,
  refuse,
  resume,
  settings,
  silence,
  story,
  then,
  upstream,
  wait,
} from '../fixture/story.ts'
import { upstream as single } from '../fixture/upstream.ts'
import { decode, framed } from '../fixture/wire.ts'

const soa = SOA('mesos. 60 ns1.mesos. root.ns1.mesos. 1 60 600 86400 60')
const web = A('web.mesos. 60 192.0.2.1')
const www = A('www.example.org. 300 203.0.113.1')

story('a second question is answered from the cache, with a TTL that has not grown', [
  upstream('mesos', soa, web),
  upstream('external', www),
  ask('web.mesos').check((t, { answers }) =>
    t.ok(answers[0]!.ttl <= 5, 'a cluster name is held for five seconds at most'),
  ),
  ask('web.mesos').gets(A('web.mesos. 5 192.0.2.1')),
  asked('mesos', 1),
  ask('www.example.org').gets(www),
  ask('www.example.org', 'A', { listener: 2, tcp: true }).gets(www),
  ask('WWW.Example.ORG', 'A', { listener: 1, edns: { size: 4096 } }).gets(www),
  asked('external', 1),
  wait('1200ms'),
  ask('www.example.org').check((t, { answers }) =>
    t.ok(answers[0]!.ttl < 300, `TTL ${answers[0]?.ttl} after more than a second`),
  ),
])

story('answers for other flags are others: DO and CD have entries of their own', [
  upstream('external', www),
  ask('www.example.org').gets(www),
  ask('www.example.org', 'A', { edns: { dnssecOk: true } }).gets(www),
  ask('www.example.org', 'A', { flags: ['rd', 'cd'] }).gets(www),
  asked('external', 3),
  ask('www.example.org', 'A', { flags: ['rd', 'ad'] }).gets(www),
  ask('www.example.org', 'A', { edns: {} }).gets(www),
  asked('external', 0),
])

story('a stale answer carries through an outage and says so, and is fresh again after it', [
  upstream('external', A('www.example.org. 1 203.0.113.1')),
  ask('www.example.org').gets(A('www.example.org. 1 203.0.113.1')),
  wait('1500ms'),
  silence('external'),
  ask('www.example.org', 'A', { edns: {} }).check((t, r) => {
    t.match(r, {
      status: 'NOERROR',
      answers: [{ ttl: 30, data: '203.0.113.1' }],
      ede: [{ code: 3, text: /^the answer is [1-9]\d* s old$/ }],
    })
  }),
  ask('never.example.org', 'A', { edns: {} }).fails('SERVFAIL', 22),
  resume('external'),
  wait('2s'),
  ask('www.example.org', 'A', { edns: {} }).check(() => {}),
  wait('1s'),
  ask('www.example.org', 'A', { edns: {} }).check((t, r) => t.same(r.ede, [], 'fresh')),
])

story('whoever asks while a refresh hangs gets the stale answer as well, not the refresh', [
  settings({ race: { deadline: '9s' } }),
  upstream('mesos', A('web.mesos. 1 192.0.2.1')),
  ask('web.mesos').gets(A('web.mesos. 1 192.0.2.1')),
  wait('1500ms'),
  silence('mesos'),
  ask('web.mesos', 'A', { timeout: 5_000 }).gets(A('web.mesos. 30 192.0.2.1')),
  ask('web.mesos', 'A', { timeout: 5_000 }).gets(A('web.mesos. 30 192.0.2.1')),
  ask('web.mesos', 'A', { timeout: 5_000 }).gets(A('web.mesos. 30 192.0.2.1')),
])

story('what is not there is remembered as long as its SOA says, whoever owns the SOA', [
  upstream('mesos', soa, web),
  upstream(
    'external',
    SOA('example.org. 300 ns.example.org. root.example.org. 1 60 600 86400 120'),
    www,
  ),
  ask('no.example.org').fails('NXDOMAIN'),
  ask('no.example.org').check((t, r) =>
    t.ok(r.authority[0]!.ttl <= 120, 'the lower of TTL and MINIMUM (RFC 2308 §5)'),
  ),
  ask('www.example.org', 'SRV').gets(),
  ask('www.example.org', 'SRV').gets(),
  asked('external', 2),
  ask('no.mesos').fails('NXDOMAIN'),
  ask('no.mesos').check((t, r) =>
    t.ok(
      r.authority.every(a => a.ttl <= 1),
      'a second in the cluster',
    ),
  ),
  asked('mesos', 1),
])

t.test('the negatives of Mesos-DNS are held a second although RFC 2308 would not', async t => {
  const three = await masters(t, [
    { name: '_odd._tcp.web.mesos', records: [], authority: [] },
    {
      name: 'odd.mesos',
      rcode: 'NXDOMAIN',
      authority: [SOA('marathon.mesos. 60 ns1.mesos. root.ns1.mesos. 1 60 600 86400 60')],
    },
    { name: 'gone.mesos', rcode: 'NXDOMAIN', authority: [] },
  ])
  const d = await daemon(t, { masters: three.config })
  for (const [name, type, status] of [
    ['_odd._tcp.web.mesos', 'SRV', 'NOERROR'],
    ['odd.mesos', 'A', 'NXDOMAIN'],
    ['gone.mesos', 'A', 'NXDOMAIN'],
  ] as const) {
    three.forget()
    const replies = await Promise.all(Array.from({ length: 5 }, () => askAt(d.at, name, type)))
    t.same(
      replies.map(r => r.status),
      Array(5).fill(status),
      `${name} ${type}`,
    )
    t.same(three.counts({ name, type }), [1, 1, 1], `${name}: asked once`)
    t.same(replies[0]!.answers, [])
  }
})

story('failures are not asked again at once', [
  upstream('external', { rcode: 'SERVFAIL' }),
  ask('bad.example.org').fails('SERVFAIL'),
  ask('bad.example.org').fails('SERVFAIL'),
  ask('bad.example.org', 'A', { edns: {} }).fails('SERVFAIL'),
  asked('external', 1),
])

story('only what belongs to the question is believed', [
  upstream(
    'external',
    {
      name: 'www.example.org',
      records: [www, A('victim.example.org. 300 203.0.113.66')],
      authority: [NS('example.org. 300 evil.example.org.')],
      additional: [A('other.example.org. 300 203.0.113.66')],
    },
    A('victim.example.org. 300 203.0.113.7'),
  ),
  ask('www.example.org').gets(www),
  ask('www.example.org').check((t, r) =>
    t.same(
      data([...r.authority, ...r.additional]).filter(d => d.includes('66')),
      [],
    ),
  ),
  ask('victim.example.org').gets(A('victim.example.org. 300 203.0.113.7')),
  ask('other.example.org').fails('NXDOMAIN'),
])

story('a chain of aliases comes whole, a loop ends', [
  upstream(
    'external',
    CNAME('a.example.org. 60 b.example.org.'),
    CNAME('b.example.org. 60 c.example.org.'),
    A('c.example.org. 60 203.0.113.3'),
    { name: 'loop.example.org', records: [CNAME('loop.example.org. 60 loop.example.org.')] },
  ),
  ask('a.example.org').check((t, r) =>
    t.same(
      r.answers.map(x => x.type),
      ['CNAME', 'CNAME', 'A'],
    ),
  ),
  ask('loop.example.org').check((t, r) => t.match(r.status, /NOERROR|SERVFAIL/)),
])

story('the longest forward zone takes a name, and a zone that does not answer is no other one', [
  upstream('corp.example.org', A('www.corp.example.org. 60 203.0.113.10')),
  upstream('deep.corp.example.org', A('www.deep.corp.example.org. 60 203.0.113.11')),
  upstream('external', www),
  ask('www.corp.example.org').gets(A('www.corp.example.org. 60 203.0.113.10')),
  ask('www.deep.corp.example.org').gets(A('www.deep.corp.example.org. 60 203.0.113.11')),
  ask('www.example.org').gets(www),
  refuse('deep.corp.example.org'),
  ask('new.deep.corp.example.org').fails('SERVFAIL'),
  asked('corp.example.org', 1),
  asked('external', 1),
])

story('private names stay here unless a forward zone takes them', [
  upstream('external', A('host.test. 60 203.0.113.20'), A('host.local. 60 203.0.113.21')),
  upstream('local', A('host.local. 60 203.0.113.22')),
  ask('host.test').fails('NXDOMAIN'),
  ask('9.1.168.192.in-addr.arpa', 'PTR').fails('NXDOMAIN'),
  ask('host.local').gets(A('host.local. 60 203.0.113.22')),
  asked('external', 0),
])

story('a reload changes where names go and keeps what is known', [
  upstream('external', www),
  upstream('spare.example.org', A('a.spare.example.org. 60 203.0.113.30')),
  ask('www.example.org').gets(www),
  ask('a.spare.example.org').gets(A('a.spare.example.org. 60 203.0.113.30')),
  silence('external'),
  settings({ forwardZones: {} }),
  ask('www.example.org').gets(www),
  silence('spare.example.org'),
  ask('a.spare.example.org').fails('SERVFAIL'),
  then('a bad configuration changes nothing', async ({ t }, d) => {
    d.writeConfig('listen: { addresses: [127.0.0.1], prot: 53 }\nnonsense: [')
    t.match(await d.reload(), { level: 'error' })
    t.equal((await askAt(d.at, 'www.example.org')).status, 'NOERROR')
    t.equal((await askAt(d.at, 'ready.spartan')).status, 'NOERROR')
  }),
])

t.test('an empty list of masters is no reason to say that names do not exist', async t => {
  const d = await daemon(
    t,
    { masters: { source: 'static', addresses: [], port: 61053 } },
    { unready: true },
  )
  const outcome = await Promise.race([d.exited, d.until('ready').then(() => 'ready')])
  if (outcome !== 'ready') {
    t.equal(outcome, 2, 'refused as a configuration')
    return
  }
  t.match(await askAt(d.at, 'web.mesos', 'A', { edns: {} }), {
    status: 'SERVFAIL',
    ede: [{ code: 14 }],
  })
})

t.test('clients that are not allowed are refused, politely', async t => {
  const up = await single(t, [www])
  const d = await daemon(t, { upstreams: [up.name], allow: ['127.0.0.0/30', '127.13.0.0/16'] })
  const from = '127.14.0.9'
  t.match(await askAt(d.at, 'www.example.org', 'A', { from, edns: {} }), {
    status: 'REFUSED',
    ede: [{ code: 18 }],
  })
  const { socket, next, closed } = await openTcp(d.at, from)
  socket.write(framed(query('www.example.org')))
  t.equal(await next(60_000), undefined, 'over TCP nothing is said')
  await closed
  t.equal(await d.metric('tcp_closed_total', { reason: 'refused' }), 1)
  t.match(await askAt(d.at, 'www.example.org', 'A', { from: '127.13.99.9' }), { status: 'NOERROR' })
  t.equal(up.queries.length, 1)
})

t.test(
  'SRV records keep priority and weight, and those of equal priority are shuffled',
  async t => {
    const records = [
      ...Array.from({ length: 8 }, (_, i) =>
        SRV(`_a._tcp.mesos. 60 1 ${i} ${31_000 + i} h${i}.mesos.`),
      ),
      SRV('_a._tcp.mesos. 60 0 5 30000 first.mesos.'),
    ]
    const three = await masters(t, records)
    const d = await daemon(t, { masters: three.config })
    const orders = new Set<string>()
    for (let n = 0; n < 20; n++) {
      const { answers } = await askAt(d.at, '_a._tcp.mesos', 'SRV')
      t.equal(answers.length, 9)
      t.same(data(answers), data(records), 'all of them, unchanged')
      t.match(answers[0]!.data, /^0 5 30000/, 'the best priority first')
      orders.add(answers.map(a => a.data).join())
    }
    t.comment(`${orders.size} orders in 20 answers`)
  },
)

t.test('an answer larger than any UDP reply is there whole over TCP', async t => {
  const text = Array.from({ length: 60 }, (_, i) =>
    TXT(`big.example.org. 60 "${String(i).padStart(200, 'x')}"`),
  )
  const up = await single(t, text)
  const d = await daemon(t, { upstreams: [up.name] })
  t.ok((await askAt(d.at, 'big.example.org', 'TXT', { edns: { size: 4096 } })).tc)
  t.equal((await askAt(d.at, 'big.example.org', 'TXT', { tcp: true })).answers.length, 60)
  const raw = await exchange(d.at, query('big.example.org', 'TXT'))
  t.ok(raw!.length <= 512 && decode(raw!).tc)
})
