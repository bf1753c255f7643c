import fc from 'fast-check'
import t from 'tap'
import type { Entry, Key } from '../../../src/gossip/records/types.ts'
import { mayShare, Shared, type SharedRecords } from '../../../src/control/sharing/shared.ts'
import {
  decodeNode,
  decodeOwners,
  decodeVip,
  encodeOwners,
  encodeVip,
} from '../../../src/control/sharing/shared-codec.ts'
import type { OwnerVips } from '../../../src/vip/table.ts'
import type { VipRecord } from '../../../src/vip/record.ts'
import { isName, type ZoneChange } from '../../../src/boundary/zone.ts'
import type { RRset } from '../../../src/boundary/messages.ts'
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
  readonly zone = new Map<string, readonly string[]>()
  vips: readonly OwnerVips[] = []
  constructor(bus: Bus, name: string, now: () => number) {
    this.shared = new Shared({
      records: bus.node(name),
      node: name,
      apexes: [APEX],
      log: silent,
      onVips: owners => (this.vips = owners),
      onZone: (_apex, change) => this.apply(change),
      now,
    })
  }
  apply(change: ZoneChange): void {
    if (change.kind === 'full') this.zone.clear()
    else for (const name of change.drop) this.zone.delete(name)
    for (const [name, rrsets] of change.kind === 'full' ? change.zone : change.set)
      this.zone.set(
        name,
        rrsets.flatMap(r => r.data),
      )
  }
}
const owner = (name: string, ip: string) =>
  [`${name}.${APEX}`, [{ type: 'A', ttl: 5, data: [ip] }]] as const
const vip = (name: string, ip: string): VipRecord => ({
  protocol: 'tcp',
  name,
  ip: '',
  port: 80,
  backends: [{ ip, port: 8080, weight: 1 }],
})

t.test('a zone made on one node is served on another, change by change', async t => {
  const bus = new Bus()
  const [a, b] = [new Node(bus, 'a', () => 1), new Node(bus, 'b', () => 1)]
  a.shared.publishZone(APEX, {
    kind: 'full',
    zone: new Map([owner('x', '192.0.2.1'), owner('y', '192.0.2.2')]),
  })
  t.same([...b.zone].sort(), [
    [`x.${APEX}`, ['192.0.2.1']],
    [`y.${APEX}`, ['192.0.2.2']],
  ])
  a.shared.publishZone(APEX, { kind: 'patch', set: [owner('x', '192.0.2.9')], drop: [`y.${APEX}`] })
  t.same([...b.zone], [[`x.${APEX}`, ['192.0.2.9']]])
  t.ok(a.shared.makes(APEX) && !b.shared.makes(APEX))
})

t.test(
  'after a failover the later maker counts and the earlier takes back what it said',
  async t => {
    const bus = new Bus()
    const [a, b, c] = [
      new Node(bus, 'a', () => 1),
      new Node(bus, 'b', () => 2),
      new Node(bus, 'c', () => 3),
    ]
    a.shared.publishZone(APEX, { kind: 'full', zone: new Map([owner('old', '192.0.2.1')]) })
    b.shared.publishZone(APEX, { kind: 'full', zone: new Map([owner('new', '192.0.2.2')]) })
    t.same([...c.zone], [[`new.${APEX}`, ['192.0.2.2']]])
    t.same([...a.zone], [[`new.${APEX}`, ['192.0.2.2']]])
    t.notOk(a.shared.makes(APEX))
    t.notOk([...bus.all.values()].some(e => e.owner === 'a'))
  },
)

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
  // a record that was decoded anew is another object
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
  t.ok(may({ kind: 'zone', name: `${APEX} 255` }))
  for (const name of ['mesos head', `${APEX} 256`, `${APEX} x`, APEX, `evil.${APEX} 1`])
    t.notOk(may({ kind: 'zone', name }), name)
})

t.test('what is encoded comes back', async t => {
  const one = vip('web.marathon', '192.0.2.1')
  t.same(decodeVip(encodeVip(one)), one)
  const owners = [owner('x', '192.0.2.1')]
  t.same(decodeOwners(encodeOwners(owners), APEX), owners)
})

t.test(
  'no value of a peer makes a decoder throw, or brings a name or an address that is none',
  async t => {
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
          const z = decodeOwners(bytes, APEX) ?? []
          return (
            (v === undefined || v.name === '' || isName(v.name)) &&
            z.every(([name]) => isName(name) && name.endsWith(APEX))
          )
        },
      ),
      { numRuns: 2000 },
    )
    const foreign = encodeOwners([
      ['web.mesos', [{ type: 'A', ttl: 5, data: ['192.0.2.1'] }]],
      [
        `ok.${APEX}`,
        [
          { type: 'TXT', ttl: 5, data: ['x'] },
          { type: 'A', ttl: 5, data: ['999.1.1.1', '192.0.2.1'] },
        ],
      ],
    ])
    t.same(decodeOwners(foreign, APEX), [
      [`ok.${APEX}`, [{ type: 'A', ttl: 5, data: ['192.0.2.1'] }]],
    ])
  },
)

t.test('a peer that says a backend twice, and in any order, has said it once', async t => {
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

/** A zone of many pieces; `ip` tells its versions apart. */
const large = (ip: string, names = 3_000): Map<string, readonly RRset[]> =>
  new Map(Array.from({ length: names }, (_, i) => owner(`t${i}`, ip)))
const settled = async (): Promise<void> => {
  for (let i = 0; i < 300; i++) await new Promise(setImmediate)
}

t.test('a large zone is made and read over many turns, and its head comes last', async t => {
  const bus = new Bus()
  const [a, b] = [new Node(bus, 'a', () => 1), new Node(bus, 'b', () => 1)]
  a.shared.publishZone(APEX, { kind: 'full', zone: large('192.0.2.1') })
  t.ok(bus.all.size > 0 && bus.all.size < 10, `${bus.all.size} pieces in the first turn`)
  t.notOk([...bus.all.values()].some(e => e.name.endsWith('head')))
  t.equal(b.zone.size, 0)
  a.shared.publishZone(APEX, {
    kind: 'patch',
    set: [owner('t7', '192.0.2.7')],
    drop: [`t8.${APEX}`],
  })
  await settled()
  t.equal(b.zone.size, 2_999)
  t.same(b.zone.get(`t7.${APEX}`), ['192.0.2.7'])
  t.same(b.zone.get(`t9.${APEX}`), ['192.0.2.1'])
})

t.test(
  'until a new maker has said all, the old one is followed; then all of it changes at once',
  async t => {
    const bus = new Bus()
    const [a, b, c] = [
      new Node(bus, 'a', () => 1),
      new Node(bus, 'b', () => 2),
      new Node(bus, 'c', () => 3),
    ]
    a.shared.publishZone(APEX, { kind: 'full', zone: large('192.0.2.1') })
    await settled()
    b.shared.publishZone(APEX, { kind: 'full', zone: large('192.0.2.2', 2_000) })
    const seen = new Set<string>()
    for (let i = 0; i < 300; i++) {
      seen.add(`${c.zone.size} ${[...new Set([...c.zone.values()].flat())].join(' ')}`)
      if (i === 5)
        a.shared.publishZone(APEX, { kind: 'patch', set: [owner('late', '192.0.2.1')], drop: [] })
      await new Promise(setImmediate)
    }
    t.same([...seen], ['3000 192.0.2.1', '3001 192.0.2.1', '2000 192.0.2.2'])
    t.ok(b.shared.makes(APEX), 'what the old one still said did not make the new one give up')
    t.notOk(a.shared.makes(APEX))
    t.notOk([...bus.all.values()].some(e => e.owner === 'a'))
  },
)

t.test('a name that goes and comes back while a change is read is there', async t => {
  const bus = new Bus()
  const [a, b] = [new Node(bus, 'a', () => 1), new Node(bus, 'b', () => 1)]
  a.shared.publishZone(APEX, { kind: 'full', zone: large('192.0.2.1') })
  await settled()
  a.shared.publishZone(APEX, { kind: 'full', zone: large('192.0.2.2', 100) })
  a.shared.publishZone(APEX, { kind: 'full', zone: large('192.0.2.3', 2_500) })
  await settled()
  t.equal(b.zone.size, 2_500)
  t.same([...new Set([...b.zone.values()].flat())], ['192.0.2.3'])
})
