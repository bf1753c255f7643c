import t from 'tap'
import { fc } from '../../fixture/property.ts'
import { decode } from 'dns-packet'
import { admit, Head } from '../../../src/data/serve/admit.ts'
import {
  Entry,
  FAILURE,
  NEGATIVE,
  POSITIVE,
  type Fill,
  type FillMeta,
} from '../../../src/data/cache/entry.ts'
import { hitLength, putHit, shownTtl } from '../../../src/data/cache/hit.ts'
import { hashQuestion } from '../../../src/data/cache/hash.ts'
import { PacketCache } from '../../../src/data/cache/packet-cache.ts'
import { blockSize, Slab, startOf, type Chunk } from '../../../src/data/cache/slab.ts'
import { prepare } from '../../../src/data/forward/prepare.ts'
import { classify } from '../../../src/data/forward/classify.ts'
import { nameWire } from '../../../src/wire/name.ts'
import { Records, scan } from '../../../src/wire/scan.ts'
import { truncate } from '../../../src/wire/truncate.ts'
import { a, questionOf, response } from '../../fixture/bench-plane.ts'
import { META } from '../../fixture/fill.ts'
import { plainQuery } from '../../../src/wire/question.ts'

const records = new Records()

const fillOf = (
  name: string,
  type = 'A',
  packet: Parameters<typeof response>[0] = { answers: [a(name, '192.0.2.1')] },
  meta: Partial<FillMeta> = {},
): Fill => {
  const wire = response(packet)(Buffer.from(questionOf(name, type).wire))
  scan(wire, wire.length, records)
  const is = classify(wire, records, true)
  return prepare(wire, records, is.keep, is.whole, { ...META, ...meta })!
}
const find = (cache: PacketCache, name: string, type = 1, bits = 0): Entry | undefined => {
  const wire = nameWire(name)!
  return cache.find(wire, 0, wire.length, type, bits, new Entry())
}
/** The response to a query, decoded as by a client. */
const answer = (entry: Entry, name: string, ttl: number, edns = false) => {
  const query = plainQuery(nameWire(name)!, entry.qtype)
  nameWire(name)!.copy(query, 12) // the client's spelling, which plainQuery changes to lower case
  const head = new Head()
  admit(query, 0, query.length, head)
  head.edns = edns
  query.writeUInt16BE(0xbeef, 0)
  const out = Buffer.alloc(65_535 + 600)
  const length = putHit(entry, query, 0, head, out, 3, ttl)
  t.equal(length, hitLength(entry, head))
  return out.subarray(3, 3 + length)
}
const datas = (wire: Buffer): unknown[] =>
  (decode(wire).answers ?? []).map(r => ('data' in r ? r.data : undefined))

t.test('an entry is found whatever the case, and only by its whole question', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const entry = cache.fill(fillOf('Web.Mesos'), 0, 1)!
  t.equal(find(cache, 'web.mesos')?.ref, entry.ref)
  t.equal(find(cache, 'WEB.mesOS')?.ref, entry.ref)
  for (const [name, type, bits] of [
    ['web.mesos', 28, 0],
    ['web.mesos', 1, 1],
    ['web.mesos', 1, 2],
    ['web.meso', 1, 0],
    ['veb.mesos', 1, 0],
    ['x.web.mesos', 1, 0],
  ] as const) {
    t.equal(find(cache, name, type, bits), undefined, `${name} ${type} ${bits}`)
  }
})

t.test('octets that differ only in bit 0x20 and are no letters are different names', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  cache.fill(fillOf('a@b.mesos'), 0, 1)
  t.ok(find(cache, 'a@b.mesos'))
  t.notOk(find(cache, 'a`b.mesos'))
})

t.test('a hit carries the ID and spelling of its query, RD, and the TTL that is left', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const entry = cache.fill(fillOf('web.mesos'), 1000, 1)!
  const wire = answer(entry, 'wEB.MESOS', shownTtl(entry, 1000 + 12_500))
  const message = decode(wire)
  t.match(message, {
    id: 0xbeef,
    questions: [{ name: 'wEB.MESOS' }],
    answers: [{ name: 'wEB.MESOS', ttl: 48 }],
  })
  t.equal(wire[2], 0x81, 'QR and RD, AA cleared')
  t.equal(wire[3], 0x80, 'RA, no Z, AD or CD')
  t.equal(decode(answer(entry, 'web.mesos', 1, true)).additionals?.[0]?.type, 'OPT')
})

t.test('our OPT is counted in both octets of ARCOUNT', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const entry = cache.fill(fillOf('web.mesos'), 0, 1)!
  for (const count of [0, 254, 255, 256, 511]) {
    // Only the count matters here, so there are no records.
    entry.bytes.writeUInt16BE(count, entry.at + 10)
    t.equal(answer(entry, 'web.mesos', 1).readUInt16BE(10), count, `${count} without OPT`)
    t.equal(answer(entry, 'web.mesos', 1, true).readUInt16BE(10), count + 1, `${count} and OPT`)
  }
})

t.test('a TTL is never longer than what is left, and never nothing while fresh', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const entry = cache.fill(fillOf('web.mesos', 'A', undefined, { ttl: 5 }), 1000, 1)!
  for (const [now, shown] of [
    [1000, 5],
    [1001, 5],
    [2000, 4],
    [5999, 1],
    [6000, 30],
    [9000, 30],
  ] as const) {
    t.equal(shownTtl(entry, now), shown, `after ${now - 1000} ms`)
  }
})

t.test('a set of several records begins with another one for each asker', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const ips = ['192.0.2.1', '192.0.2.2', '192.0.2.3']
  const entry = cache.fill(
    fillOf('web.mesos', 'A', { answers: ips.map(ip => a('web.mesos', ip)) }),
    0,
    1,
  )!
  const first = Array.from({ length: 6 }, () => datas(answer(entry, 'web.mesos', 9)))
  t.same(
    first.map(d => d[0]),
    [...ips, ...ips],
  )
  t.ok(first.every(d => new Set(d).size === 3))
  t.same(
    decode(answer(entry, 'web.mesos', 9)).answers?.map(r => ('ttl' in r ? r.ttl : 0)),
    [9, 9, 9],
  )
})

t.test('CNAMEs stay first while the addresses behind them rotate', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const answers = [
    { name: 'web.mesos', type: 'CNAME', ttl: 60, class: 'IN', data: 'w.mesos' } as const,
    a('w.mesos', '192.0.2.1'),
    a('w.mesos', '192.0.2.2'),
  ]
  const entry = cache.fill(fillOf('web.mesos', 'A', { answers }), 0, 1)!
  t.equal(entry.rotateCount, 2)
  t.same(
    [datas(answer(entry, 'web.mesos', 9)), datas(answer(entry, 'web.mesos', 9))],
    [
      ['w.mesos', '192.0.2.1', '192.0.2.2'],
      ['w.mesos', '192.0.2.2', '192.0.2.1'],
    ],
  )
})

t.test('SRV records keep priority and weight and rotate within the best priority', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const srv = (priority: number, target: string) =>
    ({
      name: '_w._tcp.mesos',
      type: 'SRV',
      ttl: 60,
      class: 'IN',
      data: { priority, weight: 3, port: 80, target },
    }) as const
  const packet = {
    answers: [
      srv(5, 'last.mesos'),
      srv(1, 'a.mesos'),
      srv(1, 'longer-name.mesos'),
      srv(1, 'c.mesos'),
    ],
    additionals: [a('longer-name.mesos', '192.0.2.9'), a('stray.mesos', '192.0.2.10')],
  }
  const entry = cache.fill(fillOf('_w._tcp.mesos', 'SRV', packet), 0, 1)!
  const seen = Array.from({ length: 3 }, () => decode(answer(entry, '_w._tcp.mesos', 9)))
  const order = seen.map(m =>
    m.answers?.map(r => ('data' in r ? (r.data as { target: string }).target : '')),
  )
  t.same(order, [
    ['a.mesos', 'longer-name.mesos', 'c.mesos', 'last.mesos'],
    ['longer-name.mesos', 'c.mesos', 'a.mesos', 'last.mesos'],
    ['c.mesos', 'a.mesos', 'longer-name.mesos', 'last.mesos'],
  ])
  for (const m of seen) {
    t.same(
      m.additionals?.map(r => r.name),
      ['longer-name.mesos'],
    )
    t.ok([...(m.answers ?? []), ...(m.additionals ?? [])].every(r => 'ttl' in r && r.ttl === 9))
  }
})

t.test('what does not fit is cut by whole sets', async t => {
  const ips = Array.from({ length: 100 }, (_, i) => a('web.mesos', `192.0.2.${i}`))
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const big = answer(
    cache.fill(fillOf('web.mesos', 'A', { answers: ips }), 0, 1)!,
    'web.mesos',
    9,
    true,
  )
  const cut = Buffer.from(big)
  const length = truncate(cut, cut.length, 512)
  const message = decode(cut.subarray(0, length))
  t.ok(length <= 512 && message.flag_tc)
  t.same([message.answers?.length, message.additionals?.map(r => r.type)], [0, ['OPT']])

  const srv = Array.from(
    { length: 8 },
    (_, i) =>
      ({
        name: '_w._tcp.mesos',
        type: 'SRV',
        ttl: 60,
        class: 'IN',
        data: { priority: 0, weight: 1, port: i, target: `t${i}.mesos` },
      }) as const,
  )
  const glue = srv.map(r => a(r.data.target, '192.0.2.1'))
  const wide = answer(
    cache.fill(fillOf('_w._tcp.mesos', 'SRV', { answers: srv, additionals: glue }), 0, 1)!,
    '_w._tcp.mesos',
    9,
    true,
  )
  const kept = decode(wide.subarray(0, truncate(wide, wide.length, 360)))
  t.notOk(kept.flag_tc, 'additional data goes without a word')
  t.equal(kept.answers?.length, 8)
  t.ok(kept.additionals!.length < 9)
})

t.test('the cache holds its bounds, and forgets what was used least', async t => {
  const evicted: number[] = []
  const cache = new PacketCache(
    { maxBytes: 1 << 20, maxEntries: 50 },
    kind => void evicted.push(kind),
  )
  for (let i = 0; i < 50; i++) cache.fill(fillOf(`n${i}.mesos`), 0, 1)
  cache.touch(find(cache, 'n0.mesos')!, 5000)
  cache.fill(fillOf('one.more.mesos'), 0, 1)
  t.equal(cache.entries, 50)
  t.ok(find(cache, 'n0.mesos'))
  t.notOk(find(cache, 'n1.mesos'))
  t.same(evicted, [POSITIVE])
  const small = new PacketCache({ maxBytes: 10_000, maxEntries: 1000 })
  for (let i = 0; i < 200; i++) small.fill(fillOf(`n${i}.mesos`), 0, 1)
  t.ok(small.bytes <= 10_000 && small.entries > 10)
  const large = fillOf('web.mesos', 'A', {
    answers: Array.from({ length: 1000 }, (_, i) => a('web.mesos', `192.0.${i >> 8}.${i & 255}`)),
  })
  t.equal(small.fill(large, 0, 1), undefined, 'what is larger than the cache is not kept')
  t.equal(find(small, 'web.mesos'), undefined)
})

t.test('an answer takes the place of the previous one to its question', async t => {
  const web = (addresses: readonly string[], meta: Partial<FillMeta> = {}): Fill =>
    fillOf('web.mesos', 'A', { answers: addresses.map(one => a('web.mesos', one)) }, meta)
  const many = Array.from({ length: 20 }, (_, i) => `192.0.2.${i}`)
  for (const [says, addresses, kind] of [
    ['one of the same size', ['192.0.2.2'], POSITIVE],
    ['a larger one', many, POSITIVE],
    ['a denial of the same size', ['192.0.2.3'], NEGATIVE],
    ['a smaller denial', [], NEGATIVE],
  ] as const) {
    const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
    cache.fill(web(['192.0.2.1'], { kind: NEGATIVE }), 0, 1)
    cache.fill(fillOf('other.mesos'), 0, 1)
    const old = find(cache, 'web.mesos')!
    old.hits = 7
    old.refreshing = true
    const held = old.held()
    cache.fill(web(addresses, { kind, zone: 2 }), 10_000, 2)
    t.ok(held.gone, `${says}: a view of the previous one is gone`)
    const denials = kind === NEGATIVE ? 1 : 0
    t.strictSame([cache.entries, cache.denials], [2, denials], says)
    const entry = find(cache, 'web.mesos')!
    const { epoch, expiresAt, hits, refreshing, zone } = entry
    const wanted = { epoch: 2, expiresAt: 70_000, hits: 0, refreshing: false, zone: 2 }
    t.strictSame({ epoch, expiresAt, hits, refreshing, zone }, wanted, says)
    t.strictSame(datas(answer(entry, 'web.mesos', 60)).sort(), [...addresses].sort(), says)
    cache.delete(entry)
    t.strictSame([cache.entries, cache.denials], [1, 0], says)
    t.equal(find(cache, 'web.mesos'), undefined, says)
  }
})

t.test('what is stored again is used again', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 2 })
  for (const name of ['a.mesos', 'b.mesos', 'a.mesos', 'c.mesos']) cache.fill(fillOf(name), 0, 1)
  const kept = ['a.mesos', 'b.mesos', 'c.mesos'].filter(name => find(cache, name))
  t.strictSame(kept, ['a.mesos', 'c.mesos'])
})

t.test('kinds are counted', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 50 })
  cache.fill(fillOf('a.mesos'), 0, 1)
  cache.fill(fillOf('b.mesos', 'A', undefined, { kind: NEGATIVE }), 0, 1)
  cache.fill(fillOf('c.mesos', 'A', undefined, { kind: FAILURE }), 0, 1)
  t.same([cache.entries, cache.denials], [3, 2])
  cache.fill(fillOf('b.mesos'), 0, 1)
  t.same([cache.entries, cache.denials], [3, 1])
  cache.clear()
  t.same([cache.entries, cache.denials, cache.bytes], [0, 0, 0])
})

t.test(
  'the table and lru-cache agree after any fills, look-ups, deletions and evictions',
  async () => {
    const names = Array.from({ length: 40 }, (_, i) => `n${i}.example.org`)
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.constantFrom('fill', 'delete', 'touch', 'clear'), fc.nat(39), fc.nat(4)),
          { maxLength: 200 },
        ),
        ops => {
          const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 16 })
          let now = 0
          for (const [op, n, copies] of ops) {
            now += 2000
            const name = names[n]!
            const entry = find(cache, name)
            if (op === 'fill')
              cache.fill(
                fillOf(name, 'A', {
                  answers: Array.from({ length: copies + 1 }, (_, i) => a(name, `192.0.2.${i}`)),
                }),
                now,
                1,
              )
            else if (op === 'delete' && entry) cache.delete(entry)
            else if (op === 'touch' && entry) cache.touch(entry, now)
            else if (op === 'clear' && copies === 0) cache.clear()
          }
          const live = [...cache.all()].map(e => e.ref)
          const found = names.map(name => find(cache, name)).filter(e => e !== undefined)
          return (
            live.length === cache.entries &&
            found.length === live.length &&
            found.every(e => live.includes(e.ref)) &&
            live.length <= 16
          )
        },
      ),
      { numRuns: 200 },
    )
  },
)

t.test('slab blocks of living owners never overlap', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 70_000 })), { maxLength: 120 }),
      ops => {
        const slab = new Slab(1 << 30, () => {})
        const held: { chunk: Chunk; at: number; ref: number; length: number }[] = []
        for (const [take, length] of ops) {
          if (take || held.length === 0) {
            const ref = slab.take(length)
            const chunk = slab.chunkOf(ref)
            const at = startOf(ref)
            if (at + length > chunk.bytes.length || blockSize(length) < length) return false
            if (
              held.some(
                h =>
                  h.chunk === chunk &&
                  h.at < at + blockSize(length) &&
                  at < h.at + blockSize(h.length),
              )
            )
              return false
            held.push({ chunk, at, ref, length })
          } else {
            const [gone] = held.splice(length % held.length, 1)
            slab.give(gone!.ref)
          }
        }
        return true
      },
    ),
    { numRuns: 200 },
  )
})

t.test(
  'a view that is held knows when its entry has gone, also when the block is in use again',
  async t => {
    const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
    const first = cache.fill(fillOf('a.mesos'), 0, 1)!.held()
    const other = cache.fill(fillOf('b.mesos'), 0, 1)!.held()
    t.notOk(first.gone)
    cache.delete(first)
    t.ok(first.gone)
    const next = cache.fill(fillOf('c.mesos'), 0, 1)!.held()
    t.equal(next.ref, first.ref, 'the same block')
    t.same([first.gone, next.gone, other.gone], [true, false, false])
    cache.fill(fillOf('b.mesos'), 1, 1)
    t.ok(other.gone, 'what was replaced is gone, too')
  },
)

t.test('an entry is found with all that it was filled with', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100 })
  const says = {
    kind: FAILURE,
    ttl: 7,
    stale: 259_200,
    staleTtl: 30,
    ede: 22,
    edeText: 'nobody answered – «für jetzt»',
    zone: 31,
    source: 2 ** 31 - 1,
    failures: 300,
    dnssecOk: true,
    checkingDisabled: true,
  } as const
  cache.fill(fillOf('web.mesos', 'AAAA', {}, says), 1_234.5, 9)
  const entry = find(cache, 'web.mesos', 28, 3)!
  const {
    kind,
    ttl,
    staleTtl,
    ede,
    zone,
    source,
    failures,
    epoch,
    storedAt,
    expiresAt,
    staleUntil,
    retryAt,
    bits,
    hits,
    turn,
  } = entry
  t.same(
    { kind, ttl, staleTtl, ede, zone, source, failures, epoch, bits, hits, turn },
    {
      kind: FAILURE,
      ttl: 7,
      staleTtl: 30,
      ede: 22,
      zone: 31,
      source: 2 ** 31 - 1,
      failures: 255,
      epoch: 9,
      bits: 3,
      hits: 0,
      turn: 0,
    },
  )
  t.same([storedAt, expiresAt, staleUntil, retryAt], [1_235, 8_235, 8_235 + 259_200_000, 0])
  t.equal(Buffer.from(entry.edeText!).toString(), says.edeText)
  entry.hits = 70_000
  entry.refreshing = true
  t.same([entry.hits, entry.refreshing, entry.kind], [65_535, true, FAILURE])
  const long = cache.fill(
    fillOf('long.mesos', 'A', undefined, { ede: 0, edeText: 'x'.repeat(999) }),
    0,
    1,
  )!
  t.same([long.ede, long.edeText?.length], [0, 255])
})

t.test('names that meet in the table cost a bounded look-up, and the newest is found', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 22, maxEntries: 512 })
  // The table has 1,024 places; this finds names whose hashes begin at one of them.
  const meeting: string[] = []
  for (let i = 0; meeting.length < 200; i++) {
    const wire = nameWire(`n${i}.mesos`)!
    if ((hashQuestion(wire, 0, wire.length, 1, 0) & 1023) === 77) meeting.push(`n${i}.mesos`)
  }
  for (const name of meeting) {
    cache.fill(fillOf(name), 0, 1)
    t.ok(find(cache, name), name)
  }
  const found = meeting.filter(name => find(cache, name))
  t.equal(found.length, 128)
  t.equal(cache.entries, 128, 'and what is not found is not kept')
})

/** How often the sizes of answers change from the smallest to the largest. */
const ROUNDS = 4

t.test('memory follows the sizes that answers have, round after round', async t => {
  const maxBytes = 4 << 20
  const cache = new PacketCache({ maxBytes, maxEntries: 100_000 })
  const sizes = [20, 100, 200, 300, 500, 900, 1_800, 4_000, 9_000, 20_000]
  const text = (length: number): Buffer[] => {
    const strings = []
    for (let left = length; left > 0; left -= 250)
      strings.push(Buffer.alloc(Math.min(left, 250), 97))
    return strings
  }
  let n = 0
  let most = 0
  for (const size of Array.from({ length: ROUNDS }, () => sizes).flat()) {
    const data = text(size)
    for (let octets = 0; octets < 2 * maxBytes; octets += size + 200) {
      const name = `n${n++}.mesos`
      const answers = [{ name, type: 'TXT', ttl: 60, class: 'IN', data } as const]
      const entry = cache.fill(fillOf(name, 'TXT', { answers }), 0, 1)!
      // One in a hundred stays in use and holds its chunk.
      if (n % 100 === 0) cache.touch(entry, n * 1000)
    }
    most = Math.max(most, cache.resident / maxBytes)
    t.ok(cache.resident <= 1.3 * maxBytes, `${size}: ${cache.resident}`)
    t.ok(cache.bytes <= maxBytes)
    t.ok(cache.entries * (size + 200) > maxBytes / 4, `${size}: ${cache.entries} entries`)
  }
  t.comment(`resident at most ${most.toFixed(2)} times the limit`)
  t.equal([...cache.all()].length, cache.entries)
})

t.test('a view into memory that was cut anew is gone, whatever lies there now', async t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 100_000 })
  const held = Array.from({ length: 500 }, (_, i) =>
    cache.fill(fillOf(`n${i}.mesos`), 0, 1)!.held(),
  )
  const big = Buffer.alloc(250, 1)
  for (let i = 0; i < 400; i++) {
    const name = `big${i}.mesos`
    const answers = [
      { name, type: 'TXT', ttl: 60, class: 'IN', data: Array(60).fill(big) } as const,
    ]
    cache.fill(fillOf(name, 'TXT', { answers }), 0, 1)
  }
  for (const [i, view] of held.entries())
    t.equal(view.gone, find(cache, `n${i}.mesos`) === undefined)
  t.ok(held.some(view => view.gone))
})

t.test('of entries on trial, only those that are asked for again stay', t => {
  const cache = new PacketCache({ maxBytes: 1 << 20, maxEntries: 800 })
  const kept = (name: string): boolean => find(cache, name) !== undefined
  const put = (name: string, onTrial: boolean): Entry =>
    cache.fill(fillOf(name, 'A', undefined, { onTrial }), 0, 1)!
  put('plain.mesos', false)
  put('hit.mesos', true).hits = 1
  put('once.mesos', true)
  for (let i = 2; i < 100; i++) put(`n${i}.mesos`, true)
  t.ok(kept('once.mesos'), 'a hundred are on trial')
  for (let i = 100; i < 102; i++) put(`n${i}.mesos`, true)
  t.notOk(kept('once.mesos'))
  t.ok(kept('hit.mesos'))
  t.ok(kept('plain.mesos'))
  for (let i = 102; i < 1_000; i++) put(`n${i}.mesos`, true)
  t.ok(cache.entries <= 103, `${cache.entries} entries`)
  t.notOk(kept('n899.mesos'))
  t.ok(kept('n900.mesos'))
  t.end()
})
