import t from 'tap'
import { Balancer } from '../../src/balance/balancer.ts'
import { busiest, countConnections } from '../../src/balance/connections.ts'
import type { Kernel } from '../../src/balance/kernel.ts'
import { prefixesOf } from '../../src/balance/prefixes.ts'
import { Received } from '../../src/balance/received.ts'
import {
  change,
  expectedElements,
  listedElements,
  replaceAll,
  type Layout,
} from '../../src/balance/ruleset.ts'
import {
  Planner,
  staleFlows,
  type Family,
  type Flow,
  type Rules,
} from '../../src/balance/services.ts'
import { slotsOf } from '../../src/balance/slots.ts'
import { MonitorReader } from '../../src/balance/watch.ts'
import type { FeedBackend, FeedVip } from '../../src/vip/feed.ts'

const layout: Layout = {
  prefixes: { 4: ['11.0.0.0/8'], 6: ['fd01:c::/64'] },
  affinity: 'none',
  ipv6: true,
}

const backend = (text: string, more: Partial<FeedBackend> = {}): FeedBackend => {
  const [, ip = '', port = '0', weight = '1'] = /^(.*):(\d+)(?:\*(\d+))?$/.exec(text) ?? []
  return { ip, port: Number(port), weight: Number(weight), ...more }
}
const vip = (name: string, backends: FeedBackend[], more: Partial<FeedVip> = {}): FeedVip => ({
  key: `${name} 80 tcp`,
  name,
  protocol: 'tcp',
  port: 80,
  addresses: ['11.0.0.1'],
  backends,
  ...more,
})
const plan = (vips: FeedVip[], prefer: 'none' | 'local' = 'none') =>
  new Planner({ prefer, ipv6: true }).plan(new Map(vips.map(v => [v.key, v])), ['192.0.2.1'])
const rules = (vips: FeedVip[]): Rules => ({
  services: plan(vips).services,
  self: plan(vips).self,
  links: new Set(),
})
const slots = (planned: ReturnType<typeof plan>, key = '11.0.0.1 . tcp . 80'): string =>
  [...(planned.services.get(key)?.slots ?? [])].join(' ').replaceAll(' . ', ':')

t.test('weights become the fewest slots that keep their shares', async t => {
  for (const [weights, counts, capped] of [
    [[1], [1], false],
    [[4, 8], [1, 2], false],
    [[100, 100, 50], [2, 2, 1], false],
    [[65_535, 1], [255, 1], true],
    [[300, 299], [128, 128], true],
    [[], [], false],
  ] as const) {
    const made = slotsOf(weights)
    const shares = (list: readonly number[]) => list.map(n => n / list.reduce((a, b) => a + b, 0))
    t.ok(
      shares(made.counts).every((s, i) => Math.abs(s - shares(counts)[i]!) < 0.005),
      `${weights.join()} → ${made.counts.join()}`,
    )
    t.equal(made.capped, capped)
    t.ok(made.counts.every(n => n > 0))
  }
  const many = slotsOf(new Array<number>(1_500).fill(1))
  t.equal(many.counts.filter(n => n > 0).length, 1_024)
  t.ok(many.capped, 'and it is said')
})

t.test('who gets connections', async t => {
  const table: [string, FeedBackend[], string, ('none' | 'local')?][] = [
    ['all', [backend('10.0.0.1:1'), backend('10.0.0.2:2')], '10.0.0.1:1 10.0.0.2:2'],
    ['weight 0 drains', [backend('10.0.0.1:1*0'), backend('10.0.0.2:2')], '10.0.0.2:2'],
    [
      'all unhealthy: all',
      [backend('10.0.0.1:1*0'), backend('10.0.0.2:2*0')],
      '10.0.0.1:1 10.0.0.2:2',
    ],
    ['none', [], ''],
    ['the other family', [backend('fd00::1:1')], ''],
    [
      'the container behind a mapped port',
      [backend('192.0.2.1:31000', { via: { ip: '172.17.0.2', port: 80 }, local: true })],
      '172.17.0.2:80',
    ],
    [
      'local first',
      [backend('10.0.0.1:1', { local: true }), backend('10.0.0.2:2')],
      '10.0.0.1:1',
      'local',
    ],
    [
      'local but ill',
      [backend('10.0.0.1:1*0', { local: true }), backend('10.0.0.2:2')],
      '10.0.0.2:2',
      'local',
    ],
  ]
  for (const [name, backends, expected, prefer] of table)
    t.equal(slots(plan([vip('a', backends)], prefer)), expected, name)
  const planned = plan([
    vip('a', [backend('192.0.2.1:1', { local: true }), backend('172.17.0.3:1', { local: true })]),
    vip('b', [], { addresses: ['11.0.0.2'] }),
  ])
  t.same([...planned.self], ['172.17.0.3'], 'a container may meet itself; this host may anyway')
  t.equal(planned.rejecting, 1)
})

t.test('UDP flows of backends that went are forgotten, also of the last one', async t => {
  const flows = (before: FeedVip[], after: FeedVip[]): string[] =>
    staleFlows(plan(before).services, plan(after).services).map(
      ({ address, port, to, toPort }: Flow) => `${address}:${port} ${to}:${toPort}`,
    )
  const udp = (...list: string[]) =>
    vip(
      'a',
      list.map(one => backend(one)),
      { protocol: 'udp' },
    )
  t.same(flows([udp('10.0.0.1:1', '10.0.0.2:2')], [udp('10.0.0.2:2')]), ['11.0.0.1:80 10.0.0.1:1'])
  t.same(flows([udp('10.0.0.1:1')], [udp()]), ['11.0.0.1:80 10.0.0.1:1'])
  t.same(flows([udp('10.0.0.1:1')], []), ['11.0.0.1:80 10.0.0.1:1'])
  t.same(flows([udp('10.0.0.1:1')], [udp('10.0.0.1:1*0', '10.0.0.2:2')]), [
    '11.0.0.1:80 10.0.0.1:1',
  ])
  t.same(flows([], [udp('10.0.0.1:1')]), ['11.0.0.1:80 11.0.0.1:80'], 'and those to the VIP itself')
  t.same(flows([vip('a', [backend('10.0.0.1:1')])], []), [], 'TCP connections go on')
})

/** Applies a script to sets and maps. Like nft, throws if an element to delete is missing or one to add exists. */
const applied = (maps: Map<string, Map<string, string>>, text: string): void => {
  for (const line of text.split('\n')) {
    if (/^delete table/.test(line)) maps.clear()
    const [, verb, name = '', list = ''] =
      /^(add|delete) element (ip6? \w+ \w+) \{ (.*) \}$/.exec(line) ?? []
    if (!verb) continue
    const map = maps.get(name) ?? new Map<string, string>()
    maps.set(name, map)
    for (const element of list.split(', ')) {
      const [key = '', value = ''] = element.split(' : ')
      if (verb === 'delete' && !map.delete(key)) throw new Error(`not there: ${name} ${key}`)
      if (verb === 'add' && map.has(key)) throw new Error(`there already: ${name} ${key}`)
      if (verb === 'add') map.set(key, value)
    }
  }
}
const shown = (maps: Map<string, Map<string, string>>): string[] =>
  [...maps].flatMap(([name, map]) => [...map].map(([k, v]) => `${name} ${k} ${v}`)).sort()

t.test('a change leads where a replacement leads', async t => {
  const states: FeedVip[][] = [
    [],
    [vip('a', [backend('10.0.0.1:1')])],
    [vip('a', [backend('10.0.0.1:1'), backend('10.0.0.2:2*2')])],
    [vip('a', [backend('10.0.0.3:1'), backend('10.0.0.2:2*2')])],
    [vip('a', [])],
    [
      vip('a', [backend('10.0.0.1:1')], { addresses: ['11.0.0.1', 'fd01:c::1'] }),
      vip('b', [backend('fd00::1:1'), backend('172.17.0.2:1', { local: true })], {
        addresses: ['11.0.0.2', 'fd01:c::2'],
        protocol: 'udp',
      }),
    ],
  ]
  for (const before of states) {
    for (const after of states) {
      const maps = new Map<string, Map<string, string>>()
      const first = replaceAll(layout, rules(before))
      applied(maps, first.text)
      const next = change(layout, first.after, rules(after))
      applied(maps, next.text)
      const fresh = new Map<string, Map<string, string>>()
      applied(fresh, replaceAll(layout, rules(after)).text)
      t.same(shown(maps), shown(fresh))
      const same = change(layout, next.after, next.after.rules)
      t.equal(same.text, '', 'and then there is nothing to do')
    }
  }
})

t.test('a listing is compared by its elements', async t => {
  const state = rules([vip('a', [backend('10.0.0.1:1'), backend('10.0.0.2:2')])])
  const listing = `table ip spartan_balance {
	map tcp_slots {
		typeof ip daddr . tcp dport . numgen random mod 2 : ip daddr . tcp dport
		elements = { 11.0.0.1 . 80 . 1 : 10.0.0.2 . 2,
			     11.0.0.1 . 80 . 0 : 10.0.0.1 . 1 }
	}
}`
  t.same(listedElements(listing), expectedElements(4, 'tcp_slots', state))
  t.same(expectedElements(4, 'service', state), ['11.0.0.1 . tcp . 80 : goto tcp2'])
  t.not(
    listedElements(listing.replace('10.0.0.2 . 2', '10.0.0.9 . 2')).join(),
    expectedElements(4, 'tcp_slots', state).join(),
  )
})

t.test('the monitor tells who changed what', async t => {
  const reader = new MonitorReader()
  const read = (text: string) =>
    text
      .split('\n')
      .map(line => reader.line(line))
      .filter(Boolean)
  t.match(
    read(
      'delete rule ip spartan_balance output handle 15\ndelete table ip spartan_balance\n# new generation 8 by process 7 (nft)',
    ),
    [{ kind: 'changed', pid: 7, by: 'nft', what: 'delete table ip spartan_balance' }],
  )
  t.match(read('add table ip other\n# new generation 9 by process 8 (nft)'), [{ kind: 'other' }])
  t.match(read('add rule ip spartan_balance_not x\n# new generation 9 by process 8 (nft)'), [
    { kind: 'other' },
  ])
  t.match(read('# new generation 10 by process 9 (nft)'), [{ kind: 'unseen', pid: 9 }])
})

t.test('connections are counted for the VIPs that they were made to', async t => {
  const listing = [
    'tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=11.0.0.1 sport=40000 dport=80 src=10.0.0.1 dst=10.0.0.9 sport=1 dport=40000 [ASSURED] mark=0 use=1',
    'tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=11.0.0.1 sport=40001 dport=80 src=10.0.0.2 dst=10.0.0.9 sport=2 dport=40001 [ASSURED] mark=0 use=1',
    'tcp      6 100 TIME_WAIT src=10.0.0.9 dst=11.0.0.1 sport=40002 dport=80 src=10.0.0.2 dst=10.0.0.9 sport=2 dport=40002 [ASSURED] mark=0 use=1',
    'udp      17 20 src=fd00::9 dst=fd01:c::1 sport=5353 dport=53 src=fd00::1 dst=fd00::9 sport=53 dport=5353 mark=0 use=1',
    'tcp      6 431999 ESTABLISHED src=10.0.0.9 dst=10.0.0.1 sport=40003 dport=80 src=10.0.0.1 dst=10.0.0.9 sport=80 dport=40003 [ASSURED] mark=0 use=1',
    'icmp     1 29 src=10.0.0.9 dst=11.0.0.1 type=8 code=0 id=1 src=11.0.0.1 dst=10.0.0.9 type=0 code=0 id=1 mark=0 use=1',
  ].join('\n')
  const services = new Map(['11.0.0.1 . tcp . 80', 'fd01:c::1 . udp . 53'].map(key => [key, 1]))
  const counts = countConnections(listing, services)
  t.same(
    [...counts],
    [
      ['11.0.0.1 . tcp . 80', 2],
      ['fd01:c::1 . udp . 53', 1],
    ],
  )
  const many = new Map(Array.from({ length: 300 }, (_, i) => [`v${i}`, i]))
  t.equal(Object.keys(busiest(many)).length, 200)
  t.equal(busiest(many)['v299'], 299)
  t.notOk('v99' in busiest(many), 'a report is bounded')
})

t.test('a range is its prefixes', async t => {
  for (const [min, max, expected] of [
    ['11.0.0.0', '11.255.255.255', '11.0.0.0/8'],
    ['10.0.0.1', '10.0.0.6', '10.0.0.1/32 10.0.0.2/31 10.0.0.4/31 10.0.0.6/32'],
    ['0.0.0.0', '255.255.255.255', '0.0.0.0/0'],
    ['fd01:c::', 'fd01:c::ffff:ffff:ffff:ffff', 'fd01:c::/64'],
  ] as const)
    t.equal(prefixesOf(min, max).join(' '), expected)
})

t.test('a table that is not whole takes nothing away', async t => {
  const received = new Received()
  const end = (version: string, loaded: boolean) =>
    received.take({ version, loaded, own4: '', own6: '' })
  const keys = (): string => [...(received.table?.vips.keys() ?? [])].sort().join()
  received.take({ session: 's1' })
  received.take({ reset: true })
  received.take({ set: vip('a', []) })
  t.equal(received.table, undefined, 'half a batch is no table')
  t.ok(end('e-1', true))
  t.equal(keys(), 'a 80 tcp')
  received.take({ drop: 'a 80 tcp' })
  received.broken()
  t.equal(received.since, 'e-1')
  received.take({ session: 's2' })
  received.take({ reset: true })
  received.take({ set: vip('b', []) })
  end('f-1', false)
  t.equal(keys(), 'a 80 tcp,b 80 tcp', 'a daemon that has just started')
  received.take({ set: vip('c', []) })
  end('f-2', true)
  t.equal(keys(), 'b 80 tcp,c 80 tcp')
})

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

t.test('an error is followed by a replacement, and a loss during one is not forgotten', async t => {
  const texts: string[] = []
  const answers: string[] = []
  let meanwhile = (): void => {}
  let there: readonly Family[] = [4, 6]
  const kernel: Kernel = {
    apply: text => {
      texts.push(text)
      meanwhile()
      meanwhile = () => {}
      return Promise.resolve(answers.shift() ?? '')
    },
    tables: () => Promise.resolve(there),
    list: () => Promise.resolve(''),
    flows: () => Promise.resolve(''),
    forget: flows => Promise.resolve(flows.length),
  }
  const synced: (string | undefined)[] = []
  const balancer = new Balancer({
    kernel,
    layout,
    prefer: 'none',
    log: silent,
    now: () => performance.now(),
    links: () => [],
    onSync: version => synced.push(version),
    retryMs: 1,
  })
  t.teardown(() => balancer.close())
  const settled = async (n: number): Promise<void> => {
    while (synced.length < n) await new Promise(resolve => setTimeout(resolve, 1))
  }
  const table = (version: string, ...vips: FeedVip[]) =>
    balancer.take({
      version,
      loaded: true,
      own4: '',
      own6: '',
      vips: new Map(vips.map(v => [v.key, v])),
    })
  table('e-1', vip('a', [backend('10.0.0.1:1')]))
  await settled(1)
  t.match(texts[0], /^add table ip spartan_balance\ndelete table/)
  answers.push('nft says no')
  table('e-2', vip('a', [backend('10.0.0.2:1')]))
  await settled(3)
  t.notMatch(texts[1], /delete table/)
  t.match(texts[2], /delete table/)
  t.same(synced, ['e-1', undefined, 'e-2'])
  t.match(balancer.report([]), { failures: 1, replaced: 2, trouble: '', vips: 1 })
  meanwhile = () => balancer.foreign({ kind: 'changed', by: 'nft', what: 'delete table' })
  table('e-3', vip('a', [backend('10.0.0.3:1')]))
  await settled(5)
  t.match(texts[4], /delete table/)
  t.match(balancer.report([]), { mended: 1 })
  balancer.foreign({ kind: 'unseen' })
  await balancer.check()
  t.match(texts[5], /delete table/, 'elements that differ from what we put there')
  await settled(6)
  balancer.foreign({ kind: 'perhaps' })
  await new Promise(resolve => setTimeout(resolve, 10))
  t.equal(texts.length, 6, 'it was our own change')
  there = [4]
  balancer.foreign({ kind: 'perhaps' })
  balancer.foreign({ kind: 'perhaps' })
  await settled(7)
  there = [4, 6]
  t.match(texts[6], /delete table/, 'it was not: a table is gone')
  t.match(balancer.report([]), { mended: 3 })
})
