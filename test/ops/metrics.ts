import { spawnSync } from 'node:child_process'
import t from 'tap'
import type { DataStatus } from '../../src/boundary/messages.ts'
import * as c from '../../src/boundary/counters.ts'
import {
  createMetrics,
  METRICS,
  serverLabel,
  type Family,
  type MetricsSource,
} from '../../src/ops/metrics.ts'
import { LoopLag } from '../../src/ops/loop-lag.ts'
import { readExposition, valueOf } from '../fixture/exposition.ts'

const data: DataStatus = {
  io: 'batch',
  snapshot: 7,
  listening: [
    { address: '127.12.0.1', port: 53, udp: true, tcp: true, error: '' },
    { address: 'fd01:d::c633:6401', port: 53, udp: true, tcp: false, error: 'EADDRNOTAVAIL' },
  ],
  cache: { entries: 0, bytes: 0, maxBytes: 1 },
  inFlight: 0,
  tcpConnections: 0,
  upstreams: [
    {
      slot: 0,
      name: '192.0.2.5:61053',
      state: 'up',
      srttMs: 2,
      failureScore: 0,
      lastFailure: '',
      lastFailureAt: 0,
      lastReplyAt: 1_000_000 - 1_000,
      nextProbeInMs: 0,
    },
    {
      slot: 1,
      name: '192.0.2.6:61053',
      state: 'dead',
      srttMs: 2,
      failureScore: 9,
      lastFailure: 'timeout',
      lastFailureAt: 1_000_000 - 90_000,
      lastReplyAt: 1_000_000 - 1_000,
      nextProbeInMs: 5,
    },
  ],
  zones: [{ apex: 'spartan', names: 2, number: 1, loaded: true }],
  top: [],
}

const made = (over: Partial<MetricsSource> = {}) => {
  const counters = c.countersOver(c.countersMemory())
  const metrics = createMetrics({
    prefix: 'spartan_',
    counters,
    servers: [serverLabel('127.12.0.1', 53), serverLabel('fd01:d::c633:6401', 53)],
    zones: () => ['mesos', 'spartan', '.', 'other'],
    upstreams: () => [
      { slot: 0, name: '192.0.2.5:61053' },
      { slot: 1, name: '192.0.2.6:61053' },
    ],
    version: '0.1.0',
    loopLag: () => ({ last: 4, most: 40 }),
    extra: () => ({
      ready: true,
      degraded: true,
      snapshot: { number: 7, at: 1_700_000_000 },
      masters: { count: 3, at: 1_700_000_000 },
      parts: [],
      needsRestart: 0,
      reloads: 4,
      reloadsFailed: 1,
      selfQueriesFailed: 2,
      data,
    }),
    ...over,
  })
  return { counters, metrics, read: async () => readExposition((await metrics.scrape()).text) }
}

t.test('a scrape waits for others when it has worked a while, not after each metric', async t => {
  /** How often others had their turn while a page was made, where each look at the clock is `ms` after the last. */
  const turns = async (ms: number): Promise<number> => {
    let at = 0
    const { metrics } = made({ now: () => (at += ms) })
    await metrics.prepare()
    let count = 0
    let over = false
    const turn = (): void => {
      count++
      if (!over) setImmediate(turn)
    }
    setImmediate(turn)
    await metrics.scrape()
    over = true
    return count
  }
  t.ok((await turns(0)) <= 2, 'a quick one has done all before others go on')
  const slow = await turns(5)
  t.ok(slow > METRICS.length, `a slow one lets them go on between any two metrics: ${slow}`)
  const between = await turns(1)
  t.ok(between > 2 && between < slow / 2, `and one between these now and then: ${between}`)
})

t.test('METRICS keeps to the naming rules', async t => {
  const names = METRICS.map(m => m.name)
  t.equal(new Set(names).size, names.length, 'no name twice')
  for (const { name, type, labels, help } of METRICS) {
    t.match(name, /^[a-z][a-z0-9_]*$/, `${name} is lower case`)
    t.equal(
      name.endsWith('_total'),
      type === 'counter',
      `${name} ends in _total if it is a counter`,
    )
    if (type === 'histogram') t.match(name, /_(seconds|bytes)$/, `${name} has a base unit`)
    t.notOk(labels.includes('le'), `${name} leaves le alone`)
    t.match(help, /^[A-Z].*[^.]$/, `${name} is explained in a sentence without a full stop`)
  }
})

t.test(
  'a daemon that has counted nothing shows single counters as 0 and no empty products',
  async t => {
    const { read } = made()
    const families = await read()
    t.equal(valueOf(families, 'spartan_queries_dropped_total', { reason: 'runt' }), 0)
    t.equal(families.get('spartan_dns_requests_total')?.samples.length, 0)
    t.equal(families.get('spartan_dns_request_duration_seconds')?.samples.length, 0)
    for (const { name, type, labels } of METRICS) {
      const family = families.get(`spartan_${name}`)
      t.equal(family?.type, type, `${name} is there`)
      for (const sample of family?.samples ?? []) {
        const { le: _, ...rest } = sample.labels
        t.strictSame(
          Object.keys(rest).sort(),
          [...labels].sort(),
          `${name} has the labels it declares`,
        )
      }
    }
  },
)

t.test('every slot of SCALARS and UPSTREAM_SCALARS can be read outside', async t => {
  const { counters, read } = made()
  const keys = Object.keys(c.SCALARS) as c.Scalar[]
  keys.forEach((key, i) => (counters[c.SLOT[key]] = 100_000 - i ** 2))
  const upstreamKeys = Object.keys(c.UPSTREAM_SCALARS) as c.UpstreamScalar[]
  upstreamKeys.forEach(
    (key, i) => (counters[c.BLOCK.upstream + c.UPSTREAM_SLOT[key]] = 50_000 * 2 ** i),
  )
  const families = await read()
  const values = new Set([...families.values()].flatMap(f => f.samples.map(s => s.value)))
  for (const key of keys) {
    const value = counters[c.SLOT[key]]!
    const shown = key === 'cacheEntries' ? value - counters[c.SLOT.cacheEntriesDenial]! : value
    t.ok(values.has(shown), `${key} is shown`)
  }
  const { timeouts, unreachable } = c.UPSTREAM_SLOT
  for (const key of upstreamKeys)
    t.ok(values.has(50_000 * 2 ** c.UPSTREAM_SLOT[key]), `${key} is shown`)
  t.equal(
    valueOf(families, 'spartan_forward_healthcheck_failures_total', { to: '192.0.2.5:61053' }),
    50_000 * (2 ** timeouts + 2 ** unreachable),
  )
})

t.test('a counted query is found under its listener, zone, protocol, family and type', async t => {
  const { counters, read } = made()
  const zone = 1 * c.ZONES + 0 // second listener, zone mesos
  const types = c.TYPE_LABELS.length
  counters[c.BLOCK.requests + ((zone * 2 + 1) * 2 + 1) * types + c.typeIndex(28)] = 3 // TCP, IPv6, AAAA
  counters[c.BLOCK.responses + zone * c.RCODE_LABELS.length + c.rcodeIndex(3)] = 2
  counters[c.BLOCK.lookups + zone] = 9
  counters[c.BLOCK.hits + zone * 2 + 1] = 4
  c.countTime(counters, c.BLOCK.duration + zone * c.TIME_CELLS, 0.0003, 5)
  c.countTime(counters, c.BLOCK.duration + zone * c.TIME_CELLS, 60)
  c.countSize(counters, c.BLOCK.responseSize + (zone * 2 + 1) * c.SIZE_CELLS, 600)
  counters[c.BLOCK.upstreamRcode + c.RCODE_LABELS.length + 2] = 6 // SERVFAIL of the second upstream
  c.countTime(counters, c.BLOCK.upstreamDuration + c.TIME_CELLS, 0.002)
  const families = await read()
  const at = { server: 'dns://[fd01:d::c633:6401]:53', zone: 'mesos', view: '' }
  const cache = { server: at.server, zones: 'mesos', view: '' }
  const value = (name: string, labels: Record<string, string>) =>
    valueOf(families, `spartan_${name}`, labels)
  t.equal(value('dns_requests_total', { ...at, proto: 'tcp', family: '2', type: 'AAAA' }), 3)
  t.equal(value('dns_responses_total', { ...at, rcode: 'NXDOMAIN', plugin: '' }), 2)
  t.equal(value('cache_requests_total', cache), 9)
  t.equal(value('cache_hits_total', { ...cache, type: 'denial' }), 4)
  t.equal(value('cache_misses_total', cache), 5)
  t.equal(value('dns_request_duration_seconds_bucket', { ...at, le: '0.00025' }), 0)
  t.equal(value('dns_request_duration_seconds_bucket', { ...at, le: '0.0005' }), 5)
  t.equal(value('dns_request_duration_seconds_bucket', { ...at, le: '8.192' }), 5)
  t.equal(value('dns_request_duration_seconds_count', at), 6)
  t.equal(value('dns_request_duration_seconds_sum', at), 5 * 0.0003 + 60)
  t.equal(value('dns_response_size_bytes_bucket', { ...at, proto: 'tcp', le: '511' }), 0)
  t.equal(value('dns_response_size_bytes_bucket', { ...at, proto: 'tcp', le: '1023' }), 1)
  t.equal(value('forward_responses_total', { to: '192.0.2.6:61053', rcode: 'SERVFAIL' }), 6)
  for (const name of ['forward', 'proxy']) {
    t.equal(
      value(`${name}_request_duration_seconds_count`, { to: '192.0.2.6:61053', rcode: '' }),
      1,
    )
  }
})

t.test('readings of the main thread are shown, and what it does not know is left out', async t => {
  const families = await made().read()
  const value = (name: string, labels = {}) => valueOf(families, `spartan_${name}`, labels)
  t.equal(value('build_info', { version: '0.1.0', goversion: process.version }), 1)
  t.equal(value('ready'), 1)
  t.equal(value('degraded'), 1)
  t.equal(value('snapshot_number'), 7)
  t.equal(value('masters'), 3)
  t.equal(value('reloads_total'), 4)
  t.equal(value('reload_failed_total'), 1)
  t.equal(value('health_request_failures_total'), 2)
  t.equal(value('io_body_info', { body: 'batch' }), 1)
  t.equal(value('listener_up', { server: 'dns://[fd01:d::c633:6401]:53', proto: 'tcp' }), 0)
  t.equal(value('upstream_up', { to: '192.0.2.6:61053' }), 0)
  t.equal(value('upstream_rtt_seconds', { to: '192.0.2.5:61053' }), 0.002)
  t.equal(value('zone_names', { zone: 'spartan' }), 2)
  const extra = () => ({
    ready: false,
    parts: [],
    needsRestart: 0,
    reloads: 0,
    reloadsFailed: 0,
    selfQueriesFailed: 0,
  })
  const bare = await made({ extra }).read()
  t.equal(valueOf(bare, 'spartan_ready'), 0)
  t.equal(valueOf(bare, 'spartan_degraded'), undefined)
  t.equal(valueOf(bare, 'spartan_snapshot_number'), undefined)
  t.equal(valueOf(bare, 'spartan_io_body_info'), undefined)
})

t.test('prefix goes before our names only', async t => {
  const { read } = made({ prefix: 'coredns_' })
  const families = await read()
  t.ok(families.has('coredns_dns_requests_total'))
  t.ok(families.has('process_resident_memory_bytes'))
  t.ok(families.has('process_cpu_seconds_total'))
  t.ok([...families.keys()].every(name => /^(coredns|process|nodejs)_/.test(name)))
})

t.test('two slots of one upstream are one series', async t => {
  const upstreams = [0, 5].map(slot => ({ slot, name: '192.0.2.5:61053' }))
  const twice = { ...data, upstreams: data.upstreams.map(u => ({ ...u, name: 'same' })) }
  const { counters, read } = made({
    upstreams: () => [...upstreams, { slot: 99, name: 'beyond' }],
    extra: () => ({
      ready: true,
      parts: [],
      needsRestart: 0,
      reloads: 0,
      reloadsFailed: 0,
      selfQueriesFailed: 0,
      data: twice,
    }),
  })
  counters[c.BLOCK.upstream] = 2
  counters[c.BLOCK.upstream + 5 * c.UPSTREAM_ROW] = 3
  c.countTime(counters, c.BLOCK.upstreamDuration, 0.002)
  c.countTime(counters, c.BLOCK.upstreamDuration + 5 * c.TIME_CELLS, 0.004)
  const families = await read()
  const of = { to: '192.0.2.5:61053' }
  t.equal(valueOf(families, 'spartan_forward_requests_total', of), 5)
  t.equal(valueOf(families, 'spartan_forward_request_duration_seconds_count', of), 2)
  t.equal(valueOf(families, 'spartan_forward_request_duration_seconds_sum', of), 0.006)
  t.equal(valueOf(families, 'spartan_upstream_up', { to: 'same' }), 1)
  t.equal(valueOf(families, 'spartan_forward_requests_total', { to: 'beyond' }), undefined)
})

t.test('cache_misses_total never steps back', async t => {
  const { counters, read } = made()
  counters[c.BLOCK.lookups] = 10
  counters[c.BLOCK.hits] = 4
  t.equal(valueOf(await read(), 'spartan_cache_misses_total'), 6)
  counters[c.BLOCK.hits] = 7 // the state between the two additions of a hit
  t.equal(valueOf(await read(), 'spartan_cache_misses_total'), 6)
  counters[c.BLOCK.lookups] = 20
  t.equal(valueOf(await read(), 'spartan_cache_misses_total'), 13)
})

t.test('register adds families of another part, capped in series', async t => {
  const { metrics, read } = made()
  type Gossip = { readonly members: Readonly<Record<string, number>>; readonly lag: Float64Array }
  const families: Family<Gossip>[] = [
    {
      name: 'gossip_members',
      type: 'gauge',
      labels: ['state'],
      help: 'Members by state',
      read: (from, put) => Object.entries(from.members).forEach(([state, n]) => put(n, state)),
    },
    {
      name: 'gossip_lag_seconds',
      type: 'histogram',
      bounds: [0.1, 1],
      labels: [],
      help: 'Age of news on arrival',
      read: (from, put) => put(from.lag, 0),
    },
    {
      name: 'gossip_names',
      type: 'gauge',
      labels: ['name'],
      help: 'A label that somebody else makes up: "quoted", \\ and\nbroken',
      read: (_, put) => {
        for (let i = 0; i < 20_000; i++)
          put(1, i === 0 ? 'a "quoted" \\ and\nbroken name' : `n${i}`)
      },
    },
  ]
  metrics.register(families, { members: { alive: 3, dead: 1 }, lag: Float64Array.of(2, 1, 1, 4.5) })
  const got = await read()
  t.equal(valueOf(got, 'spartan_gossip_members', { state: 'alive' }), 3)
  t.equal(valueOf(got, 'spartan_gossip_lag_seconds_count'), 4)
  t.equal(valueOf(got, 'spartan_gossip_lag_seconds_bucket', { le: '0.1' }), 2)
  t.equal(valueOf(got, 'spartan_gossip_lag_seconds_sum'), 4.5)
  t.equal(valueOf(got, 'spartan_gossip_names', { name: 'a "quoted" \\ and\nbroken name' }), 1)
  t.equal(got.get('spartan_gossip_names')?.samples.length, 16_384 + 1)
  t.equal(valueOf(got, 'spartan_gossip_names', { name: 'other' }), 20_000 - 16_384)
})

t.test('a name is registered once, and before it is shown', async t => {
  const { metrics } = made()
  const family = {
    name: 'made_up',
    type: 'gauge',
    labels: [],
    help: 'Made up',
    read: (n: number, put: (value: number) => void) => put(n),
  } as const
  metrics.register([family], 7)
  t.throws(() => metrics.register([family], 8), { code: 'EUSAGE' })
  await metrics.prepare()
  t.throws(() => metrics.register([{ ...family, name: 'late' }], 9), { code: 'ESTATE' })
  const { text } = await metrics.scrape()
  t.match(text, /^spartan_made_up 7$/m)
  t.notMatch(text, /late/)
})

t.test('a scrape with every slot taken is bounded', async t => {
  const { counters, metrics } = made({
    servers: Array.from({ length: 20 }, (_, i) => serverLabel(`127.12.0.${i}`, 53)),
    zones: () => Array.from({ length: 40 }, (_, i) => `zone-number-${i}.example.org`),
    upstreams: () =>
      Array.from({ length: 70 }, (_, slot) => ({ slot, name: `192.0.2.${slot}:61053` })),
  })
  counters.fill(2 ** 40)
  const before = performance.now()
  const texts = await Promise.all([metrics.scrape(), metrics.scrape()])
  const took = performance.now() - before
  t.equal(texts[0].text, texts[1].text, 'overlapping scrapes share one')
  const families = readExposition(texts[0].text)
  const samples = [...families.values()].reduce((n, f) => n + f.samples.length, 0)
  t.comment(
    `${samples} series, ${(texts[0].text.length / 1e6).toFixed(1)} MB, ${took.toFixed(0)} ms`,
  )
  t.ok(samples < 50_000)
  t.ok(texts[0].text.length < 8e6)
})

const noPromtool = spawnSync('promtool', ['--version']).error !== undefined
t.test(
  'promtool finds nothing to complain of',
  { skip: noPromtool && 'SKIPPED: promtool is not installed' },
  async t => {
    const { counters, metrics } = made()
    counters.fill(3)
    const { stderr } = spawnSync('promtool', ['check', 'metrics'], {
      input: (await metrics.scrape()).text,
    })
    // Three of prom-client's gauges end in _total; dashboards use these names.
    const rest = stderr
      .toString()
      .split('\n')
      .filter(line => line && !line.startsWith('nodejs_active_'))
    t.strictSame(rest, [])
  },
)

t.test('the lag of the event loop is what our own timer says, and wakes nobody', async t => {
  const { text } = await made().metrics.scrape()
  t.match(text, /^nodejs_eventloop_lag_seconds 0.004$/m)
  t.match(text, /^nodejs_eventloop_lag_max_seconds 0.04$/m)
  t.notMatch(text, /eventloop_lag_(min|mean|stddev|p\d+)/, 'a histogram wakes up for every sample')
  const lag = new LoopLag()
  lag.fired(7_000)
  for (const [due, fired] of [
    [1_000, 1_003],
    [2_003, 2_053],
    [7_053, 7_054],
  ] as const) {
    lag.begin(due)
    lag.fired(fired)
  }
  t.strictSame(lag.take(), { last: 1, most: 50 })
  t.strictSame(lag.take(), { last: 1, most: 1 }, 'the longest since it was last asked')
})
