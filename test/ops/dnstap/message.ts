/** The encoding of answered queries as dnstap, read by a decoder of the test's own. */
import t from 'tap'
import type { SeenQuery } from '../../../src/boundary/query-ring.ts'
import { DnstapEncoder, type DnstapKind } from '../../../src/ops/dnstap/message.ts'
import { decode, messageIn } from '../../fixture/dnstap-reader.ts'

const QUERY = Buffer.from('the query')
const ANSWER = Buffer.from('the answer')
const seen = (more: Partial<SeenQuery> = {}): SeenQuery => ({
  outcome: 'hit',
  rcode: 0,
  ede: -1,
  transport: 'udp',
  at: 1_700_000_000_250.5,
  tookMs: 1500.25,
  client: '192.0.2.7',
  port: 53_000,
  server: 0,
  query: QUERY,
  octets: ANSWER.length,
  answer: ANSWER,
  ...more,
})
const SERVERS = [
  { address: '198.51.100.1', port: 53 },
  { address: '2001:db8::53', port: 5353 },
  { address: '0.0.0.0', port: 53 },
]
const encoder = new DnstapEncoder({ identity: 'agent-17', version: 'spartan 1.2.3' }, SERVERS)

const HERE = Buffer.from('c6336401', 'hex')
const CLIENT = Buffer.from('c0000207', 'hex')
const CLIENT6 = Buffer.from('20010db8000000000000000000000007', 'hex')
const QUERIED = [
  [8, 1_699_999_998],
  [9, 750_250_000],
] as const
const RESPONDED = [
  [12, 1_700_000_000],
  [13, 250_500_000],
] as const

type Row = readonly [
  what: string,
  kind: DnstapKind,
  more: Partial<SeenQuery>,
  fields: readonly (readonly [field: number, value: number | Buffer])[],
]

// prettier-ignore
const ROWS: readonly Row[] = [
  ['a query over UDP', 'query', {},
    [[1, 5], [2, 1], [3, 1], [4, CLIENT], [5, HERE], [6, 53_000], [7, 53], ...QUERIED, [10, QUERY]]],
  ['its response', 'response', {},
    [[1, 6], [2, 1], [3, 1], [4, CLIENT], [5, HERE], [6, 53_000], [7, 53], ...QUERIED, ...RESPONDED, [14, ANSWER]]],
  ['over TCP and IPv6', 'response', { transport: 'tcp', client: '2001:db8::7', server: 1 },
    [[1, 6], [2, 2], [3, 2], [4, CLIENT6], [5, Buffer.from('20010db8000000000000000000000053', 'hex')], [6, 53_000],
      [7, 5353], ...QUERIED, ...RESPONDED, [14, ANSWER]]],
  ['a scope is left out', 'query', { client: 'fe80::1%eth0', server: 1 },
    [[1, 5], [2, 2], [3, 1], [4, Buffer.from('fe800000000000000000000000000001', 'hex')],
      [5, Buffer.from('20010db8000000000000000000000053', 'hex')], [6, 53_000], [7, 5353], ...QUERIED, [10, QUERY]]],
  ['a wildcard is no address', 'query', { server: 2 },
    [[1, 5], [2, 1], [3, 1], [4, CLIENT], [6, 53_000], [7, 53], ...QUERIED, [10, QUERY]]],
  ['what is not known is left out', 'query', { client: '', port: 0, server: 99 },
    [[1, 5], [3, 1], ...QUERIED, [10, QUERY]]],
  ['an empty message', 'query', { query: Buffer.alloc(0) },
    [[1, 5], [2, 1], [3, 1], [4, CLIENT], [5, HERE], [6, 53_000], [7, 53], ...QUERIED, [10, Buffer.alloc(0)]]],
]

for (const [what, kind, more, fields] of ROWS)
  t.test(what, async t => {
    t.strictSame([...messageIn(encoder.encode(kind, seen(more)))], fields)
  })

t.test('who says it', async t => {
  const whole = decode(encoder.encode('query', seen()))
  t.strictSame(
    [whole.get(1), whole.get(2)],
    [Buffer.from('agent-17'), Buffer.from('spartan 1.2.3')],
  )
  t.equal(whole.get(15), 1)
  const nobody = decode(
    new DnstapEncoder({ identity: '', version: '' }, []).encode('query', seen()),
  )
  t.strictSame([...nobody.keys()].sort(), [14, 15])
  const long = new DnstapEncoder({ identity: 'ü'.repeat(255), version: 'v' }, [])
  t.equal(String(decode(long.encode('query', seen())).get(1)), 'ü'.repeat(255))
})

t.test('messages of every length fit, and no encoding changes an earlier one', async t => {
  const kept = encoder.encode('response', seen())
  const before = Buffer.from(kept)
  for (const length of [0, 1, 127, 128, 16_383, 16_384, 65_535]) {
    const answer = Buffer.alloc(length, 7)
    const whole = encoder.encode('response', seen({ answer, client: '2001:db8::7', server: 1 }))
    t.ok((messageIn(whole).get(14) as Buffer).equals(answer), `${length} octets`)
  }
  t.ok(kept.equals(before))
})

t.test('times are right to the microsecond, also far from now', async t => {
  for (const [at, seconds, nanoseconds] of [
    [0, 0, 0],
    [1_700_000_000_999.999, 1_700_000_000, 999_999_000],
    [4_102_444_800_000, 4_102_444_800, 0],
    [9e14, 9e11, 0],
  ] as const) {
    const fields = messageIn(encoder.encode('response', seen({ at, tookMs: 0 })))
    t.equal(fields.get(12), seconds)
    t.ok(Math.abs((fields.get(13) as number) - nanoseconds) < 1000, String(fields.get(13)))
  }
})

t.test('more clients than are remembered have their own addresses', async t => {
  for (let n = 0; n < 3000; n++) {
    const client = `10.0.${n >> 8}.${n & 255}`
    const fields = messageIn(encoder.encode('query', seen({ client })))
    if ((fields.get(4) as Buffer).join('.') !== client) t.fail(client)
  }
  t.pass('all of them')
})
