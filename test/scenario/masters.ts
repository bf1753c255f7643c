/**
 * The race between masters on real sockets: masters that are silent, gone, failing or outdated do not determine what
 * clients get, and the counters show which they are.
 */
import t from 'tap'
import type { Test } from 'tap'
import { ask, type AskOptions, type Reply } from '../fixture/client.ts'
import { daemon, type Daemon } from '../fixture/daemon.ts'
import { masters, type Masters } from '../fixture/masters.ts'
import { A, SOA, data } from '../fixture/rr.ts'
import type { Rules } from '../fixture/upstream.ts'

const soa = SOA('mesos. 60 ns1.mesos. root.ns1.mesos. 1 60 600 86400 60')
const names = (count: number): Rules =>
  Array.from({ length: count }, (_, i) => A(`n${i}.mesos. 60 192.0.2.${i + 1}`))
const zone: Rules = [soa, ...names(200)]

let next = 0
/** Asks new names, one after the other. */
const fresh = async (d: Daemon, count: number, options: AskOptions = {}): Promise<Reply[]> => {
  const replies: Reply[] = []
  for (let n = 0; n < count; n++)
    replies.push(await ask(d.at, `n${next++ % 200}.mesos`, 'A', options))
  return replies
}

const cluster = async (
  t: Test,
  more: Record<string, unknown> = {},
): Promise<{ d: Daemon; three: Masters }> => {
  next = 0
  const three = await masters(t, zone)
  const d = await daemon(t, { masters: three.config, ...more })
  return { d, three }
}

const positive = (t: Test, replies: readonly Reply[], says: string): void => {
  t.same(
    replies
      .filter(r => r.status !== 'NOERROR' || r.answers.length === 0)
      .map(r => `${r.questions[0]?.name} ${r.status}`),
    [],
    `${says}: all positive`,
  )
}

t.test('every master is asked once, from ports and with IDs that cannot be guessed', async t => {
  const { d, three } = await cluster(t)
  positive(t, await fresh(d, 60), 'healthy')
  t.same(three.counts(), [60, 60, 60])
  const queries = three.at(0).queries
  const ids = new Set(queries.map(q => q.id))
  const ports = new Set(queries.map(q => q.port))
  t.ok(ids.size >= 58, `${ids.size} IDs of 60`)
  t.ok(ports.size >= 10, `${ports.size} ports for 60 queries`)
  t.ok(
    queries.every(q => q.rd && q.edns?.size === 1232 && q.edns.options.length === 0),
    'RD, an OPT of 1232, no options',
  )
  positive(
    t,
    await Promise.all(Array.from({ length: 20 }, (_, i) => ask(d.at, `n${i}.mesos`))),
    'again',
  )
  t.same(three.counts(), [60, 60, 60], 'from the cache')
})

for (const count of [1, 2]) {
  t.test(`${count} of three masters silent: answers all the same`, async t => {
    const { d, three } = await cluster(t)
    three.silence(count)
    positive(t, await fresh(d, 30), 'silent')
    const timeouts = await Promise.all(
      three.all.map(m => d.metric('upstream_failures_total', { upstream: m.name })),
    )
    t.comment(`failures by master ${timeouts}`)
    await three.resume()
    positive(t, await fresh(d, 5), 'back')
  })

  t.test(`${count} of three masters refusing: answers all the same`, async t => {
    const { d, three } = await cluster(t)
    await three.refuse(count)
    positive(t, await fresh(d, 30), 'refusing')
  })

  t.test(
    `${count} of three masters with SERVFAIL at once: the other one's answer is given`,
    async t => {
      const { d, three } = await cluster(t)
      three.set([...zone, { delay: 15 }])
      for (const one of three.all.slice(0, count)) one.set([{ rcode: 'SERVFAIL' }])
      positive(t, await fresh(d, 30), 'sick')
      t.equal(
        (await ask(d.at, 'gone.mesos')).status,
        'NXDOMAIN',
        'a name that is not there stays so',
      )
    },
  )

  t.test(
    `${count} of three masters stale, NXDOMAIN at once: ${count === 1 ? 'a better answer wins' : 'a majority of the stale decides'}`,
    async t => {
      // the default of 20 ms is tested with a simulated clock (test/data/forward/race.ts); here machines may be busy
      const { d, three } = await cluster(t, { race: { grace: '400ms' } })
      for (const one of three.all.slice(0, count)) one.set([soa])
      three.at(2).set([...zone, { delay: 8 }])
      if (count === 1) three.at(1).set([...zone, { delay: 8 }])
      const replies = await fresh(d, 30)
      if (count === 1) {
        positive(t, replies, 'stale')
        t.equal(
          (await d.metric('upstream_disagreements_total', { to: three.at(0).name })) > 0,
          true,
          'it is named',
        )
      } else t.ok(replies.every(r => ['NXDOMAIN', 'NOERROR'].includes(r.status)))
    },
  )
}

t.test('a name that no master knows costs no grace: the second no ends the wait', async t => {
  const { d, three } = await cluster(t, { race: { grace: '5s', deadline: '8s' } })
  three.at(2).silence()
  const got = await ask(d.at, 'no.mesos', 'A', { timeout: 4_000 })
  t.match(got, { status: 'NXDOMAIN', authority: [{ type: 'SOA' }] })
})

t.test('a lone no while the others are silent waits the grace and is given', async t => {
  const { d, three } = await cluster(t)
  three.silence(2)
  const got = await ask(d.at, 'no.mesos', 'A', { timeout: 4_000 })
  t.equal(got.status, 'NXDOMAIN')
  t.ok(
    got.authority.every(r => r.ttl <= 1),
    'for a second at most',
  )
})

t.test('all silent: SERVFAIL with its reason, in time for a libc', async t => {
  const { d, three } = await cluster(t)
  three.silence()
  t.match(await ask(d.at, 'n1.mesos', 'A', { edns: {}, timeout: 4_000 }), {
    status: 'SERVFAIL',
    ede: [{ code: 22 }],
  })
  await three.refuse()
  t.match(await ask(d.at, 'n2.mesos', 'A', { edns: {}, timeout: 4_000 }), {
    status: 'SERVFAIL',
    ede: [{ code: /22|23/ }],
  })
})

t.test(
  'all fail: the client gets SERVFAIL, and the most telling failure as its reason',
  async t => {
    const { d, three } = await cluster(t)
    three.set([{ rcode: 'REFUSED' }])
    const said = async (name: string): Promise<unknown> => {
      const { status, ede } = await ask(d.at, name, 'A', { edns: {} })
      return { status, reasons: ede.map(({ text }) => text).join() }
    }
    // REFUSED would mean that this client may not ask, but it is the masters who refuse the forwarder.
    t.match(await said('n1.mesos'), { status: 'SERVFAIL', reasons: /REFUSED/ })
    three.at(1).set([{ rcode: 'SERVFAIL' }])
    t.match(await said('n2.mesos'), { status: 'SERVFAIL', reasons: /SERVFAIL/ })
  },
)

t.test('a truncated reply is asked again over TCP and cached whole', async t => {
  const many = Array.from({ length: 100 }, (_, i) => A(`many.mesos. 60 192.0.2.${i + 1}`))
  const { d, three } = await cluster(t)
  three.set([...many, { truncate: true }])
  t.ok((await ask(d.at, 'many.mesos', 'A', { edns: { size: 1232 } })).tc, 'too much for UDP')
  t.equal((await ask(d.at, 'many.mesos', 'A', { tcp: true })).answers.length, 100)
  const asked = three.counts({ transport: 'tcp' }).reduce((a, b) => a + b)
  t.ok(asked >= 1 && asked <= 3, `${asked} questions over TCP`)
  three.forget()
  await ask(d.at, 'many.mesos', 'A', { tcp: true })
  t.same(three.counts(), [0, 0, 0], 'cached')
  three.set([...zone, { truncate: true, tcp: 'silent' }])
  three.at(2).set([...zone, { delay: 100 }])
  positive(
    t,
    [await ask(d.at, 'n7.mesos', 'A', { timeout: 4_000 })],
    'TCP that says nothing does not end the race',
  )
})

t.test('each kind of wrong reply ahead of the right one is not taken for it', async t => {
  const { d, three } = await cluster(t)
  const kinds = [
    'id',
    'question',
    'type',
    'class',
    'noquestion',
    'qr',
    'opcode',
    'runt',
    'empty',
    'counts',
    'garbage',
    'source',
    'cut',
    'rdlength',
  ] as const
  for (const kind of kinds) {
    three.set([...zone, { before: [kind] }])
    const [got] = await fresh(d, 1)
    t.match(got, { status: 'NOERROR', answers: [{ data: /^192\.0\.2\./ }] }, kind)
    const name = got!.questions[0]!.name
    t.same(
      data(got!.answers),
      [`192.0.2.${Number(name.slice(1, -6)) + 1}`],
      `${kind}: the true data`,
    )
  }
  t.equal(
    (await ask(d.at, 'victim.example.org')).status,
    'SERVFAIL',
    'nothing was learnt about the victim',
  )
})

t.test(
  'servers with troubles of their own with EDNS, case and duplicates are answered for',
  async t => {
    const { d, three } = await cluster(t)
    for (const [says, rule] of [
      ['FORMERR for OPT', { edns: 'formerr' }],
      ['no OPT in the reply', { edns: 'strip' }],
      ['the question in lower case', { lowercase: true }],
      ['every reply three times', { duplicate: 3 }],
    ] as const) {
      three.set([...zone, rule])
      positive(t, await fresh(d, 10, { edns: {} }), says)
    }
  },
)

t.test('servers that drop queries with OPT are asked without', async t => {
  const { d, three } = await cluster(t)
  three.set([...zone, { edns: 'drop' }])
  positive(t, await fresh(d, 3, { timeout: 5_000 }), 'OPT dropped')
})

t.test('one question, however many ask: one exchange per master', async t => {
  const { d, three } = await cluster(t)
  three.set([...zone, { delay: 200 }])
  const all = await Promise.all(
    Array.from({ length: 500 }, (_, i) => ask(d.addresses[i % 3]!, 'n42.mesos', 'A', { id: i })),
  )
  positive(t, all, '500 clients')
  // On a slow machine each master is asked again after 250 and 750 ms, from another port.
  const exchanges = three.all.map(
    m => new Set(m.queries.filter(q => q.name === 'n42.mesos').map(q => `${q.id} ${q.port}`)).size,
  )
  for (const n of exchanges) t.ok(n >= 1 && n <= 3, `${n} exchanges for 500 clients`)
})
