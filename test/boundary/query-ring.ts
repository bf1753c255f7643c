import t from 'tap'
import {
  QueryRingReader,
  queryRing,
  QueryRingWriter,
  type SeenQuery,
} from '../../src/boundary/query-ring.ts'
import { seeded } from '../fixture/random.ts'

const seen = (more: Partial<SeenQuery> = {}): SeenQuery => ({
  outcome: 'hit',
  rcode: 0,
  ede: -1,
  transport: 'udp',
  at: 1_700_000_000_000.25,
  tookMs: 0.125,
  client: '192.0.2.7',
  port: 53_000,
  server: 2,
  query: Buffer.from('a question'),
  octets: 60,
  answer: Buffer.alloc(0),
  ...more,
})

/** A record whose octets do not change with the ring. */
const kept = (one: SeenQuery): SeenQuery => ({
  ...one,
  query: Buffer.from(one.query),
  answer: Buffer.from(one.answer),
})

t.test('what is written is read, field by field', async t => {
  const memory = queryRing(4096)
  const writer = new QueryRingWriter(memory)
  const reader = new QueryRingReader(memory)
  const all = [
    seen(),
    seen({ outcome: 'refused', rcode: 16, ede: 0, transport: 'tcp', client: '2001:db8::7' }),
    seen({ outcome: 'stale', ede: 24, query: Buffer.alloc(0), answer: Buffer.from([1, 2, 3]) }),
  ]
  for (const one of all) t.ok(writer.put(one))
  const got: SeenQuery[] = []
  t.equal(
    reader.read(one => void got.push(kept(one)), 2),
    2,
    'as many as are wanted',
  )
  t.equal(
    reader.read(one => void got.push(kept(one)), 9),
    1,
  )
  t.strictSame(got, all)
  t.equal(
    reader.read(() => t.fail('nothing is left'), 9),
    0,
  )
  t.equal(reader.dropped(), 0)
})

t.test(
  'records of any length pass in order for many rounds of the ring; the rest is counted',
  async t => {
    const memory = queryRing(1024)
    const writer = new QueryRingWriter(memory)
    const reader = new QueryRingReader(memory)
    // The octet counters begin just before they wrap at 2^32.
    new Int32Array(memory).fill(-2048, 0, 2)
    const next = seeded(7).int
    let put = 0
    let dropped = 0
    let got = 0
    for (let round = 0; round < 3000; round++) {
      for (let n = next(6); n > 0; n--) {
        const query = Buffer.alloc(next(300), put & 0xff)
        if (writer.put(seen({ port: put & 0xffff, query }))) put++
        else dropped++
      }
      reader.read(one => {
        const right =
          one.port === (got & 0xffff) && one.query.every(octet => octet === (got & 0xff))
        if (!right) t.fail(`record ${got} is not the one that was written`)
        got++
      }, next(6))
    }
    reader.read(() => void got++, 100)
    t.equal(got, put)
    t.ok(dropped > 100 && put > 3000, `${put} written, ${dropped} dropped`)
    t.equal(reader.dropped(), dropped)
    t.equal(reader.dropped(), 0, 'counted once')
  },
)
