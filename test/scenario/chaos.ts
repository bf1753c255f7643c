/**
 * For each way in which the environment of the daemon can fail: a stream of look-ups like a libc's (A and AAAA from
 * one port, a timeout of one second, three attempts over three addresses), and the number of them that fail from a
 * program's view. It must be 0.
 */
import t from 'tap'
import { freePort, ownAddresses } from '../fixture/address.ts'
import { ask } from '../fixture/client.ts'
import {
  cluster,
  COUNT,
  mesos,
  none,
  outside,
  RATE,
  soa,
  stream,
  world,
  zoneOf,
  type World,
} from '../fixture/cluster.ts'
import { daemon } from '../fixture/daemon.ts'
import type { Masters } from '../fixture/masters.ts'
import { A, data } from '../fixture/rr.ts'
import { Stub } from '../fixture/stub.ts'
import type { Rule, Rules } from '../fixture/upstream.ts'

t.setTimeout(600_000)

/** Failures that only change the masters before the stream. */
const items: readonly (readonly [string, (w: World) => Promise<void> | void])[] = [
  ['1. one of three masters is silent', ({ three }) => three.silence(1)],
  ['2. two are silent', ({ three }) => three.silence(2)],
  ['5. one answers SERVFAIL at once', ({ three }) => three.at(0).set([{ rcode: 'SERVFAIL' }])],
  ['7. one answers after 900 ms', ({ three }) => three.at(0).set([...mesos, { delay: 900 }])],
  ['10. replies are truncated', ({ three }) => three.set([...mesos, { truncate: true }])],
  [
    '11. TCP is accepted and never answered by one',
    ({ three }) => (
      three.set([...mesos, { truncate: true }]),
      three.at(0).set([...mesos, { truncate: true, tcp: 'silent' }])
    ),
  ],
  [
    '12. TCP is closed within a frame by two',
    ({ three }) => (three.set([...mesos, { truncate: true, tcp: 'half' }]), three.at(2).set(mesos)),
  ],
  [
    '18. EDNS is dropped silently by two',
    ({ three }) => (three.set([...mesos, { edns: 'drop' }]), three.at(2).set(mesos)),
  ],
  ['19. EDNS is FORMERR everywhere', ({ three }) => three.set([...mesos, { edns: 'formerr' }])],
  [
    '20. garbage comes instead of replies from two',
    ({ three }) => (three.set([...mesos, { wrong: 'garbage' }]), three.at(2).set(mesos)),
  ],
  ['one refuses its port', ({ three }) => three.refuse(1)],
  ['one says REFUSED', ({ three }) => three.at(0).set([{ rcode: 'REFUSED' }])],
]
for (const [says, happens] of items) {
  t.test(says, async t => {
    const w = await world(t)
    await happens(w)
    none(t, await stream(w))
  })
}

t.test('6. one answers NXDOMAIN at once, stale', async t => {
  // The masters run in this process. If it were delayed between two of them for the default of 20 ms, only one would
  // have answered in time. test/data/forward/race.ts tests that with a simulated clock.
  const w = await world(t, { settings: { race: { grace: '400ms' } } })
  w.three.at(0).set([soa])
  none(t, await stream(w))
})

for (const [says, weather] of [
  ['14. 30 % of the datagrams are lost', { loss: 0.3 }],
  ['15. most come twice', { duplicate: 0.7 }],
  ['16. and in another order, late', { reorder: 0.3, delay: 5, jitter: 40 }],
] as const) {
  t.test(says, async t => none(t, await stream(await world(t, { weather }))))
}

for (const [says, happens] of [
  ['3. all masters are silent: stale answers carry', (three: Masters) => three.silence()],
  ['4. all refuse their ports: stale answers carry', (three: Masters) => three.refuse()],
  [
    'all answer SERVFAIL: stale answers carry',
    (three: Masters) => three.set([{ rcode: 'SERVFAIL' }]),
  ],
] as const) {
  t.test(says, async t => {
    const names = cluster.slice(0, 10)
    const w = await world(t, { rules: [soa, ...zoneOf(names, 1)] })
    for (const name of names) await w.stub.lookup(name)
    await happens(w.three)
    await new Promise(resolve => setTimeout(resolve, 1_500))
    none(t, await w.stub.stream(names, { rate: RATE, count: COUNT }), 'stale look-ups')
    const got = await ask(w.d.at, names[0]!, 'A', { edns: {} })
    t.match(got, { status: 'NOERROR', ede: [{ code: 3 }] }, 'said to be stale')
    await w.three.resume()
    w.three.set(mesos)
    let fresh = await ask(w.d.at, names[1]!, 'A', { edns: {} })
    for (let n = 0; n < 100 && fresh.ede.length > 0; n++) {
      await new Promise(resolve => setTimeout(resolve, 100))
      fresh = await ask(w.d.at, names[1]!, 'A', { edns: {} })
    }
    t.same(fresh.ede, [], 'and fresh again when they are back')
  })
}

t.test('8. one flips every quarter of a second', async t => {
  const w = await world(t)
  let on = false
  const timer = setInterval(() => {
    on = !on
    if (on) w.three.at(0).silence()
    else void w.three.at(0).resume()
  }, 250)
  t.teardown(() => clearInterval(timer))
  none(t, await stream(w))
})

t.test('9. leader.mesos moves, and clients follow', async t => {
  const w = await world(t, { rules: [soa, A('leader.mesos. 60 192.0.2.1')] })
  t.same(data((await ask(w.d.at, 'leader.mesos')).answers), ['192.0.2.1'])
  w.three.set([soa, A('leader.mesos. 60 192.0.2.2')])
  let now: readonly string[] = []
  for (let n = 0; n < 100 && now[0] !== '192.0.2.2'; n++) {
    const { answers } = await ask(w.d.at, 'leader.mesos')
    t.ok(
      answers.every(r => r.ttl <= 1),
      'never for more than a second',
    )
    now = data(answers)
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.same(now, ['192.0.2.2'])
})

t.test('13. connections kept for reuse are dead', async t => {
  const many = (name: string): Rules =>
    Array.from({ length: 100 }, (_, i) => A(`${name}. 1 192.0.2.${i + 1}`))
  const w = await world(t, {
    rules: [
      soa,
      ...many('a.mesos'),
      ...many('b.mesos'),
      ...many('c.mesos'),
      { truncate: true } satisfies Rule,
    ],
  })
  t.equal((await ask(w.d.at, 'a.mesos', 'A', { tcp: true })).answers.length, 100)
  await w.three.refuse()
  await w.three.resume()
  t.equal((await ask(w.d.at, 'b.mesos', 'A', { tcp: true })).answers.length, 100)
  t.equal((await ask(w.d.at, 'c.mesos', 'A', { tcp: true })).answers.length, 100)
})

t.test('17. no reply over 512 octets passes', async t => {
  const many = Array.from({ length: 60 }, (_, i) => A(`many.mesos. 60 192.0.2.${i + 1}`))
  const w = await world(t, { rules: [soa, ...many, { edns: 'strip' }] })
  t.equal((await ask(w.d.at, 'many.mesos', 'A', { edns: { size: 1232 } })).answers.length, 60)
})

t.test('21. the external upstreams are dead: the cluster does not feel it', async t => {
  const w = await world(t)
  w.out.silence()
  const others = new Stub(w.d.addresses, { attempts: 1 }).stream(outside.slice(10), {
    rate: 50,
    count: 50,
  })
  none(t, await stream(w))
  t.equal((await others).ok, 0)
})

t.test('22. the masters are dead: other names do not feel it', async t => {
  const w = await world(t)
  w.three.silence()
  const others = new Stub(w.d.addresses, { attempts: 1 }).stream(cluster.slice(10), {
    rate: 50,
    count: 50,
  })
  none(t, await stream(w, outside))
  t.equal((await others).ok, 0)
})

t.test('23. an upstream that is ourselves is refused before anything is bound', async t => {
  const hosts = ownAddresses(3)
  const port = await freePort(hosts)
  const d = await daemon(
    t,
    { listen: { addresses: hosts, port }, upstreams: [`${hosts[1]}:${port}`] },
    { unready: true },
  )
  t.equal(await d.exited, 2)
  t.match(d.stray, /upstreams/)
})

t.test('24. two daemons in a ring: a question goes round once or twice and ends', async t => {
  const hosts = ownAddresses(6)
  const port = await freePort(hosts)
  const [a, b] = [hosts.slice(0, 3), hosts.slice(3)]
  const one = await daemon(t, { listen: { addresses: a, port }, upstreams: [`${b[0]}:${port}`] })
  const two = await daemon(t, { listen: { addresses: b, port }, upstreams: [`${a[0]}:${port}`] })
  const replies = await Promise.all(
    Array.from({ length: 20 }, (_, i) => ask(one.at, `n${i}.example.org`)),
  )
  t.ok(
    replies.every(r => ['SERVFAIL', 'REFUSED'].includes(r.status)),
    replies.map(r => r.status).join(' '),
  )
  const forwarded = (
    await Promise.all([one, two].map(d => d.metric('forward_requests_total')))
  ).reduce((x, y) => x + y)
  t.ok(forwarded < 20 * 12, `${forwarded} questions went round for 20`)
  t.equal((await ask(one.at, 'ready.spartan')).status, 'NOERROR')
  t.equal((await ask(two.at, 'ready.spartan')).status, 'NOERROR')
})
