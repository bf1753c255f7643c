import { fc } from '../../fixture/property.ts'
import t from 'tap'
import type { Owner, RRset, ZoneMessage } from '../../../src/boundary/messages.ts'
import {
  etagOf,
  hostsJson,
  recordsJson,
  servicesJson,
  vipsJson,
} from '../../../src/control/zones/rest.ts'
import type { ZoneMap } from '../../../src/boundary/zone.ts'
import { ZoneView } from '../../../src/boundary/zone-view.ts'
import { unpack } from '../../../src/boundary/shared-text.ts'
import { ownersToText, rrsetsOfText } from '../../../src/boundary/zone-text.ts'
import { diffZones, inPieces, inTexts, sameRRsets } from '../../../src/control/zones/zone-diff.ts'
import { ZonePublisher } from '../../../src/control/zones/zone-publisher.ts'

const APEX = 'l4lb.thisdcos.directory'
const A = (...data: string[]): RRset[] => [{ type: 'A', ttl: 5, data }]
const zone = (of: Record<string, string>): ZoneMap =>
  new Map(Object.entries(of).map(([name, ip]) => [`${name}.${APEX}`, A(ip)]))

/** The owners in a text. */
const ownersOf = (text: string): Owner[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => {
      const [name = '', ...rest] = line.split('\x1f')
      return [name, rrsetsOfText(rest.join('\x1f'))]
    })

/** Applies messages as the data thread does. */
class Receiver {
  readonly messages: ZoneMessage[] = []
  readonly zones = new Map<string, Map<string, readonly RRset[]>>()
  readonly #loading = new Map<string, Map<string, readonly RRset[]>>()
  loaded = false

  readonly send = (message: ZoneMessage): void => {
    this.messages.push(message)
    const { apex } = message
    switch (message.op) {
      case 'load':
        this.#loading.set(apex, new Map())
        return
      case 'more':
        for (const [name, rrsets] of ownersOf(unpack(message.text, Buffer.alloc).toString()))
          this.#loading.get(apex)?.set(name, rrsets)
        return
      case 'commit':
        this.zones.set(apex, this.#loading.get(apex) ?? new Map())
        this.loaded = message.loaded
        return
      case 'patch':
        for (const name of message.drop) this.zones.get(apex)?.delete(name)
        for (const [name, rrsets] of message.set) this.zones.get(apex)?.set(name, rrsets)
        return
      case 'remove':
        this.zones.delete(apex)
    }
  }

  /** The operations since the last call. */
  ops(): string[] {
    return this.messages.splice(0).map(m => m.op)
  }
}

const plain = (of: ZoneMap | undefined): unknown => Object.fromEntries([...(of ?? [])].sort())

t.test('a zone travels whole once, then as what changed', async t => {
  const data = new Receiver()
  const publisher = new ZonePublisher({ send: data.send, now: () => 1_700_000_000_000 })
  publisher.publish(APEX, { kind: 'full', zone: zone({ a: '192.0.2.1', b: '192.0.2.2' }) })
  t.match(data.messages[0], {
    op: 'load',
    ns: 'ns.spartan',
    serial: 1_700_000_000,
    soa: { mname: 'ns.spartan', minimum: 1 },
  })
  t.same(data.ops(), ['load', 'more', 'commit'])
  publisher.publish(APEX, { kind: 'full', zone: zone({ a: '192.0.2.1', b: '192.0.2.2' }) })
  t.same(data.ops(), [], 'nothing changed')
  publisher.publish(APEX, { kind: 'full', zone: zone({ a: '192.0.2.1', c: '192.0.2.3' }) })
  t.match(data.messages[0], {
    op: 'patch',
    number: 2,
    serial: 1_700_000_001,
    set: [[`c.${APEX}`, A('192.0.2.3')]],
    drop: [`b.${APEX}`],
  })
  publisher.publish(APEX, { kind: 'patch', set: [[`a.${APEX}`, A('192.0.2.9')]], drop: [] })
  t.same(data.ops(), ['patch', 'patch'], 'a small change is sent at once')
  t.same(plain(data.zones.get(APEX)), plain(zone({ a: '192.0.2.9', c: '192.0.2.3' })))
  t.same(plain(publisher.zone(APEX)), plain(data.zones.get(APEX)))
  publisher.remove(APEX)
  t.same(data.ops(), ['remove'])
})

t.test('a zone is not loaded before its data came', async t => {
  const data = new Receiver()
  const publisher = new ZonePublisher({ send: data.send, now: () => 0 })
  publisher.open(APEX)
  t.same(data.ops(), ['load', 'commit'])
  t.equal(data.loaded, false)
  publisher.publish(APEX, { kind: 'full', zone: zone({ a: '192.0.2.1' }) }, false)
  t.equal(data.loaded, false)
  t.equal(data.zones.get(APEX)?.size, 1, 'what is known is answered meanwhile')
  data.ops()
  publisher.publish(APEX, { kind: 'patch', set: [], drop: [] })
  t.same(data.ops(), ['load', 'more', 'commit'], 'loaded travels with a commit')
  t.equal(data.loaded, true)
  publisher.open(APEX)
  t.same(data.ops(), [], 'opened once')
})

t.test('a zone is loaded only with the change that completes it', async t => {
  const data = new Receiver()
  const last = `last.${APEX}`
  const early: string[] = []
  const send = (message: ZoneMessage): void => {
    data.send(message)
    if (data.loaded && !data.zones.get(APEX)?.has(last)) early.push(message.op)
  }
  const publisher = new ZonePublisher({ send, now: () => 0 })
  const many = zone(
    Object.fromEntries(Array.from({ length: 1_700 }, (_, i) => [`n${i}`, '192.0.2.1'])),
  )
  const patch = (name: string): { kind: 'patch'; set: Owner[]; drop: string[] } => ({
    kind: 'patch',
    set: [[name, A('192.0.2.2')]],
    drop: [],
  })
  publisher.publish(APEX, { kind: 'full', zone: many }, false)
  publisher.publish(APEX, patch(`more.${APEX}`), false)
  publisher.publish(APEX, patch(last), true)
  await publisher.settled()
  t.same(early, [])
  t.ok(data.loaded)
  t.ok(data.zones.get(APEX)?.has(`more.${APEX}`))
})

t.test('a large zone comes in pieces, with the loop turning between them', async t => {
  const data = new Receiver()
  let breaths = 0
  const publisher = new ZonePublisher({
    send: data.send,
    now: () => 0,
    breathe: async () => {
      breaths++
      await new Promise(resolve => setImmediate(resolve))
    },
  })
  const many = zone(
    Object.fromEntries(Array.from({ length: 1_700 }, (_, i) => [`n${i}`, '192.0.2.1'])),
  )
  publisher.publish(APEX, { kind: 'full', zone: many })
  publisher.publish(APEX, {
    kind: 'patch',
    set: [[`x.${APEX}`, A('192.0.2.2')]],
    drop: [`n0.${APEX}`],
  })
  await publisher.settled()
  t.same(data.ops(), ['load', 'more', 'more', 'more', 'more', 'commit', 'patch'])
  t.equal(breaths, 4)
  t.equal(data.zones.get(APEX)?.size, 1_700)
  const numbers = data.messages.flatMap(m => ('number' in m ? [m.number] : []))
  t.same(
    [...numbers].sort((a, b) => a - b),
    numbers,
    'numbers only grow',
  )
})

t.test('a zone that has its owners as lines is sent as those', async t => {
  const lined = (names: number): ZoneMap => {
    const map = zone(
      Object.fromEntries(Array.from({ length: names }, (_, i) => [`n${i}`, '192.0.2.1'])),
    )
    return Object.assign(map, { lines: () => [...map].map(owner => ownersToText([owner])) })
  }
  for (const names of [0, 1, 500, 501, 1_700]) {
    const data = new Receiver()
    const publisher = new ZonePublisher({ send: data.send, now: () => 0 })
    const change = { kind: 'full', zone: lined(names), live: true } as const
    publisher.publish(APEX, change)
    await publisher.settled()
    const more = Array.from({ length: Math.ceil(names / 500) }, () => 'more')
    t.same(data.ops(), ['load', ...more, 'commit'])
    t.same(plain(data.zones.get(APEX)), plain(change.zone))
  }
  const text = `${'x'.repeat(1_000)}\n`
  const texts = [...inTexts(Array.from({ length: 400 }, () => text))]
  t.same(
    texts.map(one => one.length / text.length),
    [131, 131, 131, 7],
    'bounded by what they hold, too',
  )
})

t.test('what is superseded while a zone travels is not sent', async t => {
  const data = new Receiver()
  const publisher = new ZonePublisher({ send: data.send, now: () => 0 })
  const sized = (ip: string): ZoneMap =>
    zone(Object.fromEntries(Array.from({ length: 1_200 }, (_, i) => [`n${i}`, ip])))
  publisher.publish(APEX, { kind: 'full', zone: sized('192.0.2.1') })
  publisher.publish(APEX, { kind: 'full', zone: sized('192.0.2.2') })
  publisher.publish(APEX, { kind: 'full', zone: zone({ only: '192.0.2.3' }) })
  await publisher.settled()
  t.same(plain(data.zones.get(APEX)), plain(zone({ only: '192.0.2.3' })))
  t.equal(data.messages.filter(m => m.op === 'load').length, 2)
})

t.test('a zone that is removed or a publisher that is closed stops in the middle', async t => {
  const sized = zone(
    Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`n${i}`, '192.0.2.1'])),
  )
  for (const stop of [(p: ZonePublisher) => p.remove(APEX), (p: ZonePublisher) => p.close()]) {
    const data = new Receiver()
    const publisher = new ZonePublisher({ send: data.send, now: () => 0 })
    publisher.publish(APEX, { kind: 'full', zone: sized })
    stop(publisher)
    await publisher.settled()
    await new Promise(resolve => setImmediate(resolve))
    t.notOk(data.ops().includes('commit'))
  }
})

t.test(
  'a large patch of a larger zone comes in pieces, names before the going of others',
  async t => {
    const data = new Receiver()
    const publisher = new ZonePublisher({ send: data.send, now: () => 0 })
    const named = (from: number, to: number, ip: string): Record<string, string> =>
      Object.fromEntries(Array.from({ length: to - from }, (_, i) => [`n${from + i}`, ip]))
    publisher.publish(APEX, { kind: 'full', zone: zone(named(0, 10_000, '192.0.2.1')) })
    await publisher.settled()
    data.ops()
    const set = [...zone(named(0, 1_100, '192.0.2.2'))]
    const drop = [...zone(named(2_000, 2_700, '')).keys()]
    publisher.publish(APEX, { kind: 'patch', set, drop })
    publisher.publish(APEX, { kind: 'patch', set: [], drop: [`n9999.${APEX}`] })
    await publisher.settled()
    const patches = data.messages.map(m =>
      m.op === 'patch' ? [m.set.length, m.drop.length] : m.op,
    )
    t.same(patches, [
      [500, 0],
      [500, 0],
      [100, 0],
      [0, 500],
      [0, 200],
      [0, 1],
    ])
    t.same(plain(data.zones.get(APEX)), plain(publisher.zone(APEX)))
    t.same(publisher.apexes, [APEX])
  },
)

t.test('pieces are bounded by owners and by records', async t => {
  const owners = (n: number, records: number): Owner[] =>
    Array.from({ length: n }, (_, i) => [
      `n${i}`,
      A(...Array.from({ length: records }, () => '192.0.2.1')),
    ])
  t.same(
    [...inPieces(owners(1_001, 1))].map(p => p.length),
    [500, 500, 1],
  )
  t.same(
    [...inPieces(owners(10, 1_000))].map(p => p.length),
    [2, 2, 2, 2, 2],
  )
  t.same([...inPieces([])], [])
})

const anyZone = fc
  .dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.constantFrom('192.0.2.1', '192.0.2.2'))
  .map(zone)

t.test('differences lead from any zone to any other', async () => {
  fc.assert(
    fc.property(anyZone, anyZone, (before, after) => {
      const { set, drop } = diffZones(before, after)
      const made = new Map(before)
      for (const [name, rrsets] of set) made.set(name, rrsets)
      for (const name of drop) made.delete(name)
      return JSON.stringify(plain(made)) === JSON.stringify(plain(after))
    }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(anyZone, fc.boolean()), { minLength: 1, maxLength: 5 }),
      async steps => {
        const data = new Receiver()
        const publisher = new ZonePublisher({ send: data.send, now: () => 0 })
        let last: ZoneMap = new Map()
        for (const [next, patch] of steps) {
          publisher.publish(
            APEX,
            patch ? { kind: 'patch', ...diffZones(last, next) } : { kind: 'full', zone: next },
          )
          last = next
        }
        await publisher.settled()
        return JSON.stringify(plain(data.zones.get(APEX))) === JSON.stringify(plain(last))
      },
    ),
    { numRuns: 50 },
  )
})

t.test('RRsets compare by all they say', async t => {
  t.ok(sameRRsets(A('192.0.2.1'), A('192.0.2.1')))
  t.notOk(sameRRsets(A('192.0.2.1'), A('192.0.2.1', '192.0.2.2')))
  t.notOk(sameRRsets(A('192.0.2.1'), [{ type: 'A', ttl: 6, data: ['192.0.2.1'] }]))
  t.notOk(sameRRsets(A('192.0.2.1'), []))
})

t.test('the read API speaks as dcos-net did', async t => {
  const zones = new Map<string, ZoneMap>([
    [
      APEX,
      new Map<string, RRset[]>([
        [
          `redis.marathon.${APEX}`,
          [...A('11.202.66.36'), { type: 'AAAA', ttl: 5, data: ['fd01:c::1'] }],
        ],
        [
          `_80._tcp.redis.marathon.${APEX}`,
          [
            {
              type: 'SRV',
              ttl: 5,
              data: [`0 1 31000 redis.marathon.${APEX}`, '0 1 31001 far.example.org'],
            },
          ],
        ],
      ]),
    ],
    [
      'component.thisdcos.directory',
      new Map([
        [
          'registry.component.thisdcos.directory',
          [{ type: 'CNAME', ttl: 5, data: [`redis.marathon.${APEX}`] }],
        ],
      ]),
    ],
  ])
  t.same(hostsJson(zones, `Redis.Marathon.${APEX}.`), [
    { host: `redis.marathon.${APEX}`, ip: '11.202.66.36' },
  ])
  t.same(hostsJson(zones, 'registry.component.thisdcos.directory'), [
    { host: `redis.marathon.${APEX}`, ip: '11.202.66.36' },
  ])
  t.same(hostsJson(zones, 'unknown.example.org'), [])
  t.same(servicesJson(zones, `_80._tcp.redis.marathon.${APEX}`), [
    {
      service: `_80._tcp.redis.marathon.${APEX}`,
      host: `redis.marathon.${APEX}`,
      port: 31000,
      ip: '11.202.66.36',
    },
    { service: `_80._tcp.redis.marathon.${APEX}`, host: 'far.example.org', port: 31001 },
  ])
  t.same(
    [...recordsJson(zones)],
    [
      { name: `redis.marathon.${APEX}`, host: '11.202.66.36', rtype: 'A' },
      { name: `redis.marathon.${APEX}`, host: 'fd01:c::1', rtype: 'AAAA' },
      {
        name: `_80._tcp.redis.marathon.${APEX}`,
        host: `redis.marathon.${APEX}:31000`,
        rtype: 'SRV',
      },
      { name: `_80._tcp.redis.marathon.${APEX}`, host: 'far.example.org:31001', rtype: 'SRV' },
    ],
  )
  const backends = [{ ip: '9.0.0.1', port: 80, weight: 1 }]
  t.same(
    vipsJson([
      { protocol: 'tcp', name: 'redis.marathon', ip: '', port: 6379, backends },
      { protocol: 'udp', name: '', ip: 'fd01:c::1', port: 53, backends: [] },
    ]),
    [
      {
        vip: `redis.marathon.${APEX}:6379`,
        protocol: 'tcp',
        backend: [{ ip: '9.0.0.1', port: 80 }],
      },
      { vip: '[fd01:c::1]:53', protocol: 'udp', backend: [] },
    ],
  )
  t.equal(etagOf('[]'), etagOf('[]'))
  t.not(etagOf('[]'), etagOf('[1]'))
})

t.test('owners go through text unharmed', async t => {
  const owners: [string, RRset[]][] = [
    ['a.example.org', [{ type: 'A', ttl: 5, data: ['192.0.2.1', '192.0.2.2'] }]],
    ['nothing.example.org', []],
    [
      '_http._tcp.a.example.org',
      [
        { type: 'SRV', ttl: 60, data: ['0 1 80 a.example.org', '0 1 81 b.example.org'] },
        { type: 'AAAA', ttl: 0, data: ['2001:db8::1'] },
      ],
    ],
  ]
  t.same(ownersOf(ownersToText(owners)), owners)
  t.equal(ownersToText([]), '')
})

t.test('a piece waits until the last one is done', async t => {
  const sent: string[] = []
  const waiting: (() => void)[] = []
  const publisher = new ZonePublisher({
    send: message => sent.push(message.op),
    now: () => 0,
    breathe: () => new Promise(resolve => waiting.push(resolve)),
  })
  const owners = Array.from({ length: 1_200 }, (_, i) => [`n${i}.${APEX}`, A('192.0.2.1')] as const)
  publisher.publish(APEX, { kind: 'full', zone: new Map(owners) })
  t.same(sent, ['load', 'more'])
  for (const more of [
    ['load', 'more', 'more'],
    ['load', 'more', 'more', 'more'],
  ]) {
    waiting.shift()?.()
    await new Promise(resolve => setImmediate(resolve))
    t.same(sent, more)
  }
  waiting.shift()?.()
  await publisher.settled()
  t.same(sent, ['load', 'more', 'more', 'more', 'commit'])
})

t.test('whoever gave a zone may change its map and give it again', async t => {
  const data = new Receiver()
  const publisher = new ZonePublisher({ send: data.send, now: () => 1 })
  const mine = new Map(zone({ a: '192.0.2.1' }))
  publisher.publish(APEX, { kind: 'full', zone: mine })
  mine.set(`b.${APEX}`, A('192.0.2.2'))
  publisher.publish(APEX, { kind: 'full', zone: mine })
  t.same(plain(data.zones.get(APEX)), plain(mine))
  publisher.publish(APEX, { kind: 'patch', set: [[`c.${APEX}`, A('192.0.2.3')]], drop: [] })
  t.notOk(mine.has(`c.${APEX}`), 'and the publisher leaves it alone')
})

t.test('a live zone is followed by its patches and taken whole after another', async t => {
  const data = new Receiver()
  const publisher = new ZonePublisher({ send: data.send, now: () => 1 })
  const records = new Map([[`a.${APEX}`, '192.0.2.1']])
  const live = new ZoneView(records, ip => A(ip))
  t.equal(live.has(`a.${APEX}`), true)
  t.equal(live.get(`b.${APEX}`), undefined)
  publisher.publish(APEX, { kind: 'full', zone: live, live: true })
  t.same(data.ops(), ['load', 'more', 'commit'])
  const now = (): unknown => plain(data.zones.get(APEX))
  t.same(now(), plain(zone({ a: '192.0.2.1' })))

  records.set(`b.${APEX}`, '192.0.2.2').delete(`a.${APEX}`)
  const set: Owner[] = [[`b.${APEX}`, A('192.0.2.2')]]
  publisher.publish(APEX, { kind: 'patch', set, drop: [`a.${APEX}`], of: live })
  t.same(data.ops(), ['patch'])
  t.same(now(), plain(zone({ b: '192.0.2.2' })))
  t.equal(publisher.zone(APEX), live, 'and not copied')

  // this change was not reported
  records.set(`c.${APEX}`, '192.0.2.3').delete(`b.${APEX}`)
  publisher.publish(APEX, { kind: 'full', zone: zone({ d: '192.0.2.4' }) })
  t.same(now(), plain(zone({ d: '192.0.2.4' })), 'nothing of it is left')
  publisher.publish(APEX, { kind: 'full', zone: live, live: true })
  t.same(now(), plain(zone({ c: '192.0.2.3' })))
  publisher.publish(APEX, { kind: 'patch', set: [[`e.${APEX}`, A('192.0.2.5')]], drop: [] })
  t.same(now(), plain(zone({ c: '192.0.2.3', e: '192.0.2.5' })), 'a patch of somebody else')
  t.equal(records.has(`e.${APEX}`), false)
  t.same(plain(publisher.zone(APEX)), now())

  records.clear()
  publisher.publish(APEX, { kind: 'full', zone: live, live: true })
  t.same(now(), {})
})
