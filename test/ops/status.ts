import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { DataStatus } from '../../src/boundary/messages.ts'
import * as c from '../../src/boundary/counters.ts'
import { silent } from '../../src/base/log.ts'
import { AdminServer } from '../../src/ops/admin.ts'
import {
  DATA_SILENT_MS,
  judge,
  MASTERS_OLD_MS,
  type HealthInput,
} from '../../src/boundary/health.ts'
import { html } from '../../src/ops/page/html.ts'
import { opsRoutes } from '../../src/ops/ops-routes.ts'
import { Events, quantile, Recent } from '../../src/ops/recent.ts'
import { PAGE_POLICY, statusPage } from '../../src/ops/page/page.ts'
import { gatherStatus, type Status, type StatusSources } from '../../src/ops/status.ts'
import { AT, status, troubled } from '../fixture/status.ts'

const listen = [
  { address: '127.12.2.1', port: 53 },
  { address: '::1', port: 5353 },
]
const data: DataStatus = {
  io: 'batch',
  snapshot: 3,
  listening: listen.map(at => ({ ...at, udp: true, tcp: true, error: '' })),
  cache: { entries: 10, bytes: 2_000, maxBytes: 4_000 },
  inFlight: 1,
  tcpConnections: 2,
  upstreams: [
    {
      slot: 0,
      name: '192.0.2.5:61053',
      state: 'up',
      srttMs: 1,
      failureScore: 0,
      lastFailure: '',
      lastFailureAt: 0,
      lastReplyAt: 1_000_000 - 1_000,
      nextProbeInMs: 0,
    },
  ],
  zones: [{ apex: 'spartan', names: 2, number: 1, loaded: true }],
  top: [{ name: 'leader.mesos', type: 'A', count: 4 }],
}
const well: HealthInput = {
  listen,
  data,
  silence: 20,
  selfQueries: listen.map(at => ({ ...at, ok: true, error: '' })),
  stopping: false,
  reloadError: '',
  masters: { count: 3, age: 1_000, error: '' },
  notes: [],
}

t.test('judge says what is wrong and how much it matters', async t => {
  const [first, second] = data.listening
  // prettier-ignore
  const rows: [string, Partial<HealthInput>, 'well' | 'degraded' | 'not ready' | 'dead', [string, RegExp][]][] = [
    ['nothing', {}, 'well', []],
    ['no data thread yet', { data: undefined }, 'not ready', [
      ['data thread', /has not started/], ['127.12.2.1:53', /not bound yet/], ['[::1]:5353', /not bound yet/],
    ]],
    ['a silent data thread', { silence: DATA_SILENT_MS + 1 }, 'dead', [['data thread', /silent for 10 s/]]],
    ['stopping', { stopping: true }, 'not ready', [['daemon', /is stopping/]]],
    ['an address that cannot be bound', { data: { ...data, listening: [first!, { ...second!, udp: false, tcp: false, error: 'EADDRNOTAVAIL' }] } },
      'not ready', [['[::1]:5353', /^not bound: EADDRNOTAVAIL$/]]],
    ['TCP missing', { data: { ...data, listening: [first!, { ...second!, tcp: false, error: 'EADDRINUSE' }] } },
      'not ready', [['[::1]:5353', /^no TCP: EADDRINUSE$/]]],
    ['UDP missing, no reason', { data: { ...data, listening: [first!, { ...second!, udp: false }] } }, 'not ready', [['[::1]:5353', /^no UDP$/]]],
    ['an address not asked yet', { selfQueries: well.selfQueries.slice(0, 1) }, 'not ready', [['[::1]:5353', /has not answered a query yet/]]],
    ['an address that does not answer', { selfQueries: [well.selfQueries[0]!, { ...listen[1]!, ok: false, error: 'timeout' }] },
      'not ready', [['[::1]:5353', /does not answer: timeout/]]],
    ['a refused reload', { reloadError: 'line 3: unknown key' }, 'degraded', [['configuration', /reload refused: line 3/]]],
    ['no masters', { masters: { count: 0, age: 0, error: '' } }, 'degraded', [['masters', /none known/]]],
    ['no masters, and why', { masters: { count: 0, age: 0, error: 'ENOENT' } }, 'degraded', [['masters', /ENOENT/]]],
    ['an old list of masters', { masters: { count: 3, age: MASTERS_OLD_MS + 60_000, error: '503' } }, 'degraded', [['masters', /7 min old: 503/]]],
    ['an old list, read without failure', { masters: { count: 3, age: 10 * MASTERS_OLD_MS, error: '' } }, 'well', []],
    ['a failed look at the masters', { masters: { count: 3, age: 1_000, error: '503' } }, 'well', []],
    ['no master source at all', { masters: undefined }, 'well', []],
    ['a dead upstream', { data: { ...data, upstreams: [{ ...data.upstreams[0]!, state: 'dead' }] } }, 'degraded', [['192.0.2.5:61053', /does not answer: no reply/]]],
    ['a zone without data', { data: { ...data, zones: [{ ...data.zones[0]!, loaded: false }] } }, 'degraded', [['spartan', /not arrived/]]],
    ['a note of another part', { notes: [{ name: 'gossip', detail: 'no key' }] }, 'degraded', [['gossip', /no key/]]],
  ]
  for (const [what, over, verdict, reasons] of rows) {
    const { live, ready, degraded, notReady, trouble } = judge({ ...well, ...over })
    t.equal(!live ? 'dead' : !ready ? 'not ready' : degraded ? 'degraded' : 'well', verdict, what)
    t.match(
      trouble.map(r => [r.name, r.detail]),
      reasons,
      `${what}: reasons`,
    )
    t.equal(trouble.length, reasons.length, `${what}: no other reason`)
    if (verdict === 'not ready') t.strictSame(trouble, notReady, what)
  }
})

t.test('quantile reads a histogram as Prometheus does', async t => {
  const durations = (...cells: [number, number][]): number[] => {
    const all = Array.from({ length: c.TIME_CELLS - 1 }, () => 0)
    for (const [i, n] of cells) all[i] = n
    return all
  }
  t.equal(quantile(durations(), 0.5), undefined)
  t.equal(quantile(durations([0, 10]), 0.5), 0.000125, 'half way into the first bucket')
  t.equal(quantile(durations([0, 50], [1, 50]), 0.5), 0.00025)
  t.equal(quantile(durations([0, 50], [1, 50]), 0.75), 0.000375)
  t.equal(quantile(durations([0, 98], [16, 2]), 0.99), Infinity, 'beyond the last bound')
  t.equal(quantile(durations([3, 1]), 1), 0.002)
})

t.test('Recent speaks of the last minute only', async t => {
  const counters = c.countersOver(c.countersMemory())
  const zone = c.ZONES + 2
  const count = (queries: number): void => {
    counters[c.BLOCK.requests + zone * 48]! += queries
    counters[c.BLOCK.lookups + zone]! += queries
    counters[c.BLOCK.hits + zone * 2 + 1]! += queries * 0.75
    counters[c.BLOCK.responses + zone * c.RCODE_LABELS.length]! += queries - 1
    counters[c.BLOCK.responses + zone * c.RCODE_LABELS.length + 2]! += 1
    c.countTime(counters, c.BLOCK.duration + zone * c.TIME_CELLS, 0.0001, queries)
  }
  count(1_000_000)
  const recent = new Recent(counters, 0)
  t.match(recent.rates(0), { qps: 0, hitRatio: undefined, p50: undefined, rcodes: {} })
  t.strictSame(recent.qps(), [])
  for (let now = 5_000; now <= 700_000; now += 5_000) {
    count(now > 640_000 ? 50 : 1_000)
    recent.sample(now)
  }
  const rates = recent.rates(700_000)
  t.match(rates, {
    seconds: 60,
    qps: 10,
    hitRatio: 0.75,
    p50: 0.000125,
    rcodes: { NOERROR: 588, SERVFAIL: 12 },
  })
  t.strictSame(Object.keys(rates.rcodes), ['NOERROR', 'SERVFAIL'])
  const history = recent.qps()
  t.equal(history.length, 120)
  t.strictSame([history[0], history.at(-1)], [200, 10])
  t.equal(recent.rates(900_000).seconds, 200, 'after a pause, since the last sample')
  const columns = recent.history(1_000_000_000, 700_000, [])
  t.strictSame([columns.at[0], columns.at.at(-1)], [999_405, 1_000_000])
  t.match(columns, { hits: { 119: 7.5 }, misses: { 119: 2.5 }, hitRatio: { 119: 0.75 } })
  t.match(columns, { errors: { SERVFAIL: { 119: 0.2 } }, p50: { 119: 0.000125 }, wins: {} })
  t.strictSame(Object.keys(columns.errors), ['SERVFAIL'])
  for (const column of [
    columns.hits,
    columns.queries,
    columns.p99,
    ...Object.values(columns.errors),
  ])
    t.equal(column.length, columns.at.length)
})

t.test("Recent leaves the daemon's own queries out", async t => {
  const counters = c.countersOver(c.countersMemory())
  const own = 3
  const recent = new Recent(counters, 0, { cells: () => ({ servers: 3, zones: own + 2, own }) })
  for (const [zone, n] of [
    [own, 1_000],
    [own + 1, 60],
  ] as const) {
    for (const server of [0, 2]) {
      const at = server * c.ZONES + zone
      counters[c.BLOCK.requests + at * 48]! += n
      counters[c.BLOCK.lookups + at]! += n
      counters[c.BLOCK.responses + at * c.RCODE_LABELS.length + 2]! += n
      c.countTime(counters, c.BLOCK.duration + at * c.TIME_CELLS, 4, n)
    }
  }
  t.match(recent.rates(60_000), { qps: 2, hitRatio: 0, rcodes: { SERVFAIL: 120 } })
})

t.test('Recent counts all zones that there ever were, and no others', async t => {
  const counters = c.countersOver(c.countersMemory())
  let zones = 2
  const recent = new Recent(counters, 0, { cells: () => ({ servers: 2, zones, own: -1 }) })
  const count = (server: number, zone: number): void => {
    counters[c.BLOCK.lookups + server * c.ZONES + zone]! += 60
    counters[c.BLOCK.requests + (server * c.ZONES + zone) * 48]! += 60
  }
  for (const [server, zone] of [
    [0, 0],
    [1, 1],
    [1, 2],
    [2, 0],
  ] as const)
    count(server, zone)
  t.equal(recent.rates(60_000).qps, 2, 'of two listeners and two zones')
  recent.sample(60_000)
  zones = 1
  t.equal(recent.rates(120_000).qps, 0, 'a zone that is gone takes nothing back')
  zones = 3
  t.equal(recent.rates(120_000).qps, 1, 'one that is new brings what it has')
  zones = c.ZONES + 1
  t.equal(recent.rates(120_000).qps, 1, 'labels beyond the last row lead into no other listener')
})

t.test('Events keeps the last hundred changes and counts repetitions', async t => {
  const events = new Events()
  for (let i = 0; i < 150; i++) events.add(i, 'info', `change ${i}`)
  for (let i = 0; i < 3; i++) events.add(1_000 + i, 'warn', 'flapping')
  events.add(2_000, 'error', 'x'.repeat(1_000))
  const list = events.list()
  t.equal(list.length, 100)
  t.equal(list[0]?.text.length, 300)
  t.match(list[1], { at: 1_002, text: 'flapping', count: 3 })
  t.match(list[2], { text: 'change 149', count: 1 })
})

const sources = (over: Partial<StatusSources> = {}): StatusSources => ({
  node: 'agent-17',
  version: '0.1.0',
  startedAt: AT - 61_000,
  data: async () => data,
  health: seen => judge({ ...well, data: seen }),
  config: () => ({ file: 'spartan.yaml', loadedAt: AT, error: '', needsRestart: [] }),
  parts: () => [],
  snapshot: () => ({ number: 3, at: AT }),
  listen: () =>
    [...listen, { address: '127.12.2.9', port: 53 }].map(at => ({
      ...at,
      inherited: false,
      answers: true,
    })),
  masters: () => undefined,
  routes: () => [{ zone: '', kind: 'forward', to: ['203.0.113.1:53'] }],
  zones: () => [{ apex: 'l4lb.thisdcos.directory', at: AT, source: 'gossip' }],
  gossip: () => undefined,
  mesos: () => undefined,
  vips: () => undefined,
  recent: new Recent(c.countersOver(c.countersMemory()), 0),
  events: new Events(),
  ...over,
})

t.test('gatherStatus joins what the parts say', async t => {
  const got = await gatherStatus(sources(), AT, 5_000)
  t.match(got, {
    uptimeSeconds: 61,
    io: 'batch',
    cache: data.cache,
    inFlight: 1,
    health: { ready: true },
  })
  t.match(got.listening, [
    { address: '127.12.2.1', udp: true, tcp: true, error: '' },
    { address: '::1', udp: true },
    { address: '127.12.2.9', udp: false, error: 'not bound yet' },
  ])
  t.match(got.zones, [
    { apex: 'l4lb.thisdcos.directory', names: 0, loaded: false, source: 'gossip' },
    { apex: 'spartan', names: 2, loaded: true, source: '' },
  ])
  const silentThread = await gatherStatus(sources({ data: async () => undefined }), AT, 5_000)
  t.match(silentThread, { io: '', upstreams: [], health: { ready: false }, cache: { entries: 0 } })
  t.ok(statusPage(silentThread).includes('<h1>Not answering'))
})

t.test('html escapes whatever is not markup', async t => {
  const hostile = `<b a="1" b='2'>&`
  t.equal(
    html`<i title="${hostile}">${hostile}</i>`.text,
    '<i title="&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;">&lt;b a=&quot;1&quot; b=&#39;2&#39;&gt;&amp;</i>',
  )
  t.equal(html`${[1, html`<br />`, [undefined, false, '']]}`.text, '1<br />')
})

t.test('the page answers from the top', async t => {
  const good = statusPage(status())
  t.match(good, /<h1>Answering on all 3 addresses<\/h1>/)
  t.match(good, /<title>ok · agent-17 · spartan<\/title>/)
  t.ok(good.indexOf('Is it answering?') < good.indexOf('From whom did it learn?'))
  t.ok(good.indexOf('From whom did it learn?') < good.indexOf('What has gone wrong lately?'))
  t.match(good, /94\.3 <small>%/)
  t.match(good, /&lt; 0\.1 %/, 'what happened at all is never 0')
  const bad = statusPage(troubled())
  t.match(bad, /<h1>Answering on 2 of 3 addresses<\/h1>/)
  t.match(bad, /198\.51\.100\.3:53<\/span> not bound: EADDRNOTAVAIL/)
  t.match(bad, /kept from an earlier run/)
  t.match(bad, /not encrypted/)
  t.match(bad, /&gt; 8 s/)
  const hung = status({ health: judge({ ...well, silence: 60_000 }) })
  t.match(statusPage(hung), /<h1>Not answering: the data thread hangs<\/h1>/)
  const degraded = status({ health: judge({ ...well, reloadError: 'line 1' }) })
  t.match(statusPage(degraded), /<h1>Answering on all 3 addresses, with 1 thing to look at<\/h1>/)
})

t.test(
  'the page is well-formed, loads only what the daemon serves, and runs nothing inline',
  async t => {
    for (const page of [statusPage(status()), statusPage(troubled())]) {
      const body = page.replace(/<style>[\s\S]*?<\/style>/, '')
      t.notMatch(body, /<img|javascript:|\son[a-z]+=|style=/i)
      for (const [tag, where = ''] of body.matchAll(
        /<(?:script|link)[^>]*?(?:src|href)="([^"]*)"[^>]*>/g,
      ))
        t.match(where, /^\/page\/[a-z]+\.(?:js|css)$/, tag)
      t.notMatch(body, /<script(?![^>]*\ssrc=)/, 'no script in the page itself')
      t.notMatch(body, /undefined|NaN|\[object|Infinity/)
      const open: string[] = []
      for (const [, end, name = '', self] of body.matchAll(
        /<(\/?)([a-z0-9]+)(?:\s[^<>]*?)?(\/?)>/g,
      )) {
        if (['meta', 'br', 'link', 'input'].includes(name) || self) continue
        if (end) t.equal(open.pop(), name, `</${name}> closes what was opened`)
        else open.push(name)
      }
      t.strictSame(open, [])
    }
  },
)

t.test('no text from outside becomes markup', async t => {
  const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>`
  const keep = new Set(['state', 'kind', 'level'])
  const poisoned = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string') return keep.has(key) ? value : hostile
    if (Array.isArray(value)) return value.map(v => poisoned(v))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([k, v]) => [key === 'rcodes' ? hostile : k, poisoned(v, k)]),
    )
  }
  const page = statusPage(poisoned(troubled()) as Status)
  t.notMatch(page, /<script>|<img/)
  t.ok(page.split('&lt;script&gt;').length > 40, 'and yet it is shown')
})

t.test('long lists are cut on the page', async t => {
  const zones = Array.from({ length: 500 }, (_, i) => ({
    apex: `z${i}.example.org`,
    names: 1,
    loaded: true,
    at: 0,
    source: 'files',
  }))
  const page = statusPage(status({ zones }))
  t.match(page, /and 460 more in <a href="\/v1\/status">/)
  t.ok(page.length < 60_000)
})

t.test('the five paths answer over HTTP', async t => {
  let input = well
  const admin = new AdminServer({
    log: silent,
    routes: opsRoutes({
      metrics: {
        scrape: async () => ({
          text: 'a 1\n',
          contentType: 'text/plain; version=0.0.4; charset=utf-8',
        }),
      },
      health: async () => judge(input),
      status: () => gatherStatus(sources(), AT, 5_000),
      history: () => sources().recent.history(AT, 5_000, []),
    }),
  })
  t.teardown(() => admin.close())
  const where = await admin.listen({ address: '127.12.2.1', port: 0 })
  const get = (path: string) =>
    new Promise<{ status: number; body: string; headers: Record<string, unknown> }>(
      (resolve, reject) => {
        request(
          { host: '127.12.2.1', port: 'port' in where ? where.port : 0, path, agent: false },
          res => {
            let body = ''
            res.on('data', part => (body += String(part)))
            res.on('end', () =>
              resolve({ status: res.statusCode ?? 0, body, headers: res.headers }),
            )
          },
        )
          .on('error', reject)
          .end()
      },
    )
  t.match(await get('/metrics'), {
    status: 200,
    body: 'a 1\n',
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' },
  })
  t.match(await get('/healthz'), { status: 200, body: 'ok\n' })
  t.match(await get('/readyz'), { status: 200, body: 'ok\n' })
  const json = JSON.parse((await get('/v1/status')).body) as Status
  t.match(json, { node: 'agent-17', health: { ready: true }, lastMinute: { qps: 0 } })
  const page = await get('/')
  t.match(page, {
    status: 200,
    headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': PAGE_POLICY },
  })
  t.match(page.body, /^<!doctype html>/)
  input = { ...well, silence: 60_000, stopping: true }
  t.match(await get('/healthz'), { status: 503, body: 'data thread: silent for 60 s\n' })
  t.match(await get('/readyz'), {
    status: 503,
    body: 'data thread: silent for 60 s\ndaemon: is stopping\n',
  })
})

const executablePath = '/usr/bin/chromium'
const skip = !existsSync(executablePath) && 'SKIPPED: chromium is not installed'
t.test('a browser shows the page at every width without scrolling sideways', { skip }, async t => {
  const { chromium } = await import('playwright-core')
  const dir = mkdtempSync(join(tmpdir(), 'page-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const quiet = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ]
  const context = await chromium.launchPersistentContext(dir, {
    executablePath,
    chromiumSandbox: false,
    // page.ts tests the scripts; this tests the page without them.
    javaScriptEnabled: false,
    args: quiet,
  })
  t.teardown(() => context.close())
  const page = await context.newPage()
  await page.route('http://page.test/page/*', route => route.fulfill({ body: '' }))
  const said: string[] = []
  page.on('console', message => said.push(message.text()))
  page.on(
    'request',
    req => void (req.url().startsWith('http://page.test/') || said.push(req.url())),
  )
  for (const [name, shown] of [
    ['good', status()],
    ['troubled', troubled()],
  ] as const) {
    await page.route('http://page.test/', route =>
      route.fulfill({
        body: statusPage(shown),
        contentType: 'text/html; charset=utf-8',
        headers: { 'content-security-policy': PAGE_POLICY },
      }),
    )
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      for (const width of [360, 800, 1180]) {
        await page.setViewportSize({ width, height: 900 })
        await page.goto('http://page.test/')
        const beyond = await page.evaluate('document.documentElement.scrollWidth - innerWidth')
        t.ok(Number(beyond) <= 0, `${name}, ${colorScheme}, ${width} pixels`)
      }
    }
    await page.unroute('http://page.test/')
  }
  t.strictSame(said, [], 'no complaint, no other request')
})
