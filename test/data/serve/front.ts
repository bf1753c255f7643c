/** One query in, its response out, whatever the transport. */
import t from 'tap'
import { admit, Head } from '../../../src/data/serve/admit.ts'
import { clientOf } from '../../../src/base/ip.ts'
import { Allow } from '../../../src/data/serve/allow.ts'
import { Front, type FrontContext } from '../../../src/data/serve/front.ts'
import { Misses } from '../../../src/data/serve/misses.ts'
import { AGE_CELLS, BLOCK, SLOT, STALE_SOURCES } from '../../../src/boundary/counters.ts'
import { POSITIVE } from '../../../src/data/cache/entry.ts'
import { failureEntry, servfail } from '../../../src/data/forward/entries.ts'
import { plainQuery } from '../../../src/wire/question.ts'
import { typeNumber } from '../../../src/wire/codes.ts'
import { nameWire } from '../../../src/wire/name.ts'
import {
  Plane,
  positive,
  questionOf,
  raceRoute,
  snapshotOf,
  udp,
} from '../../fixture/bench-plane.ts'
import { fillOf } from '../../fixture/fill.ts'
import type { MemorySocket } from '../../fixture/memory-io.ts'
import { loadZone } from '../../fixture/local-zone.ts'
import { decode, encode } from '../../fixture/wire.ts'

const MASTER = '192.0.2.1'

const contextOf = (p: Plane, node = 'test'): FrontContext => ({
  cache: p.cache,
  validity: p.validity,
  counters: p.counters,
  resolver: p.resolver,
  node,
  settings: { identity: true, tcp: { idle: 0 } },
  isOurs: () => false,
  now: () => p.io.time,
  clock: () => p.io.time,
  onBug: er => t.fail(String(er)),
})
const frontOf = (p: Plane): Front => new Front(new Allow(['127.0.0.0/8']), contextOf(p))

t.test('a name that there was no room to refresh is refreshed by a later hit', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }), {
    limits: { maxInFlight: 1 },
  })
  const front = frontOf(p)
  const ask = (name: string): void =>
    front.single(plainQuery(nameWire(name)!, typeNumber('A')!), undefined, 0, () => {})
  ask('web.mesos')
  p.reply(MASTER, positive('web.mesos', '203.0.113.1'))
  const sent = (): number => p.sentTo(MASTER).length
  for (let hit = 0; hit < 3; hit++) ask('web.mesos')
  t.equal(sent(), 1, 'hits')
  p.io.advance(4_500)
  ask('other.mesos')
  ask('web.mesos')
  t.equal(sent(), 2, 'no room beside the other')
  p.reply(MASTER, positive('other.mesos', '203.0.113.2'))
  ask('web.mesos')
  t.equal(sent(), 3, 'room now')
  ask('web.mesos')
  t.equal(sent(), 3, 'once')
})

t.test('who may not ask is refused and counted, whatever is cached; who may is not', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }))
  const front = frontOf(p)
  const said: number[] = []
  for (const address of ['192.0.2.9', '127.0.0.1', '192.0.2.9']) {
    const wire = plainQuery(nameWire('web.mesos')!, typeNumber('A')!)
    front.single(wire, { family: 4, address, port: 0 }, 0, r =>
      said.push(decode(Buffer.from(r)).rcode),
    )
    if (address === '127.0.0.1') p.reply(MASTER, positive('web.mesos', '203.0.113.1'))
  }
  t.same(said, [5, 0, 5])
  t.equal(p.counters[SLOT.refusedClient], 2)
  t.equal(p.counters[SLOT.malformed], 0)
})

t.test('whatever there is to say beside it, a response fits its client', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }))
  const misses = new Misses(contextOf(p, 'n'.repeat(200)))
  const longest = [63, 63, 63, 61].map(n => 'x'.repeat(n)).join('.')
  const nsid = [{ code: 3, data: Buffer.alloc(0) }]
  const cookie = [{ code: 10, data: Buffer.alloc(8) }]
  for (const [says, name, text, size, options, wanted] of [
    ['all of it', 'a.mesos', 'why', 1232, nsid, { ede: [{ code: 22, text: 'why' }], options: 2 }],
    ['unasked', 'a.mesos', 'why', 1232, cookie, { ede: [{ code: 22, text: 'why' }], options: 1 }],
    ['a long text', 'a.mesos', 'y'.repeat(255), 512, nsid, { ede: [{ code: 22 }], options: 2 }],
    [
      'a long name',
      longest,
      'y'.repeat(255),
      512,
      nsid,
      { ede: [{ code: 22, text: '' }], options: 1 },
    ],
    ['no size', longest, 'y'.repeat(255), 0, nsid, { ede: [{ code: 22, text: '' }], options: 1 }],
  ] as const) {
    const wire = encode({
      id: 7,
      flags: ['rd'],
      questions: [{ name, type: 'A', class: 'IN' }],
      edns: { size, options },
    })
    const head = new Head()
    admit(wire, 0, wire.length, head)
    let response = Buffer.alloc(0)
    const query = {
      wire,
      head,
      limit: head.payload,
      receivedAt: 0,
      respond: (b: Uint8Array, n: number) => void (response = Buffer.from(b.subarray(0, n))),
      server: 0,
      proto: 0,
      family: 0,
      client: clientOf('127.0.0.1'),
      hash: 0,
      onTrial: false,
      from: undefined,
      watch: undefined,
    } as const
    misses.answer(query, failureEntry(questionOf(name), 0, servfail(22, text), p.io.time), 0)
    t.ok(response.length <= head.payload, `${says}: ${response.length} of ${head.payload}`)
    const m = decode(response)
    t.match(m, { rcode: 2, tc: false, questions: [{ name }], ede: wanted.ede }, says)
    t.equal(m.edns?.options.length, wanted.options, says)
  }
})

t.test('a batch says whether anything goes on after it', async t => {
  const local = { kind: 'local', zone: 'spartan', label: 2 } as const
  const away = { kind: 'rename', zone: 'away', to: 'mesos', label: 2 } as const
  const special = { kind: 'special', zone: 'test', label: 2 } as const
  const own = [raceRoute('mesos', [udp(MASTER, 0)]), local, away]
  const p = await Plane.create(snapshotOf({ own, special: [special] }))
  loadZone(p, 'spartan', {
    'ready.spartan': [['A', '127.0.0.1']],
    'far.spartan': [['CNAME', 'far.mesos']],
  })
  const atOnce: boolean[] = []
  const socketOf = async (front: Front): Promise<MemorySocket> =>
    (await p.io.open({
      address: '127.0.0.1',
      port: 53,
      onBatch: batch => void atOnce.push(front.batch(batch, 0)),
    })) as MemorySocket
  let socket = await socketOf(frontOf(p))
  const from = p.io.peer('127.0.0.1', 40_000)
  const asked = (text: string, qclass = 1): boolean | undefined => {
    const name = nameWire(text)!
    const query = plainQuery(name, typeNumber('A')!)
    query.writeUInt16BE(qclass, 12 + name.length + 2)
    p.io.arrive(socket, from, query)
    return atOnce.at(-1)
  }
  t.equal(asked('web.mesos'), false, 'a miss')
  p.reply(MASTER, positive('web.mesos', '203.0.113.1'))
  t.equal(asked('web.mesos'), true, 'a hit')
  t.equal(asked('web.mesos', 3), true, 'a question of another class')
  t.equal(asked('ready.spartan'), true, 'a name of ours')
  t.equal(asked('none.spartan'), true, 'a name that does not exist')
  t.equal(asked('a.test'), true, 'a name that must not leave the host')
  t.equal(asked('far.spartan'), false, 'an alias of ours that leads to a miss')
  t.equal(asked('far.away'), false, 'another name of a miss')
  const { resolver } = p
  resolver.resolve = () => {
    throw new Error('a bug')
  }
  const bugs: unknown[] = []
  const careful = new Front(new Allow(['127.0.0.0/8']), {
    ...contextOf(p),
    onBug: er => bugs.push(er),
  })
  socket = await socketOf(careful)
  t.equal(asked('other.spartan'), false, 'a bug may have begun anything')
  t.equal(bugs.length, 1)
})

t.test('who must give way gets a stale answer, if there is one', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }), {
    limits: { maxInFlight: 10_000 },
  })
  const front = frontOf(p)
  const said: { name: string; rcode: number; ede: number | undefined }[] = []
  const ask = (name: string, address = '127.0.0.66'): void => {
    const query = encode({
      flags: ['rd'],
      questions: [{ name, type: 'A', class: 'IN' }],
      edns: { size: 1232 },
    })
    front.single(query, { family: 4, address, port: 0 }, 0, r => {
      const { rcode, ede } = decode(Buffer.from(r))
      said.push({ name, rcode, ede: ede[0]?.code })
    })
  }
  const known = ['old.mesos', 'first.mesos', 'air.mesos']
  for (const name of known) {
    ask(name)
    p.reply(MASTER, positive(name, '203.0.113.1'))
  }
  p.io.advance(60_000)
  front.endTurn()
  said.length = 0
  ask('first.mesos', '127.0.0.7')
  p.io.advance(1)
  for (let i = 0; i < 63; i++) ask(`m${i}.mesos`)
  ask('first.mesos')
  for (let i = 1; i < 4_096; i++) ask(`w${i}.mesos`)
  t.same(said, [], 'all wait')
  ask('old.mesos')
  t.same(said, [{ name: 'old.mesos', rcode: 0, ede: 3 }], 'one for which there is no room')
  ask('other.mesos', '127.0.0.8')
  t.same(said.slice(1), [{ name: 'first.mesos', rcode: 0, ede: 3 }], 'one that gives way')
  t.equal(p.counters[SLOT.staleServed], 2)
  t.equal(p.counters[SLOT.shed], 0)
})

t.test('how old a stale answer is counts for where it came from', async t => {
  for (const source of STALE_SOURCES) {
    const p = await Plane.create(
      snapshotOf({
        own: [
          raceRoute('mesos', [udp(MASTER, 0)], { copy: 'mesos.thisdcos.directory' }),
          { kind: 'local', zone: 'mesos.thisdcos.directory', label: 0 },
        ],
      }),
    )
    const name = `${source}.mesos`
    if (source === 'gossiped')
      loadZone(p, 'mesos.thisdcos.directory', {
        [`${name}.thisdcos.directory`]: [['A', '203.0.113.8']],
      })
    else {
      const { spec } = p.resolver.router.match(name)
      const route = spec.kind === 'forward' ? spec.number : 0
      const fill = fillOf(name, { ttl: 1, stale: 3_600, source: route })
      p.cache.fill(fill, p.io.time, 0)!.restored = source === 'snapshot'
    }
    p.io.advance(120_000)
    const ages = STALE_SOURCES.map(() => 0)
    frontOf(p).single(plainQuery(nameWire(name)!, typeNumber('A')!), undefined, 0, reply => {
      t.equal(decode(Buffer.from(reply)).rcode, 0, `${source} is answered`)
    })
    const { socket, to } = p.io.sent.at(-1)!
    p.io.refuse(socket, to)
    for (let zone = 0; zone < snapshotOf().labels.length; zone++)
      STALE_SOURCES.forEach((_, i) => {
        const at = BLOCK.staleAge + (zone * STALE_SOURCES.length + i) * AGE_CELLS
        ages[i]! += p.counters.subarray(at, at + AGE_CELLS - 1).reduce((sum, n) => sum + n, 0)
      })
    t.strictSame(
      ages,
      STALE_SOURCES.map(one => (one === source ? 1 : 0)),
      source,
    )
  }
})

t.test('a question for which nothing in flight can be given up gets a stale answer', async t => {
  const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }), {
    limits: { maxInFlight: 0 },
  })
  p.context.cache.fill(fillOf('old.mesos', { stale: 3_600, source: -1 }), p.io.time, 0)
  p.io.advance(120_000)
  const given = p.ask('old.mesos')
  t.match(given, [{ entry: { kind: POSITIVE }, ede: 3 }])
})

t.test(
  'misses beyond a turn wait for the next one, and what there is no room for is told so',
  async t => {
    const p = await Plane.create(snapshotOf({ own: [raceRoute('mesos', [udp(MASTER, 0)])] }), {
      limits: { maxInFlight: 10_000 },
    })
    const front = frontOf(p)
    const said: { address: string; rcode: number }[] = []
    const ask = (name: string, address = '127.0.0.66'): void => {
      const wire = plainQuery(nameWire(name)!, typeNumber('A')!)
      front.single(wire, { family: 4, address, port: 0 }, 0, r =>
        said.push({ address, rcode: decode(Buffer.from(r)).rcode }),
      )
    }
    const sent = (): number => p.sentTo(MASTER).length
    for (let i = 0; i < 66; i++) ask(`n${i}.mesos`)
    t.equal(sent(), 64)
    t.ok(front.endTurn(), 'two wait')
    t.equal(sent(), 64, 'no room in this turn')
    t.ok(front.endTurn(), 'what they begin needs a round of libuv')
    t.equal(sent(), 66)
    t.notOk(front.endTurn(), 'nothing waited')
    // Now more than may wait.
    for (let i = 0; i < 64 + 4_096; i++) ask(`m${i}.mesos`)
    t.same(said, [])
    ask('one-more.mesos')
    t.same(said, [{ address: '127.0.0.66', rcode: 2 }], 'refused')
    ask('other.mesos', '127.0.0.7')
    t.same(said.slice(1), [{ address: '127.0.0.66', rcode: 2 }], 'the flood gives way to another')
    t.equal(p.counters[SLOT.shed], 2)
    front.endTurn()
    front.endTurn()
    t.ok(
      p.sentTo(MASTER).some(({ bytes }) => bytes.includes('other')),
      'which is served in its turn',
    )
  },
)
