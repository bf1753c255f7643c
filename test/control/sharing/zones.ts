/** Zones over gossip alone, with the real records and their limits. */
import { deflateRawSync } from 'node:zlib'
import t from 'tap'
import type { Owner } from '../../../src/boundary/messages.ts'
import { encodeHead, decodeHead, bestClaim } from '../../../src/control/sharing/zone-head.ts'
import { hashOf, headKey, pieceOf, PIECES } from '../../../src/control/sharing/zone-piece.ts'
import type { Key } from '../../../src/gossip/records/types.ts'
import { Cluster, DCOS, MESOS, type ZoneNode } from './fixture/nodes.ts'

const owner = (name: string, ip: string): Owner => [
  `${name}.${DCOS}`,
  [{ type: 'A', ttl: 5, data: [ip] }],
]
const full = (ip: string, names = 300) =>
  ({
    kind: 'full',
    zone: new Map(Array.from({ length: names }, (_, i) => owner(`t${i}.marathon`, ip))),
  }) as const
const ips = (node: ZoneNode): string => [...new Set(Object.values(node.served()))].join()
const five = async (limits = {}): Promise<[Cluster, ...ZoneNode[]]> => {
  const cluster = new Cluster(limits)
  for (let i = 0; i < 5; i++) cluster.add()
  await cluster.until(() => cluster.nodes.every(({ sim }) => sim.core.counts().alive === 5))
  await cluster.run(3_000)
  t.teardown(() => cluster.close())
  return [cluster, ...cluster.nodes]
}

t.test('a zone of one node is served by all others, change by change', async t => {
  const [cluster, a, b, c] = await five()
  a!.shared.publishZone(DCOS, full('192.0.2.1'))
  const rest = cluster.nodes.slice(1)
  t.ok((await cluster.until(() => rest.every(node => node.zone().whole))) < 1_000)
  t.same(
    b!.served(),
    Object.fromEntries([...full('192.0.2.1').zone.keys()].map(name => [name, '192.0.2.1'])),
  )
  t.equal(b!.zones.get(DCOS)!.size, 300)
  t.same(b!.zones.get(DCOS)!.get(`t7.marathon.${DCOS}`), [
    { type: 'A', ttl: 5, data: ['192.0.2.1'] },
  ])
  a!.shared.publishZone(DCOS, {
    kind: 'patch',
    set: [owner('t7.marathon', '192.0.2.7'), owner('new.marathon', '192.0.2.8')],
    drop: [`t8.marathon.${DCOS}`],
  })
  t.ok((await cluster.until(() => rest.every(node => node.changes.length === 2))) <= 300)
  for (const { changes } of rest) {
    const { change } = changes[1]!
    if (change.kind === 'full') return t.fail('a change, not the whole')
    t.same(change.set.map(([name]) => name).sort(), [`new.marathon.${DCOS}`, `t7.marathon.${DCOS}`])
    t.same(change.drop, [`t8.marathon.${DCOS}`])
  }
  t.equal(c!.served()[`t7.marathon.${DCOS}`], '192.0.2.7')
  t.ok(a!.shared.makes(DCOS) && !b!.shared.makes(DCOS))
  t.match(a!.zone(), { ours: true, from: a!.sim.name, whole: true, missing: 0 })
})

t.test('at the cap the whole old zone stays, also for who joins, and it is said', async t => {
  const [cluster, a, b] = await five({ zoneBytes: 20_000 })
  a!.shared.publishZone(DCOS, full('192.0.2.1', 100))
  await cluster.until(() => b!.zone().whole)
  a!.shared.publishZone(DCOS, full('192.0.2.2', 2_000))
  await cluster.run(3_000)
  t.equal(a!.zone().over, true)
  t.ok(a!.zone().octets > 20_000)
  t.same([b!.zones.get(DCOS)!.size, ips(b!)], [100, '192.0.2.1'])
  t.equal(a!.sim.records.stats().refused['zone-cap'], 0, 'nothing was published in part')
  const late = cluster.add()
  await cluster.until(() => late.zone().whole)
  t.same([late.zones.get(DCOS)!.size, ips(late)], [100, '192.0.2.1'])
  a!.shared.publishZone(DCOS, full('192.0.2.3', 120))
  await cluster.until(() => ips(late) === '192.0.2.3' && ips(b!) === '192.0.2.3')
  t.equal(a!.zone().over, false)
  t.equal(b!.zones.get(DCOS)!.size, 120)
})

t.test('a zone that never fitted is missing everywhere, and no empty zone', async t => {
  const [cluster, a, b] = await five({ zoneBytes: 20_000 })
  a!.shared.publishZone(DCOS, full('192.0.2.2', 3_000))
  await cluster.run(3_000)
  t.match(b!.zone(), { from: a!.sim.name, whole: false })
  t.ok(b!.zone().missing > 100, `${b!.zone().missing} pieces are missing`)
  t.equal(b!.changes.length, 0)
  a!.sim.leave()
  await cluster.until(() => b!.zone().from === '', 150_000, 100)
  t.match(b!.zone(), { from: '', missing: 0, whole: false }, 'until its publisher is forgotten')
})

t.test('both zones share one budget', async t => {
  const [cluster, a, b] = await five({ zoneBytes: 20_000 })
  a!.shared.publishZone(DCOS, full('192.0.2.1', 300))
  await cluster.until(() => b!.zone(DCOS).whole)
  const names = Array.from({ length: 300 }, (_, i): Owner => [
    `t${i}.marathon.${MESOS}`,
    [{ type: 'A', ttl: 5, data: ['192.0.2.1'] }],
  ])
  a!.shared.publishZone(MESOS, { kind: 'full', zone: new Map(names) })
  await cluster.run(2_000)
  t.match([a!.zone(DCOS).over, a!.zone(MESOS).over], [false, true])
})

t.test('after a failover the later claim counts, however wrong any clock', async t => {
  const [cluster, a, b, c] = await five()
  a!.shared.publishZone(DCOS, full('192.0.2.1', 400))
  await cluster.until(() => ips(c!) === '192.0.2.1')
  b!.shared.publishZone(DCOS, full('192.0.2.2', 500))
  const seen = new Set<string>()
  await cluster.until(() => {
    seen.add(`${c!.zones.get(DCOS)?.size} ${ips(c!)}`)
    return ips(c!) === '192.0.2.2' && ips(a!) === '192.0.2.2'
  })
  t.same([...seen], ['400 192.0.2.1', '500 192.0.2.2'], 'from one whole zone to the other')
  t.match(c!.zone(), { from: b!.sim.name, term: 2 })
  t.notOk(a!.shared.makes(DCOS))
  await cluster.run(1_000)
  t.notOk(
    [...c!.sim.records.entries('zone')].some(entry => entry.owner === a!.sim.name),
    'the earlier took back what it said',
  )
  // and back again
  a!.shared.publishZone(DCOS, full('192.0.2.3', 400))
  t.ok((await cluster.until(() => ips(c!) === '192.0.2.3')) < 5_000)
  t.match(c!.zone(), { from: a!.sim.name, term: 3 })
})

t.test(
  'who leads goes above the claim of one that did, and gives way when it leads no more',
  async t => {
    const [cluster, a, b, c] = await five()
    // b claims a high term, like a node that kept old records
    const old = (key: Key, value: Uint8Array): void => b!.sim.publish(key.kind, key.name, value)
    old(headKey(DCOS), encodeHead({ term: 40, hashes: new Map() }))
    a!.leads = true
    await cluster.run(100)
    a!.shared.publishZone(DCOS, full('192.0.2.1', 50))
    await cluster.until(() => ips(c!) === '192.0.2.1')
    t.match(c!.zone(), { from: a!.sim.name, term: 41 })
    old(headKey(DCOS), encodeHead({ term: 50, hashes: new Map() }))
    t.not(await cluster.until(() => c!.zone().term === 51), Infinity, 'it insists')
    a!.leads = false
    old(headKey(DCOS), encodeHead({ term: 60, hashes: new Map() }))
    await cluster.run(3_000)
    t.match(c!.zone(), { from: b!.sim.name, term: 60 })
    t.notOk(a!.shared.makes(DCOS))
  },
)

t.test('of equal terms the greater name counts, on all nodes alike', async t => {
  const entry = (name: string, term: number) => ({
    kind: 'zone' as const,
    name: 'x head',
    owner: name,
    stale: false,
    value: encodeHead({ term, hashes: new Map() }),
  })
  const claims = [entry('a', 7), entry('c', 7), entry('b', 7), entry('z', 6)]
  t.equal(bestClaim(claims)?.owner, 'c')
  t.equal(bestClaim(claims.toReversed())?.owner, 'c')
})

t.test('hostile pieces and heads cost little and change nothing', async t => {
  const [cluster, a, b, c] = await five()
  a!.shared.publishZone(DCOS, full('192.0.2.1', 50))
  await cluster.until(() => ips(c!) === '192.0.2.1')
  const say = (name: string, value: Uint8Array): void =>
    b!.sim.publish('zone', `${DCOS} ${name}`, value)
  const bomb = deflateRawSync(Buffer.alloc(40 * 1024 * 1024), { level: 9 })
  t.ok(bomb.length < 48_000)
  const garbage = Buffer.from('no deflate at all')
  const rows: [string, Buffer, string][] = [
    ['a bomb', bomb, hashOf(bomb)],
    ['what does not inflate', garbage, hashOf(garbage)],
    ['another hash', deflateRawSync('x\x1fA\x1f5\x1f192.0.2.9\n'), 'wrongone'],
  ]
  let term = 10
  for (const [what, piece, hash] of rows) {
    say('7', Buffer.concat([Buffer.of(1), piece]))
    say('head', encodeHead({ term: term++, hashes: new Map([[7, hash]]) }))
    await cluster.run(2_000)
    t.equal(ips(c!), '192.0.2.1', what)
    t.equal(c!.zone().from, b!.sim.name)
  }
  t.equal(c!.zone().missing, 1, 'the wrong hash is a piece that has not come')
  t.equal(c!.zone().refused, 2)
  const heads: Uint8Array[] = [
    Buffer.alloc(0),
    Buffer.alloc(50_000, 0xff),
    Buffer.concat([Buffer.of(2), Buffer.alloc(70, 0xff)]),
    Buffer.concat([encodeHead({ term: 90, hashes: new Map([[1, 'x'.repeat(8)]]) }), Buffer.of(0)]),
    encodeHead({ term: 2 ** 48 - 1, hashes: new Map() }),
  ]
  for (const head of heads) t.equal(decodeHead(head), undefined)
  // names, types and data that a zone in the gossip must not have are left out
  const odd = deflateRawSync(
    [
      `ok\x1fA\x1f5\x1f999.1.1.1\x1f192.0.2.5\x1eTXT\x1f5\x1fx`,
      `a b\x1fA\x1f5\x1f192.0.2.6`,
      `_s._tcp\x1fSRV\x1f5\x1f0 1 99999 x\x1f0 1 80 in\x1f0 1 80 out.example.\x1f0 1 80 b d\x1f0 1 65536 x\x1f0 1 000080 x\x1f0 1 x\x1f0  1 80 x\x1f0 1 80 \x1f0 1 65535 in`,
      '',
    ].join('\n'),
  )
  say('7', Buffer.concat([Buffer.of(1), odd]))
  say('head', encodeHead({ term: 99, hashes: new Map([[7, hashOf(odd)]]) }))
  await cluster.until(() => c!.zone().missing === 0)
  await cluster.run(100)
  t.same(c!.served(), {
    [`_s._tcp.${DCOS}`]: `0 1 80 in.${DCOS},0 1 80 out.example,0 1 65535 in.${DCOS}`,
    [`ok.${DCOS}`]: '192.0.2.5',
  })
})

t.test('names of one task share pieces, and pieces are even', async t => {
  const same = [
    ['web.marathon.agentip', '_web._tcp.marathon.containerip', '_http._web._tcp.marathon.autoip'],
    ['a.b.marathon', '_a.b._tcp.marathon.slave', '_http._a.b._udp.marathon'],
    ['web-x1y2z-s1.marathon.agentip', 'web-x1y2z-s1.marathon.autoip'],
  ]
  for (const names of same) t.equal(new Set(names.map(pieceOf)).size, 1, names.join())
  const counts = new Array<number>(PIECES).fill(0)
  for (let i = 0; i < 100_000; i++) counts[pieceOf(`app-${i % 1_000}-${i}-s${i % 50}.marathon`)]!++
  t.ok(Math.max(...counts) < 400, `${Math.max(...counts)} names in the fullest piece`)
})
