/**
 * The cache and what fills it against a model that is a Map and the RFCs'
 * arithmetic: any history of questions, replies, time, reloads, flushes and
 * restarts gives the same responses and asks upstreams as often. `MODEL_RUNS`
 * says how many histories (default 150).
 */
import t from 'tap'
import { fc } from '../../fixture/property.ts'
import { dumpCache, restoreCache } from '../../../src/data/cache/cache-file.ts'
import { flush } from '../../../src/data/cache/scan.ts'
import { staleTtlOf } from '../../../src/data/forward/ttl-policy.ts'
import { Allow } from '../../../src/data/serve/allow.ts'
import { Front } from '../../../src/data/serve/front.ts'
import { a, Plane, response, servfail, snapshotOf, soa, udp } from '../../fixture/bench-plane.ts'
import { query } from '../../fixture/client.ts'
import { decode } from '../../fixture/wire.ts'

const RUNS = Number(process.env['MODEL_RUNS'] ?? 150)
const UPSTREAM = '192.0.2.53'
const NAMES = 3
const MAX_TTL = 100
const MAX_NEGATIVE_TTL = 20
const STALE_S = 50
/** RFC 8767 §4. */
const STALE_TTL = 30
/** The Unix time of the clock's zero. */
const UNIX_MS = 1_700_000_000_000

type Reply = 'positive' | 'nxdomain' | 'failure'
/** What the model holds of a name. Times in milliseconds. */
type Stored = {
  kind: Reply
  data: string
  /** Seconds. */
  ttl: number
  expiresAt: number
  staleUntil: number
  failures: number
  retryAt: number
  /** Since it was stored. */
  hits: number
  refreshing: boolean
}

const name = (n: number): string => `n${n}.example.org`
const seconds = (ms: number): number => Math.trunc(ms / 1000)
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
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('restart' as const),
      ms: fc.constantFrom(0, 700, 20_000),
      change: fc.boolean(),
    }),
  },
)

const settle = async (): Promise<void> => {
  for (let i = 0; i < 3; i++) await new Promise(setImmediate)
}
/** A response as the model speaks of it. */
const seen = (raw: Buffer) => {
  const { rcode, answers, authority, ede } = decode(raw)
  const [first] = rcode === 0 ? answers : authority
  return {
    rcode,
    data: rcode === 0 ? first?.data : '',
    ttl: first?.ttl ?? -1,
    stale: ede.some(({ code }) => code === 3 || code === 19),
  }
}

/** What a query gets. */
const askOf = (p: Plane): ((name: string) => Buffer[]) => {
  const front = new Front(new Allow([]), {
    cache: p.cache,
    validity: p.validity,
    counters: p.counters,
    resolver: p.resolver,
    node: 'test',
    settings: { identity: true, tcp: { idle: 0 } },
    isOurs: () => false,
    now: () => p.io.time,
    clock: () => p.io.time,
    onBug: er => {
      throw er
    },
  })
  return name => {
    const got: Buffer[] = []
    front.single(query(name, 'A', { edns: {} }), undefined, 0, raw => got.push(Buffer.from(raw)))
    return got
  }
}

/** Whether a hit begins a refresh: asked twice since it was stored, in the second half of its life, and near its end. */
const refreshes = ({ kind, hits, ttl, refreshing, expiresAt }: Stored, now: number): boolean => {
  const left = (expiresAt - now) / 1000
  if (refreshing || kind === 'failure' || hits < 2 || left > ttl / 2) return false
  // A tenth, a second, or so long that no more than four hits can be expected.
  return left < ttl / 10 || left < 1 || hits * (left / (ttl - left)) < 4
}

/** All values of a job that is done in slices. */
const run = <T>(job: Generator<void, T>): T => {
  for (;;) {
    const step = job.next()
    if (step.done) return step.value
  }
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
      const clamps = {
        minTtl: 0,
        maxTtl: MAX_TTL,
        maxNegativeTtl: MAX_NEGATIVE_TTL,
        serveStale: STALE_S,
      }
      let p = await Plane.create(snapshot(), { clamps })
      let ask = askOf(p)
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
          run(flush(p.cache, name(step.n)))
          model.delete(step.n)
        } else if (step.do === 'restart') {
          const { cache, validity } = p
          const bytes = run(dumpCache({ cache, validity, now, unixMs: UNIX_MS + now }))
          if (step.change) {
            number--
            model.clear()
          }
          p = await Plane.create(snapshot(), { clamps })
          const later = (p.io.time = now + step.ms)
          ask = askOf(p)
          run(
            restoreCache(bytes, {
              cache: p.cache,
              clamps,
              now: () => p.io.time,
              unixMs: UNIX_MS + later,
              epoch: () => p.validity.epoch,
              originOf: () => ({ source: number, zone: 1, staleTtl: staleTtlOf('external') }),
            }),
          )
          for (const [n, had] of model) {
            const storedAt = had.expiresAt - had.ttl * 1000
            // Whole seconds of a clock on the wall.
            const age = seconds(UNIX_MS + later) - seconds(UNIX_MS + storedAt)
            const staleFor = STALE_S - Math.max(0, age - had.ttl)
            if (had.kind === 'failure' || now >= had.staleUntil || staleFor <= 0) model.delete(n)
            else
              model.set(n, {
                ...had,
                // Its life is over, at the latest now, and its age goes on.
                ttl: Math.max(1, Math.min(had.ttl, age)),
                expiresAt: later - (STALE_S - staleFor) * 1000,
                staleUntil: later + staleFor * 1000,
                failures: 0,
                retryAt: 0,
                hits: 0,
                refreshing: false,
              })
          }
        } else {
          const { n, reply, ttl } = step
          const data = `203.0.113.${++address % 250}`
          const had = model.get(n)
          const sent = p.io.sent.length
          const given = ask(name(n))
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
            had !== undefined && had.kind !== 'failure' && !fresh && now < had.staleUntil
          if (fresh) had.hits++
          const prefetches = fresh && refreshes(had, now)
          if (prefetches) had.refreshing = true
          const expectsAsking = prefetches || (!fresh && !(mayBeStale && now < had.retryAt))
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
          else if (prefetches && reply === 'failure') expected = stored(had, false)
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
              ttl: lives,
              expiresAt: now + lives * 1000,
              staleUntil: now + (lives + STALE_S) * 1000,
              failures: reply === 'failure' ? failures : 0,
              retryAt: 0,
              hits: 0,
              refreshing: false,
            }
            // An answer with TTL 0 is passed on but not stored; the previous one stays.
            if (lives > 0) model.set(n, next)
            // Whoever began a refresh has the answer that is still good.
            expected = stored(prefetches ? had : next, false)
          }
          const said = given.map(seen)
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
