import { fc } from '../../fixture/property.ts'
import t from 'tap'
import type { Entry, Key } from '../../../src/gossip/records/types.ts'
import { mayShare, Shared, type SharedRecords } from '../../../src/control/sharing/shared.ts'
import { decodeNode, decodeVip, encodeVip } from '../../../src/control/sharing/shared-codec.ts'
import type { OwnerVips } from '../../../src/vip/table.ts'
import type { VipRecord } from '../../../src/vip/record.ts'
import { isName } from '../../../src/boundary/zone.ts'
import { silent } from '../../../src/base/log.ts'

const APEX = 'dcos.thisdcos.directory'

/** Records that every node sees at once. */
class Bus {
  readonly all = new Map<string, Entry>()
  readonly #listeners = new Set<(keys: readonly Key[]) => void>()
  node(owner: string): SharedRecords {
    const id = (key: Key): string => `${owner}|${key.kind}|${key.name}`
    const tell = (key: Key): void => this.#listeners.forEach(listener => listener([key]))
    return {
      publish: (key, value) => {
        this.all.set(id(key), { ...key, owner, value, stale: false })
        tell(key)
        return true
      },
      withdraw: key => {
        this.all.delete(id(key))
        tell(key)
        return true
      },
      entries: kind => [...this.all.values()].filter(e => e.kind === kind),
      lookup: key => [...this.all.values()].filter(e => e.kind === key.kind && e.name === key.name),
      onChange: listener => {
        this.#listeners.add(listener)
        return () => void this.#listeners.delete(listener)
      },
    }
  }
}

class Node {
  readonly shared: Shared
  vips: readonly OwnerVips[] = []
  constructor(bus: Bus, name: string, now: () => number) {
    this.shared = new Shared({
      records: bus.node(name),
      node: name,
      apexes: [APEX],
      log: silent,
      onVips: owners => (this.vips = owners),
      onZone: () => {},
      zoneBytes: 1_000_000,
      now,
    })
  }
}
const vip = (name: string, ip: string): VipRecord => ({
  protocol: 'tcp',
  name,
  ip: '',
  port: 80,
  backends: [{ ip, port: 8080, weight: 1 }],
})

t.test('VIPs of all nodes come together by owner', async t => {
  const bus = new Bus()
  const [a, b] = [new Node(bus, 'a', () => 1), new Node(bus, 'b', () => 1)]
  a.shared.publishVips([vip('web.marathon', '192.0.2.1')])
  b.shared.publishVips([vip('web.marathon', '192.0.2.2'), vip('api.marathon', '192.0.2.2')])
  await new Promise(resolve => setTimeout(resolve, 80))
  t.same(
    a.vips.map(o => [o.owner, o.records.length]),
    [
      ['a', 1],
      ['b', 2],
    ],
  )
  b.shared.publishVips([])
  await new Promise(resolve => setTimeout(resolve, 80))
  t.same(
    a.vips.map(o => o.owner),
    ['a'],
  )
  a.shared.close()
  b.shared.close()
})

t.test('a change costs the decoding of what changed', async t => {
  const bus = new Bus()
  const [a, b] = [new Node(bus, 'a', () => 1), new Node(bus, 'b', () => 1)]
  t.teardown(() => [a, b].forEach(node => node.shared.close()))
  const many = Array.from({ length: 100 }, (_, i) => vip(`web-${i}.marathon`, '192.0.2.1'))
  a.shared.publishVips(many)
  b.shared.publishVips([vip('web-7.marathon', '192.0.2.2')])
  await new Promise(resolve => setTimeout(resolve, 80))
  const before = b.vips.find(o => o.owner === 'a')?.records ?? []
  t.equal(before.length, 100)
  a.shared.publishVips(many.map((one, i) => (i === 7 ? vip(one.name, '192.0.2.9') : one)))
  await new Promise(resolve => setTimeout(resolve, 80))
  const after = b.vips.find(o => o.owner === 'a')?.records ?? []
  t.equal(after.length, 100)
  // a record that was decoded again is a new object
  t.same(
    after.filter(one => !before.includes(one)).map(one => one.backends[0]?.ip),
    ['192.0.2.9'],
  )
  t.same(
    b.vips.find(o => o.owner === 'b')?.records.map(one => one.backends[0]?.ip),
    ['192.0.2.2'],
  )
  b.shared.refresh()
  await new Promise(resolve => setTimeout(resolve, 20))
  t.equal(b.vips.find(o => o.owner === 'a')?.records.length, 100)
})

t.test('only keys of the zones that gossip may fill are taken', async t => {
  const may = mayShare([APEX])
  t.ok(may({ kind: 'vip', name: 'web.marathon 80 tcp' }))
  t.ok(may({ kind: 'zone', name: `${APEX} head` }))
  for (const piece of ['0', '511', '7.1', '7.63'])
    t.ok(may({ kind: 'zone', name: `${APEX} ${piece}` }), piece)
  for (const name of [
    'mesos head',
    `${APEX} 512`,
    `${APEX} 7.64`,
    `${APEX} 7.0`,
    `${APEX} 01`,
    `${APEX} x`,
    APEX,
    `evil.${APEX} 1`,
  ])
    t.notOk(may({ kind: 'zone', name }), name)
})

t.test('what is encoded comes back', async t => {
  const one = vip('web.marathon', '192.0.2.1')
  t.same(decodeVip(encodeVip(one)), one)
})

t.test(
  'no value of a peer makes a decoder throw, or brings a name or an address that is none',
  async () => {
    const text = fc.oneof(
      fc.json(),
      fc.constantFrom(
        '{"p":"tcp","n":"a b","o":80,"b":[]}',
        '{"p":"tcp","n":"a","i":"","o":80,"b":[["x",1,1],["192.0.2.1",99999,1],["192.0.2.1",1,1]]}',
      ),
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }),
          text.map(json => new Uint8Array(Buffer.from(json))),
        ),
        bytes => {
          const v = decodeVip(bytes)
          decodeNode(bytes)
          return v === undefined || v.name === '' || isName(v.name)
        },
      ),
      { numRuns: 2000 },
    )
  },
)

t.test('a peer that says a backend twice, and in any order, has said it once', async () => {
  const said = {
    p: 'tcp',
    n: 'web.marathon',
    i: '',
    o: 80,
    b: [
      ['192.0.2.9', 1, 0],
      ['192.0.2.1', 2, 1],
      ['192.0.2.9', 1, 1],
    ],
  }
  t.same(decodeVip(Buffer.from(JSON.stringify(said)))?.backends, [
    { ip: '192.0.2.1', port: 2, weight: 1 },
    { ip: '192.0.2.9', port: 1, weight: 1 },
  ])
})
