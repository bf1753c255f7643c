/**
 * The resolver against a model that is a Map and the RFCs' arithmetic: any
 * history of questions, replies, time, reloads and flushes gives the same
 * answers. `MODEL_RUNS` says how many histories (default 150).
 */
import t from 'tap'
import fc from 'fast-check'
import { decode } from 'dns-packet'
import { NEGATIVE, type Entry } from '../../../src/data/cache/entry.ts'
import { shownTtl } from '../../../src/data/cache/hit.ts'
import { rcodeOf } from '../../../src/data/cache/packet-cache.ts'
import { flush } from '../../../src/data/cache/scan.ts'
import {
  a,
  Plane,
  response,
  servfail,
  snapshotOf,
  soa,
  udp,
  type Given,
} from '../../fixture/bench-plane.ts'

const RUNS = Number(process.env['MODEL_RUNS'] ?? 150)
const UPSTREAM = '192.0.2.53'
const NAMES = 3
const MAX_TTL = 100
const MAX_NEGATIVE_TTL = 20
const STALE_S = 50
/** RFC 8767 §4. */
const STALE_TTL = 30

type Reply = 'positive' | 'nxdomain' | 'failure'
/** What the model holds of a name. Times in milliseconds. */
type Stored = { kind: Reply; data: string; expiresAt: number; failures: number; retryAt: number }

const name = (n: number): string => `n${n}.example.org`
const clampedTtl = (kind: Reply, ttl: number): number =>
  Math.min(ttl, kind === 'positive' ? MAX_TTL : MAX_NEGATIVE_TTL)

const command = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      n: fc.nat(NAMES - 1),
      reply: fc.constantFrom<Reply>('positive', 'nxdomain', 'failure'),
      ttl: fc.constantFrom(0, 1, 5, 30, 1_000),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(1, 400, 999, 1_000, 5_000, 30_000, 60_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reload' as const), change: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('flush' as const), n: fc.nat(NAMES - 1) }) },
)

const settle = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate)
}
const seen = ({ entry, ede }: Given, now: number) => ({
  rcode: rcodeOf(entry),
  data: dataOf(entry),
  ttl: rcodeOf(entry) === 2 ? -1 : ede > 0 ? entry.staleTtl : shownTtl(entry, now),
  stale: ede > 0,
})
const dataOf = (entry: Entry): string => {
  const { answers } = decode(entry.bytes.subarray(entry.at, entry.at + entry.length))
  const [first] = answers ?? []
  return entry.kind === NEGATIVE || !first || !('data' in first) ? '' : String(first.data)
}

t.test(`${RUNS} histories are told as the model tells them`, async t => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40 }), async commands => {
      let number = -9
      const snapshot = () =>
        snapshotOf({
          rest: {
            kind: 'forward',
            zone: '',
            label: 1,
            number,
            policy: 'hedge',
            ttl: 'external',
            upstreams: [udp(UPSTREAM, 9, 53)],
          },
        })
      const p = await Plane.create(snapshot(), {
        clamps: {
          minTtl: 0,
          maxTtl: MAX_TTL,
          maxNegativeTtl: MAX_NEGATIVE_TTL,
          serveStale: STALE_S,
        },
      })
      const model = new Map<number, Stored>()
      let address = 0
      for (const step of commands) {
        const now = p.io.time
        if (step.do === 'wait') p.io.advance(step.ms)
        else if (step.do === 'reload') {
          if (step.change) {
            number--
            model.clear()
          }
          p.resolver.take(snapshot())
        } else if (step.do === 'flush') {
          const job = flush(p.cache, name(step.n))
          while (!job.next().done);
          model.delete(step.n)
        } else {
          const { n, reply, ttl } = step
          const data = `203.0.113.${++address % 250}`
          const had = model.get(n)
          const sent = p.io.sent.length
          const given = p.ask(name(n))
          await settle()
          const asked = p.io.sent.length > sent
          if (asked) {
            const packets = {
              positive: response({ answers: [a(name(n), data, ttl)] }),
              nxdomain: response({ rcode: 3, authorities: [soa('example.org', ttl, ttl)] }),
              failure: servfail,
            }
            p.reply(UPSTREAM, packets[reply])
            await settle()
          }
          // What the RFCs say of it.
          const fresh = had !== undefined && now < had.expiresAt
          const mayBeStale =
            had !== undefined &&
            had.kind !== 'failure' &&
            !fresh &&
            now < had.expiresAt + STALE_S * 1000
          const expectsAsking = !fresh && !(mayBeStale && now < had.retryAt)
          const stored = (one: Stored, stale: boolean) => ({
            rcode: one.kind === 'positive' ? 0 : one.kind === 'nxdomain' ? 3 : 2,
            data: one.kind === 'positive' ? one.data : '',
            ttl:
              one.kind === 'failure'
                ? -1
                : stale
                  ? STALE_TTL
                  : Math.ceil((one.expiresAt - now) / 1000),
            stale,
          })
          let expected
          if (!expectsAsking) expected = stored(had!, mayBeStale)
          else if (reply === 'failure' && mayBeStale) {
            had.failures = Math.min(had.failures + 1, 5)
            had.retryAt = now + Math.min(30, 2 ** had.failures) * 1000
            expected = stored(had, true)
          } else {
            const failures = had?.kind === 'failure' ? had.failures + 1 : 0
            const lives =
              reply === 'failure'
                ? Math.min(30, 2 ** Math.min(failures, 5))
                : clampedTtl(reply, ttl)
            const next = {
              kind: reply,
              data,
              expiresAt: now + lives * 1000,
              failures: reply === 'failure' ? failures : 0,
              retryAt: 0,
            }
            // An answer with TTL 0 is given and not kept; what was there stays.
            if (lives > 0) model.set(n, next)
            expected = stored(next, false)
          }
          const said = given.map(one => seen(one, now))
          const same =
            JSON.stringify(said) === JSON.stringify([expected]) && asked === expectsAsking
          if (!same)
            throw new Error(
              `${JSON.stringify(step)}: ${asked ? 'asked' : 'not asked'}, got ${JSON.stringify(said)}, not ${JSON.stringify(expected)}`,
            )
        }
      }
    }),
    { numRuns: RUNS },
  )
  t.pass('no difference')
})
