/** `spartan drill` over the real daemon: what clients, operators and other nodes see, and that all is well after it. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { freePort, ownAddress } from '../fixture/address.ts'
import { spartan } from '../fixture/cli.ts'
import { ask, type Reply } from '../fixture/client.ts'
import { daemon, type Daemon } from '../fixture/daemon.ts'
import { masters } from '../fixture/masters.ts'
import { A, SOA } from '../fixture/rr.ts'
import { upstream } from '../fixture/upstream.ts'

const drill = (one: Daemon, ...args: string[]) => spartan('drill', ...args, '--admin', one.socket)

/** Asks until the answer is as wanted; a test that waits for ever fails by its own limit. */
const until = async <T>(get: () => Promise<T>, fits: (got: T) => boolean): Promise<T> => {
  for (;;) {
    const got = await get()
    if (fits(got)) return got
    await sleep(100)
  }
}

const soa = SOA('mesos. 60 ns1.mesos. root.ns1.mesos. 1 60 600 86400 60')
const names = (zone: string) =>
  Array.from({ length: 200 }, (_, i) => A(`n${i}.${zone}. 60 192.0.2.1`))
const NEW = 'an upstream that is asked anew'

/** Answers of names that were never asked before. */
const asker = (one: Daemon, zone: string) => {
  let n = 0
  return (): Promise<Reply> => ask(one.at, `n${n++ % 200}.${zone}`, 'A', { edns: {} })
}

const reasons = async (one: Daemon): Promise<string> =>
  JSON.stringify((await one.status())['health'])

const lostAndFound = async (t: Test, target: 'masters' | 'upstreams'): Promise<void> => {
  const short = [A('old.mesos. 1 192.0.2.7'), A('old.example.org. 1 192.0.2.7')]
  const cluster = await masters(t, [soa, ...short, ...names('mesos')])
  const external = await upstream(t, [...short, ...names('example.org')])
  const one = await daemon(t, {
    masters: { source: 'static', addresses: cluster.all.map(m => m.address), port: cluster.port },
    upstreams: [external.name],
  })
  const [lost, other] = target === 'masters' ? ['mesos', 'example.org'] : ['example.org', 'mesos']
  const [newLost, newOther] = [asker(one, lost), asker(one, other)]
  const old = (): Promise<Reply> => ask(one.at, `old.${lost}`, 'A', { edns: {} })
  t.match(await old(), { status: 'NOERROR' })
  t.match(await newLost(), { status: 'NOERROR' })

  t.match(await drill(one, target, '--for', '10m'), { exit: 0, out: /count as lost for 10m/ })
  t.match(await until(newLost, ({ status }) => status !== 'NOERROR'), { status: 'SERVFAIL' })
  const asked =
    target === 'masters'
      ? () => cluster.all.reduce((n, m) => n + m.count(), 0)
      : () => external.count()
  const before = asked()
  const failed = await until(newLost, ({ ede }) => ede[0]?.code === 22 || ede[0]?.code === 23)
  t.match(failed, { status: 'SERVFAIL' }, 'a new name fails as in an outage')
  const stale = await until(old, ({ ede }) => ede[0]?.code === 3)
  t.match(stale, { status: 'NOERROR', answers: [{ data: '192.0.2.7' }] }, 'a known one is stale')
  const age = Number(/^the answer is (\d+) s old$/.exec(stale.ede[0]!.text)?.[1])
  t.ok(age >= 1 && age < 3_600, `and says its age: ${stale.ede[0]!.text}`)
  const zone = target === 'masters' ? 'mesos' : '.'
  const count = (source: string): Promise<number> =>
    one.metric('stale_answer_age_seconds_count', { zone, source })
  t.ok((await count('stale')) > 0, 'counted by its age')
  t.equal(await count('snapshot'), 0)
  t.match(await newOther(), { status: 'NOERROR' }, 'other sources stay')
  t.equal(asked(), before, 'nothing has reached them')
  t.match(await reasons(one), /drill.*count as lost/)
  t.match(await one.page('/'), /count as lost/)
  t.equal(await one.metric('drill_active', { target }), 1)
  t.equal(await one.metric('drill_active'), 1, 'and no other drill')
  t.match(await drill(one), { exit: 0, out: new RegExp(`^${target} count as lost`) })
  await one.until(`a drill begins: the ${target} count as lost`)

  t.match(await drill(one, 'stop'), { exit: 0, out: `ended: ${target}\n` })
  await one.until(`a drill ends: the ${target} are asked again`)
  t.match(await until(newLost, ({ status }) => status === 'NOERROR'), { status: 'NOERROR' })
  t.match(await until(old, ({ ede }) => ede.length === 0), { status: 'NOERROR' }, NEW)
  t.equal(await one.metric('drill_active'), 0)
  t.notMatch(await reasons(one), /drill/)
}

t.test('masters', t => lostAndFound(t, 'masters'))
t.test('upstreams', t => lostAndFound(t, 'upstreams'))

t.test('a drill over TCP, TLS or HTTPS is silence, too, and ends by itself', async t => {
  const external = await upstream(t, names('example.org'))
  const one = await daemon(t, {
    forwardZones: { 'example.org': [`tcp://${external.name}`] },
    race: { deadline: '300ms' },
  })
  const fresh = asker(one, 'example.org')
  t.match(await fresh(), { status: 'NOERROR' })
  t.match(await drill(one, 'upstreams', '--for', '5s'), { exit: 0 })
  await until(fresh, ({ status, ede }) => status === 'SERVFAIL' && ede[0]?.code === 22)
  await one.until('a drill ends: the upstreams are asked again')
  t.match(await until(fresh, ({ status }) => status === 'NOERROR'), { status: 'NOERROR' })
  t.match(one.lines('a drill ends: the upstreams are asked again'), [{ why: 'its time is over' }])
})

t.test('gossip', async t => {
  const node = async (name: string, seeds: string[]) => {
    const address = ownAddress()
    const bind = `${address}:${await freePort([address])}`
    const one = await daemon(t, { node: name, gossip: { bind, seeds, insecure: true } })
    return { one, bind }
  }
  const a = await node('node-a', [])
  const b = await node('node-b', [a.bind])
  const stateOf = async (of: Daemon, name: string): Promise<string> => {
    const members = JSON.parse(await of.page('/v1/members')) as { name: string; state: string }[]
    return members.find(member => member.name === name)?.state ?? ''
  }
  await until(
    () => stateOf(a.one, 'node-b'),
    state => state === 'alive',
  )
  await until(
    () => stateOf(b.one, 'node-a'),
    state => state === 'alive',
  )
  t.match(await drill(a.one, 'gossip', '--for', '10m'), { exit: 0 })
  t.match(
    await until(
      () => stateOf(b.one, 'node-a'),
      state => state !== 'alive',
    ),
    /failed|dead|suspect/,
  )
  t.match(
    await until(
      () => stateOf(a.one, 'node-b'),
      state => state !== 'alive',
    ),
    /failed|dead|suspect/,
  )
  t.match(await ask(a.one.at, 'localhost'), { status: 'NOERROR' })
  t.match(await drill(a.one, 'stop'), { out: 'ended: gossip\n' })
  t.equal(
    await until(
      () => stateOf(b.one, 'node-a'),
      state => state === 'alive',
    ),
    'alive',
  )
  t.equal(
    await until(
      () => stateOf(a.one, 'node-b'),
      state => state === 'alive',
    ),
    'alive',
  )
})

t.test(
  'what cannot be lost, or for how long, is said; the daemon ends with a drill running',
  async t => {
    const one = await daemon(t, { upstreams: ['127.0.0.1:9'] })
    t.match(await drill(one, 'gossip'), {
      exit: 1,
      err: /no gossip can be lost: none is configured/,
    })
    t.match(await drill(one, 'masters'), { exit: 1, err: /no masters can be lost/ })
    t.match(await drill(one, 'upstreams', '--for', '2h'), { exit: 1, err: /1 to 3600 seconds/ })
    t.match(await drill(one, 'upstreams', '--for', '5ms'), { exit: 1, err: /1 to 3600 seconds/ })
    t.match(await drill(one, 'everything'), { exit: 2, err: /masters, upstreams, gossip, stop/ })
    t.match(await drill(one), { exit: 0, out: 'no drill runs\n' })
    t.match(await drill(one, 'stop'), { exit: 0, out: 'no drill runs\n' })
    const beside = await fetch(`${one.admin}/v1/drill`, { method: 'POST', body: '{}' })
    t.equal(beside.status, 403, 'only over the Unix socket')
    t.match(await drill(one, 'upstreams', '--for', '1h', '--json'), {
      exit: 0,
      out: /"target": "upstreams"/,
    })
    t.equal(await one.stop(), 0)
  },
)
