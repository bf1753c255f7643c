import t from 'tap'
import { BackendNames } from '../../src/vip/backend-names.ts'
import type { VipRecord } from '../../src/vip/record.ts'
import { VipMerge, VipTable } from '../../src/vip/table.ts'
import { servedVipZone } from '../../src/vip/zone.ts'
import { fc } from '../fixture/property.ts'

const APEX = 'l4lb.test'
const record = (name: string, ...ips: readonly string[]): VipRecord => ({
  protocol: 'tcp',
  name,
  ip: '',
  port: 80,
  backends: ips.map(ip => ({ ip, port: 31_000, weight: 1 })),
})
const plain = (zone: Iterable<readonly [string, unknown]>): string =>
  JSON.stringify([...zone].sort(([a], [b]) => (a < b ? -1 : 1)))

t.test('what has not changed is the same object, what has changed is not', async t => {
  const [merge, names] = [new VipMerge(), new BackendNames()]
  const still = record('still.f', '192.0.2.1', 'fd01::1')
  const zone = (records: readonly VipRecord[], apex = APEX, ipv6 = true) =>
    names.zone(merge.of([{ owner: 'a', records }]), apex, ipv6)
  const before = new Map(zone([record('moves.f', '192.0.2.2'), still]))
  const after = zone([record('moves.f', '192.0.2.3'), still])
  t.strictSame([...after.keys()].sort(), [
    '192-0-2-1.still.f.l4lb.test',
    '192-0-2-3.moves.f.l4lb.test',
    '_80._tcp.moves.f.l4lb.test',
    '_80._tcp.still.f.l4lb.test',
    'fd010000000000000000000000000001.still.f.l4lb.test',
    'moves.f.l4lb.test',
    'still.f.l4lb.test',
  ])
  t.equal(after.get('still.f.l4lb.test'), before.get('still.f.l4lb.test'))
  t.equal(after.get('_80._tcp.still.f.l4lb.test'), before.get('_80._tcp.still.f.l4lb.test'))
  t.match(after.get('moves.f.l4lb.test'), [{ type: 'A', data: ['192.0.2.3'] }])
  t.match(
    [...zone([still], APEX, false)].flatMap(([, rrsets]) => rrsets),
    [{ type: 'A' }, { type: 'A' }, { type: 'SRV' }],
  )
  t.ok(zone([still], 'other.test', false).has('still.f.other.test'), 'another apex is another zone')
  t.notOk(zone([]).has('still.f.l4lb.test'))
})

t.test('kept or made anew, the zone of each table is the same', async t => {
  const ip = fc.constantFrom('192.0.2.1', '192.0.2.2', '192.0.2.3', 'fd01::1', 'fd01::2')
  const one = fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    // the name of a backend of a.f is also a name of its own
    name: fc.constantFrom('a.f', 'b.f', 'c.f', '192-0-2-1.a.f', '192-0-2-1.b.f', '192.0.2.9', ''),
    ip: fc.constant('192.0.2.9'),
    port: fc.constantFrom(80, 81),
    backends: fc.array(
      fc.record({ ip, port: fc.constantFrom(1, 2), weight: fc.constantFrom(0, 1, 3) }),
      { maxLength: 3 },
    ),
  })
  const step = fc.record({
    owner: fc.constantFrom('x', 'y'),
    records: fc.uniqueArray(one, {
      maxLength: 6,
      selector: v => `${v.protocol} ${v.name} ${v.port}`,
    }),
    ipv6: fc.boolean(),
    later: fc.constantFrom(0, 10, 40),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), steps => {
      const [table, names, merge] = [new VipTable(30), new BackendNames(), new VipMerge()]
      const owners = new Map<string, readonly VipRecord[]>()
      let now = 0
      for (const { owner, records, ipv6, later } of steps) {
        owners.set(
          owner,
          records.map(v => ({ ...v, ip: v.name === '' ? v.ip : '' })),
        )
        const vips = table.update(
          Array.from(owners, ([o, r]) => ({ owner: o, records: r })),
          (now += later),
        )
        const kept = servedVipZone(vips, { answer: 'backends', apex: APEX, ipv6 }, undefined, names)
        const anew = servedVipZone(vips, { answer: 'backends', apex: APEX, ipv6 })
        if (plain(kept) !== plain(anew)) return false
        const all = Array.from(owners, ([o, r]) => ({ owner: o, records: r }))
        if (JSON.stringify(merge.of(all)) !== JSON.stringify(new VipMerge().of(all))) return false
        const { counts } = table
        if (counts.vips !== vips.length) return false
        if (counts.backends !== vips.flatMap(v => v.backends).length) return false
        if (counts.leaving !== vips.filter(v => v.backends.length === 0).length) return false
      }
      return true
    }),
  )
  t.pass('in every history')
})
