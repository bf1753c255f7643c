import t from 'tap'
import type { ZoneMap } from '../../../src/boundary/zone.ts'
import { AnswerChoice } from '../../../src/control/vips/answer-choice.ts'
import { Balancing } from '../../../src/control/vips/balancing.ts'
import { localKey, VipFeed, type FeedTable } from '../../../src/control/vips/feed.ts'
import { hasIpvsService, hasRoute } from '../../../src/control/vips/host-balancers.ts'
import { ProgrammedNames } from '../../../src/control/vips/programmed-names.ts'
import type { ShownVip } from '../../../src/vip/table.ts'
import { DEFAULT_RANGE_V4, DEFAULT_RANGE_V6 } from '../../../src/vip/hash/vip-address.ts'
import { readAck, SYNC_BOUNDS, type BalanceReport } from '../../../src/vip/feed.ts'

const vip = (name: string, ...ips: string[]): ShownVip => ({
  protocol: 'tcp',
  name: `${name}.marathon`,
  ip: '',
  port: 80,
  v4: true,
  v6: false,
  address4: `11.0.0.${name.length}`,
  address6: '',
  backends: ips.map(ip => ({ ip, port: 8080, weight: 1 })),
})

const table = (vips: ShownVip[], more: Partial<FeedTable> = {}): FeedTable => ({
  vips,
  local: new Map(),
  loaded: true,
  own4: '192.0.2.1',
  own6: '',
  ...more,
})

const REPORT: BalanceReport = {
  engine: 'nftables',
  vips: 1,
  backends: 1,
  slots: 1,
  rejecting: 0,
  capped: 0,
  syncs: 1,
  replaced: 1,
  failures: 0,
  mended: 0,
  forgotten: 0,
  durations: new Array<number>(SYNC_BOUNDS.length + 2).fill(0),
  trouble: '',
  notes: [],
  connections: { '11.0.0.1 . tcp . 80': 3 },
}

/** A reader of the stream: each call of `next` returns the lines up to the next version. */
const reader = (feed: VipFeed, since = '') => {
  const gone = new AbortController()
  const lines = feed.lines(since, gone.signal)
  let session = ''
  const next = async (): Promise<{ said: string[]; version: string }> => {
    const said: string[] = []
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error('the stream ended')
      for (const text of value.trim().split('\n')) {
        const line = JSON.parse(text) as Record<string, unknown>
        if (typeof line['session'] === 'string') session = line['session']
        else if ('set' in line) said.push(`+${(line['set'] as { key: string }).key}`)
        else if ('drop' in line) said.push(`-${String(line['drop'])}`)
        else if ('reset' in line) said.push('reset')
        else if (typeof line['version'] === 'string')
          return { said, version: `${line['version']}${line['loaded'] ? '' : ' (partly)'}` }
      }
    }
  }
  return {
    next,
    session: () => session,
    leave: async () => {
      gone.abort()
      await lines.return(undefined)
    },
  }
}

t.test('a stream says the whole table, then what changes, and goes on where it broke', async t => {
  const feed = new VipFeed()
  const [a, b] = [vip('a', '192.0.2.5'), vip('bb', '192.0.2.6')]
  feed.offer(table([a, b], { loaded: false }))
  const one = reader(feed)
  const first = await one.next()
  t.same(first.said, ['reset', '+a.marathon 80 tcp', '+bb.marathon 80 tcp'])
  t.match(first.version, /-1 \(partly\)$/)
  feed.offer(table([a, vip('bb', '192.0.2.7')]))
  const second = await one.next()
  t.same(second.said, ['+bb.marathon 80 tcp'], 'only what differs')
  await one.leave()

  feed.offer(table([vip('ccc', '192.0.2.8'), vip('bb', '192.0.2.7')]))
  const two = reader(feed, second.version)
  t.same((await two.next()).said, ['+ccc.marathon 80 tcp', '-a.marathon 80 tcp'])
  await two.leave()
  for (const since of ['other-1', 'nonsense', second.version.replace(/\d+$/, '99')]) {
    const again = reader(feed, since)
    t.equal((await again.next()).said[0], 'reset', `${since} is none of ours`)
    await again.leave()
  }
})

t.test('a backend behind a mapped port of this host carries its container', async t => {
  const feed = new VipFeed()
  const local = new Map([[localKey('tcp', '192.0.2.1', 8080), { ip: '172.17.0.2', port: 80 }]])
  feed.offer(table([vip('a', '192.0.2.1', '192.0.2.9')], { local }))
  const gone = new AbortController()
  const lines = feed.lines('', gone.signal)
  await lines.next()
  const { value } = await lines.next()
  const { set } = JSON.parse(String(value).split('\n')[1]!) as { set: { backends: unknown[] } }
  t.same(set.backends, [
    { ip: '192.0.2.1', port: 8080, weight: 1, via: { ip: '172.17.0.2', port: 80 }, local: true },
    { ip: '192.0.2.9', port: 8080, weight: 1 },
  ])
  gone.abort()
  await lines.return(undefined)
})

t.test('a balancer counts from its first report until its stream closes', async t => {
  const feed = new VipFeed()
  let told = 0
  feed.onBalancer(() => told++)
  feed.offer(table([vip('a', '192.0.2.5')]))
  const one = reader(feed)
  const { version } = await one.next()
  t.equal(feed.connected, undefined, 'somebody who only reads is no balancer')
  t.notOk(feed.acknowledge({ session: 'unknown', version, report: REPORT }))
  t.ok(feed.acknowledge({ session: one.session(), version, report: REPORT }))
  t.equal(feed.connected?.acked, 1)
  t.ok(feed.connected!.acked >= feed.changedAt('a.marathon 80 tcp'))
  feed.offer(table([vip('a', '192.0.2.6')]))
  t.ok(feed.connected!.acked < feed.changedAt('a.marathon 80 tcp'), 'the change is not there yet')
  await one.leave()
  t.equal(feed.connected, undefined)
  t.equal(told, 2)
  t.notOk(readAck({ session: 's', version: 'v', report: { ...REPORT, vips: -1 } }))
  t.notOk(readAck({ session: 's', version: 'v', report: { ...REPORT, durations: [1] } }))
  t.notOk(readAck(null))
})

t.test('a name is answered when its rules are there, or after a second', async t => {
  const zone = (names: Record<string, string>): ZoneMap =>
    new Map(Object.entries(names).map(([n, ip]) => [n, [{ type: 'A', ttl: 5, data: [ip] }]]))
  const shown = (map: ZoneMap): string[] =>
    [...map].map(([n, sets]) => `${n} ${sets[0]?.data.join()}`)
  const names = new ProgrammedNames()
  const old = zone({ a: '11.0.0.1' })
  t.same(shown(names.filter(old, 1, undefined, 0)), ['a 11.0.0.1'], 'without a balancer at once')
  const more = zone({ a: '11.0.0.1', b: '11.0.0.2' })
  t.same(shown(names.filter(more, 2, 1, 10)), ['a 11.0.0.1'])
  t.equal(names.nextMs(10), 1000)
  t.same(shown(names.filter(more, 3, 2, 60)), ['a 11.0.0.1', 'b 11.0.0.2'], 'its rules came')
  const late = zone({ a: '11.0.0.9', b: '11.0.0.2', c: '11.0.0.3' })
  t.same(
    shown(names.filter(late, 4, 3, 100)),
    ['a 11.0.0.1', 'b 11.0.0.2'],
    'the old address stays until the new one works',
  )
  t.equal(names.waiting, 2)
  t.equal(names.filter(late, 5, 3, 1099).size, 2)
  t.same(shown(names.filter(late, 5, 3, 1100)), ['a 11.0.0.9', 'b 11.0.0.2', 'c 11.0.0.3'])
  t.equal(names.nextMs(1100), Infinity)
  t.same(shown(names.filter(zone({}), 6, 3, 1200)), [], 'a name that goes is gone at once')
})

t.test('answer: auto follows the balancers of this host without a flap', async t => {
  const none = { connected: false, ipvs: false, minuteman: false, rules: false }
  type Step = [at: number, facts: Partial<typeof none>, answer: string]
  const stories: Record<string, Step[]> = {
    'none at all': [
      [0, {}, 'backends'],
      [60_000, {}, 'backends'],
    ],
    'ours comes, restarts, and stops': [
      [0, {}, 'backends'],
      [1_000, { connected: true }, 'vip'],
      [2_000, { rules: true }, 'vip'],
      [31_999, { rules: true }, 'vip'],
      [31_999, { connected: true }, 'vip'],
      [40_000, { rules: true }, 'vip'],
      [70_000, { rules: true }, 'backends'],
    ],
    'the daemon restarts beside a balancer': [
      [0, { rules: true }, 'vip'],
      [1_000, { rules: true }, 'vip'],
      [2_000, { connected: true, rules: true }, 'vip'],
    ],
    'rules of a balancer that never comes back': [
      [0, { rules: true }, 'vip'],
      [30_000, { rules: true }, 'backends'],
      [31_000, { rules: true }, 'backends'],
    ],
    "the original's services": [
      [0, { ipvs: true }, 'vip'],
      [10_000, {}, 'vip'],
      [20_000, { ipvs: true }, 'vip'],
      [60_000, {}, 'vip'],
      [90_000, {}, 'backends'],
    ],
    "the original's link": [[0, { minuteman: true }, 'vip']],
  }
  for (const [name, steps] of Object.entries(stories)) {
    const choice = new AnswerChoice('auto')
    for (const [at, facts, answer] of steps) {
      choice.update({ ...none, ...facts }, at)
      t.equal(choice.answer, answer, `${name}, at ${at}`)
      t.ok(choice.reason)
    }
  }
  const fixed = new AnswerChoice('vip')
  fixed.update(none, 0)
  t.equal(fixed.answer, 'vip')
  t.notOk(fixed.leadsNowhere(29_999))
  t.ok(fixed.leadsNowhere(30_000))
  fixed.update({ ...none, connected: true }, 31_000)
  t.notOk(fixed.leadsNowhere(90_000))
})

t.test('a VIP is shown with its backends and what the kernel has of it', async t => {
  const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }
  const host = () => ({ ipvs: false, minuteman: false, rules: false })
  const balancing = new Balancing({ log: silent, host, now: () => 0 })
  const shown = {
    ...vip('a', '192.0.2.5'),
    backends: [
      { ip: '192.0.2.5', port: 8080, weight: 1 },
      { ip: '192.0.2.6', port: 8080, weight: 0 },
    ],
  }
  const nodes = new Map([['192.0.2.5', 'agent-5']])
  const { vips: _, ...rest } = table([])
  balancing.offer(() => [shown], rest)
  const one = reader(balancing.feed)
  const { version } = await one.next()
  t.match(balancing.view(shown, nodes), { programmed: false, connections: undefined })
  balancing.feed.acknowledge({ session: one.session(), version, report: REPORT })
  t.strictSame(balancing.view(shown, nodes), {
    vip: 'a.marathon.l4lb.thisdcos.directory:80',
    protocol: 'tcp',
    addresses: ['11.0.0.1'],
    programmed: true,
    connections: 3,
    backends: [
      { ip: '192.0.2.5', port: 8080, weight: 1, state: 'up', node: 'agent-5' },
      { ip: '192.0.2.6', port: 8080, weight: 0, state: 'drained', node: '' },
    ],
  })
  t.match(balancing.view({ ...shown, backends: shown.backends.slice(1) }, nodes).backends, [
    { state: 'ill, used because all are' },
  ])
  await one.leave()
})

t.test('the kernel shows who balances here', async t => {
  const ranges = [DEFAULT_RANGE_V4, DEFAULT_RANGE_V6]
  const head =
    'IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n'
  for (const [line, expected] of [
    ['TCP  0B000001:1F90 wlc', true],
    ['UDP  0BFFFFFE:0035 wlc', true],
    ['TCP  [fd01:000c:0000:0000:0000:0000:0000:0005]:0050 wlc', true],
    ['TCP  0A600001:01BB rr', false], // 10.96.0.1 is of somebody else
    ['  -> 0B000001:1F90      Masq    1      0          0', false],
    ['', false],
  ] as const)
    t.equal(hasIpvsService(`${head}${line}\n`, ranges), expected, line)
  const routes = 'Iface\tDestination\tGateway\tFlags\nlo\t0000000B\t00000000\t0001\n'
  t.ok(hasRoute(routes, ranges))
  t.notOk(hasRoute(routes.replace('lo', 'eth0'), ranges))
  t.notOk(hasRoute(routes.replace('0000000B', '0000A8C0'), ranges))
})
