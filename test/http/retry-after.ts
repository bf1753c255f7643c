/** Servers that ask to be left alone for a while: what they say, and how long who polls them waits then. */
import t, { type Test } from 'tap'
import { setTimeout as sleep } from 'node:timers/promises'
import { atLeast, Backoff } from '../../src/base/backoff.ts'
import { silent } from '../../src/base/log.ts'
import { Masters } from '../../src/control/masters/masters.ts'
import { afterLook, noMasters } from '../../src/control/masters/schedule.ts'
import { AgentVips } from '../../src/control/vips/agent-source.ts'
import { Http, retryAfterOf } from '../../src/http/client.ts'
import { retryAfterMs } from '../../src/http/retry-after.ts'
import { Itinerary } from '../../src/mesos/api/itinerary.ts'
import { Subscription } from '../../src/mesos/api/subscription.ts'
import { scriptedHttp, status, until } from '../fixture/scripted-http.ts'

const NOW = Date.parse('2026-11-27T10:00:00.250Z')

t.test('what a header says', async t => {
  const rows: [value: string | undefined, expected: number][] = [
    [undefined, 0],
    ['', 0],
    ['0', 0],
    ['1', 1_000],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['007', 7_000],
    ['99999999999999999999', 1e23],
    ['9'.repeat(400), Infinity],
    ['-5', 0],
    ['+5', 0],
    ['1.5', 0],
    ['1e3', 0],
    ['0x10', 0],
    ['5s', 0],
    ['5, 6', 0],
    ['soon', 0],
    ['Infinity', 0],
    // RFC 9110 §5.6.7: the preferred form, and the two obsolete ones.
    ['Fri, 27 Nov 2026 10:00:30 GMT', 29_750],
    ['Friday, 27-Nov-26 10:00:30 GMT', 29_750],
    ['Fri Nov 27 10:00:30 2026', 29_750],
    ['Wed Dec  2 10:00:00 2026', 5 * 86_400_000 - 250],
    // Over, or just now.
    ['Fri, 27 Nov 2026 10:00:00 GMT', 0],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 0],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 0],
    ['Thursday, 27-Nov-75 10:00:00 GMT', Date.parse('2075-11-27T10:00:00Z') - NOW],
    ['Sunday, 27-Nov-77 10:00:00 GMT', 0],
    // What Date.parse takes, and HTTP does not.
    ['2026-11-27T10:00:30Z', 0],
    ['Fri, 27 Nov 2026 10:00:30 +0000', 0],
    ['Fri, 27 Nov 2026 10:00:30', 0],
    ['fri, 27 nov 2026 10:00:30 gmt', 0],
    ['Fri, 27 Xyz 2026 10:00:30 GMT', 0],
    ['Fri, 27 Nov 2026 25:00:30 GMT', 0],
    ['27 Nov 2026', 0],
  ]
  for (const [value, expected] of rows) {
    const headers: Record<string, string> = value === undefined ? {} : { 'retry-after': value }
    for (const code of [429, 503]) t.equal(retryAfterMs(code, headers, NOW), expected, `${value}`)
    for (const code of [200, 301, 401, 500]) t.equal(retryAfterMs(code, headers, NOW), 0)
  }
})

t.test('a wait is no shorter than what was asked for, and no longer than it ever is', async t => {
  const rows: [own: number, asked: number, most: number, random: number, expected: number][] = [
    [2_000, 0, 30_000, 0.5, 2_000],
    [2_000, 1_000, 30_000, 0.5, 2_000],
    [2_000, 10_000, 30_000, 0, 10_000],
    // Not all come back at the same moment.
    [2_000, 10_000, 30_000, 1, 15_000],
    [2_000, 25_000, 30_000, 1, 30_000],
    [2_000, 3_600_000, 30_000, 0, 30_000],
    [2_000, Infinity, 30_000, 0.5, 30_000],
    [40_000, 3_600_000, 30_000, 0, 40_000],
  ]
  for (const [own, asked, most, random, expected] of rows)
    t.equal(atLeast(own, asked, most, random), expected, `${own} ${asked} ${most} ${random}`)
  const backoff = new Backoff({ minMs: 2_000, maxMs: 30_000, random: () => 0 })
  t.same([backoff.next(7_000), backoff.next(), backoff.next(3_600_000)], [7_000, 2_000, 30_000])
})

t.test('masters: after the round in which one of them asked for it', async t => {
  const masters = ['http://192.0.2.1:5050', 'http://192.0.2.2:5050']
  const itinerary = new Itinerary({ masters: () => masters, follow: true, random: () => 0 })
  itinerary.start()
  const waits = [20_000, 0, 0, 0].map(
    askedMs => itinerary.next({ kind: 'failed', reached: true, askedMs }).afterMs,
  )
  t.same(waits, [0, 20_000, 0, 2_000], 'the other one is asked at once, and then it is forgotten')
  itinerary.next({ kind: 'failed', reached: true, askedMs: 20_000 })
  itinerary.next({ kind: 'polled' })
  itinerary.next({ kind: 'failed', reached: true })
  t.equal(itinerary.next({ kind: 'failed', reached: true }).afterMs, 1_000, 'a success forgets it')
  t.equal(itinerary.next({ kind: 'refused', askedMs: 60_000 }).afterMs, 0)
  t.equal(
    itinerary.next({ kind: 'refused', askedMs: 60_000 }).afterMs,
    5_000,
    'a token may be renewed at any moment',
  )
})

t.test('the list of masters', async t => {
  const options = { refreshMs: 120_000, retryMs: 5_000, random: () => 0.5 }
  const next = (askedMs: number): number =>
    afterLook(noMasters, { type: 'failed', why: '', askedMs }, options).nextMs
  t.same([0, 1_000, 20_000, 3_600_000].map(next), [5_000, 5_000, 25_000, 120_000])
})

t.test('an error knows it', async t => {
  const server = await scriptedHttp(t, '127.14.6.1')
  const http = new Http()
  t.teardown(() => http.close())
  server.on('/', status(503, { 'retry-after': '9' }), status(500, { 'retry-after': '9' }))
  const asked = (): Promise<number> => http.getBody(`${server.base}/`).then(() => -1, retryAfterOf)
  t.same([await asked(), await asked()], [9_000, 0])
  t.equal(retryAfterOf(new Error('another one')), 0)
  t.equal(retryAfterOf(undefined), 0)
})

const HOUR_MS = 3_600_000

/** Who polls a server, as often as it may, and waits for an hour at most. */
const POLLERS: Record<string, (t: Test, http: Http, base: string) => void> = {
  'the list of masters': (t, http, base) => {
    const masters = new Masters({
      http,
      from: { source: 'url', url: base, port: 1 },
      stateDir: '',
      log: silent,
      onChange: () => {},
      refreshMs: HOUR_MS,
      retryMs: 1,
      random: () => 0,
    })
    t.teardown(() => masters.close())
    void masters.start()
  },
  'a Mesos agent': (t, http, agent) => {
    const vips = new AgentVips({
      http,
      log: silent,
      agent,
      address: '192.0.2.17',
      nodeIp: () => '',
      ipv6: true,
      onChange: () => {},
      random: () => 0,
      now: () => performance.now(),
      pollMs: 1,
      maxBackoffMs: HOUR_MS,
    })
    t.teardown(() => vips.close())
    vips.start()
  },
  'a Mesos master': (t, http, base) => {
    const subscription = new Subscription({
      http,
      log: silent,
      masters: () => [base],
      follow: true,
      onEvents: () => {},
      random: () => 0,
      now: () => performance.now(),
      minMs: 1,
      maxMs: HOUR_MS,
    })
    t.teardown(() => subscription.close())
    subscription.start()
  },
}

for (const [who, poll] of Object.entries(POLLERS))
  for (const code of [429, 503])
    t.test(`${who}: left alone after ${code}`, async t => {
      const server = await scriptedHttp(t, '127.14.6.1')
      const http = new Http()
      t.teardown(() => http.close())
      // It says nothing first, so that they come again; then it asks for an hour.
      server.on('*', status(code), status(code), status(code, { 'retry-after': '3600' }))
      poll(t, http, server.base)
      await until(() => server.seen.length >= 3)
      await sleep(200)
      t.equal(server.seen.length, 3)
    })
