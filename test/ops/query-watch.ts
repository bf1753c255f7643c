/** What the main thread reads of the queries that the data thread shows. */
import t from 'tap'
import type { WatchSpec } from '../../src/boundary/messages.ts'
import { QueryRingWriter, type SeenQuery } from '../../src/boundary/query-ring.ts'
import { ALL, QueryWatch } from '../../src/ops/query-watch.ts'

const seen: SeenQuery = {
  outcome: 'hit',
  rcode: 0,
  ede: -1,
  transport: 'udp',
  at: 1_700_000_000_000,
  tookMs: 1,
  client: '192.0.2.7',
  port: 53_000,
  server: 0,
  query: Buffer.alloc(30),
  octets: 60,
  answer: Buffer.alloc(0),
}

t.test('a burst is read in several looks, and the last queries after the end', async t => {
  const sent: string[] = []
  let ring: QueryRingWriter | undefined
  const watch = new QueryWatch({
    lookMs: 5,
    send: message => {
      sent.push(message.type)
      if (message.type === 'watch') ring = new QueryRingWriter((message as WatchSpec).memory)
    },
  })
  const gone = new AbortController()
  let read = 0
  const looks: number[] = []
  const put = (queries: number): void => {
    for (let n = 0; n < queries; n++) if (!ring!.put(seen)) t.fail('no room')
  }
  for await (const { queries } of watch.watch(ALL, 1 << 18, () => read++, gone.signal, 4)) {
    if (looks.length === 0) put(1200)
    if (queries > 0 || looks.length === 0) looks.push(queries)
    if (read === 1200) {
      put(507)
      setImmediate(() => gone.abort())
    }
  }
  t.strictSame(looks, [0, 500, 500, 200, 500, 7])
  t.strictSame(sent, ['watch', 'unwatch'])
  t.notOk(watch.full)
})
