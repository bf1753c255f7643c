import { fc } from '../fixture/property.ts'
import t from 'tap'
import { allocateAddresses } from '../../src/vip/hash/vip-address.ts'
import { agentStateFromJson } from '../../src/mesos/api/operator-api.ts'
import { parseVipFile } from '../../src/vip/files.ts'
import { isVipKey, parseVip, parseVipUrl, vipPortIndex } from '../../src/vip/label.ts'
import { sameVips, unionOf, vipName, type VipRecord } from '../../src/vip/record.ts'
import { VipMerge, VipTable, type OwnerVips } from '../../src/vip/table.ts'
import { vipsOfState } from '../../src/vip/task-vips.ts'
import { servedVipZone, type VipZoneOptions } from '../../src/vip/zone.ts'
import { isName, type ZoneMap } from '../../src/boundary/zone.ts'
import { agentState, type TaskSpec } from '../fixture/mesos.ts'

const APEX = 'l4lb.thisdcos.directory'
const AGENT = '192.0.2.10'

/** 'tcp redis.marathon:6379 = 9.0.0.1:6379*1 …' for each record. */
const lines = (records: readonly VipRecord[]): string[] =>
  records.map(
    ({ protocol, name, ip, port, backends }) =>
      `${protocol} ${name || ip}:${port} = ${backends.map(b => `${b.ip}:${b.port}*${b.weight}`).join(' ')}`,
  )

const declared = (
  tasks: readonly TaskSpec[],
  options: { ipv6?: boolean; frameworks?: Record<string, string> } = {},
) => {
  const { state } = agentStateFromJson(
    agentState({ tasks, ...(options.frameworks ? { frameworks: options.frameworks } : {}) }),
  )
  const { records, bad } = vipsOfState(state, { agentIp: AGENT, ipv6: options.ipv6 ?? true })
  return { vips: lines(records), bad: bad.map(b => `${b.label}: ${b.why}`), records }
}

/** The zone for the VIPs of all nodes, without grace time. */
const vipZone = (owners: Iterable<OwnerVips>, options: VipZoneOptions): ZoneMap =>
  servedVipZone(new VipMerge().of(owners), options)

const lineZone = (zone: ZoneMap): string[] =>
  [...zone]
    .flatMap(([name, rrsets]) =>
      rrsets.length === 0
        ? [`${name} -`]
        : rrsets.flatMap(r => r.data.map(d => `${name} ${r.type} ${d}`)),
    )
    .map(l => l.replaceAll(`.${APEX}`, ''))
    .sort()

const port = (number: number, labels: Record<string, string>, protocol = 'tcp') => ({
  number,
  protocol,
  labels,
})

t.test('a label names a VIP, or says why it cannot', async t => {
  for (const [value, expected] of [
    ['/redis:6379', 'redis.marathon:6379'],
    ['redis:6379', 'redis.marathon:6379'],
    ['/api.hello-world:80', 'api.hello-world.marathon:80'],
    ['/mygroup/myapp:80', 'mygroupmyapp.marathon:80'],
    ['a:b:80', 'ab.marathon:80'], // everything before the last colon
    ['192.0.2.10:80', '192.0.2.10:80'],
    ['FD01::1:80', 'fd01::1:80'],
    ['[fd01::1]:80', 'fd01::1:80'],
    ['/redis', 'it has no port'],
    ['/redis:', 'its port is not a number from 1 to 65535'],
    ['/redis:0', 'its port is not a number from 1 to 65535'],
    ['/redis:65536', 'its port is not a number from 1 to 65535'],
    ['/redis:-1', 'its port is not a number from 1 to 65535'],
    ['/redis:80x', 'its port is not a number from 1 to 65535'],
    [':80', 'nothing is left of its name, or it is too long'],
    ['///:80', 'nothing is left of its name, or it is too long'],
    [`${'long.'.repeat(60)}:80`, 'nothing is left of its name, or it is too long'],
  ] as const) {
    const vip = parseVip(value, 'marathon')
    t.equal('wrong' in vip ? vip.wrong : `${vip.name || vip.ip}:${vip.port}`, expected, value)
  }
  t.same(['VIP', 'VIP_0', 'vip0', 'Vip_0', 'xVIP'].map(isVipKey), [true, true, true, false, false])
  t.same(['vip_port0', 'VIP_PORT12', 'vip_port', 'vip_portx'].map(vipPortIndex), [0, 12, -1, -1])
  t.same(parseVipUrl('UDP://dns:53'), { protocol: 'udp', rest: 'dns:53' })
  t.equal(parseVipUrl('dns:53'), undefined)
})

t.test('a task’s ports declare VIPs, with where each is reached', async t => {
  const vip = { VIP_0: '/web:80' }
  const cases: [string, Partial<TaskSpec>, string[]][] = [
    [
      'host network',
      { ips: [AGENT], ports: [port(31000, vip)] },
      [`tcp web.marathon:80 = ${AGENT}:31000*1`],
    ],
    [
      'overlay',
      { ips: ['9.0.0.2', 'fd01:b::2'], ports: [port(8080, vip)] },
      ['tcp web.marathon:80 = 9.0.0.2:8080*1 fd01:b::2:8080*1'],
    ],
    [
      'bridge',
      { ips: ['172.18.0.2'], mappings: [[31000, 8080]], ports: [port(8080, vip)] },
      [`tcp web.marathon:80 = ${AGENT}:31000*1`],
    ],
    [
      'bridge, number of scope host',
      {
        ips: ['172.18.0.2'],
        mappings: [[31000, 8080]],
        ports: [port(31000, { ...vip, 'network-scope': 'host' })],
      },
      [`tcp web.marathon:80 = ${AGENT}:31000*1`],
    ],
    [
      'no addresses',
      { ips: [], ports: [port(31000, vip)] },
      [`tcp web.marathon:80 = ${AGENT}:31000*1`],
    ],
    [
      'both protocols',
      { ips: ['9.0.0.2'], ports: [port(53, { VIP: '/dns:53' }, 'UDP,tcp')] },
      ['tcp dns.marathon:53 = 9.0.0.2:53*1', 'udp dns.marathon:53 = 9.0.0.2:53*1'],
    ],
    [
      'several labels',
      { ips: ['9.0.0.2'], ports: [port(80, { VIP_0: '/a:80', vip_1: '/b:81', other: '/c:82' })] },
      ['tcp a.marathon:80 = 9.0.0.2:80*1', 'tcp b.marathon:81 = 9.0.0.2:80*1'],
    ],
    [
      'numeric',
      { ips: ['9.0.0.2', 'fd01:b::2'], ports: [port(80, { VIP_0: '192.0.2.99:80' })] },
      ['tcp 192.0.2.99:80 = 9.0.0.2:80*1'],
    ],
    ['port 0', { ips: ['9.0.0.2'], ports: [port(0, vip)] }, []],
    ['another protocol', { ips: ['9.0.0.2'], ports: [port(80, vip, 'sctp')] }, []],
  ]
  for (const [what, spec, expected] of cases)
    t.same(declared([{ id: 'web.1', ...spec }]).vips, expected, what)
  t.same(
    declared([{ id: 'web.1', ips: ['9.0.0.2', 'fd01:b::2'], ports: [port(8080, vip)] }], {
      ipv6: false,
    }).vips,
    ['tcp web.marathon:80 = 9.0.0.2:8080*1'],
  )
})

t.test('labels of a task name VIPs for its port resources', async t => {
  const spec: TaskSpec = {
    id: 'app.1',
    ips: ['192.0.2.10'],
    resourcePorts: [
      [9999, 10000],
      [10005, 10005],
    ],
    labels: {
      vip_port0: 'tcp://def:80',
      VIP_PORT2: 'udp://ghi:53',
      vip_port3: 'tcp://none:1',
      vip_port1: 'nonsense:80',
    },
    ports: [port(9999, { VIP_0: '/abc:80' })],
  }
  const { vips, bad } = declared([spec])
  t.same(vips, [
    `tcp abc.marathon:80 = ${AGENT}:9999*1`,
    `tcp def.marathon:80 = ${AGENT}:9999*1`,
    `udp ghi.marathon:53 = ${AGENT}:10005*1`,
  ])
  t.same(bad.sort(), [
    'vip_port1=nonsense:80: it does not begin with tcp:// or udp://',
    'vip_port3=tcp://none:1: the task has no port 3',
  ])
})

t.test('health decides the weight', async t => {
  const weight = (spec: Partial<TaskSpec>): string | undefined =>
    declared([
      { id: 'web.1', ips: ['9.0.0.2'], ports: [port(80, { VIP: '/web:80' })], ...spec },
    ]).vips[0]?.split('*')[1]
  t.equal(weight({}), '1', 'no health check')
  t.equal(weight({ healthCheck: true }), '0', 'no result yet (DCOS_OSS-1954)')
  t.equal(weight({ healthCheck: true, healthy: true }), '1')
  t.equal(weight({ healthCheck: true, healthy: false }), '0')
  t.equal(weight({ state: 'TASK_KILLING' }), '0', 'it drains')
  t.equal(weight({ state: 'TASK_STAGING' }), undefined)
  t.equal(weight({ state: 'TASK_FAILED' }), undefined)
})

t.test('one bad label costs itself', async t => {
  const { vips, bad } = declared([
    { id: 'web.1', ips: ['9.0.0.1'], ports: [port(80, { VIP_0: '/web', VIP_1: '/web:80' })] },
    { id: 'web.2', ips: ['9.0.0.2'], ports: [port(80, { VIP_0: 'web:80' })] },
    { id: 'lost.1', framework: 'F9', ips: ['9.0.0.3'], ports: [port(80, { VIP_0: '/lost:80' })] },
  ])
  t.same(
    vips,
    ['tcp web.marathon:80 = 9.0.0.1:80*1 9.0.0.2:80*1'],
    'web:80 and /web:80 are one VIP',
  )
  t.same(bad, [
    'VIP_0=/web: it has no port',
    'VIP_0=/lost:80: nothing is left of its name, or it is too long',
  ])
})

const vip = (
  name: string,
  port_: number,
  backends: string[],
  protocol: 'tcp' | 'udp' = 'tcp',
): VipRecord => ({
  protocol,
  name,
  ip: '',
  port: port_,
  backends: backends.map(text => {
    const [, ip = '', n = '', weight] = /^(.*):(\d+)(?:\*(\d))?$/.exec(text) ?? []
    return { ip, port: Number(n), weight: weight === undefined ? 1 : Number(weight) }
  }),
})

const owners: OwnerVips[] = [
  { owner: 'a', records: [vip('redis.marathon', 6379, ['9.0.0.1:6379', '9.0.0.2:6379*0'])] },
  {
    owner: 'b',
    records: [
      vip('redis.marathon', 6379, ['9.0.1.1:31000', 'fd01:b::1:6379']),
      vip('redis.marathon', 80, ['9.0.1.1:8080']),
    ],
  },
]

t.test('a VIP’s name has its address in each family its backends have', async t => {
  const v6 = allocateAddresses(['redis.marathon'], 6).get('redis.marathon')
  t.same(lineZone(vipZone(owners, { answer: 'vip' })), [
    'redis.marathon A 11.202.66.36',
    `redis.marathon AAAA ${v6}`,
  ])
  t.same(lineZone(vipZone(owners, { answer: 'vip', ipv6: false })), [
    'redis.marathon A 11.202.66.36',
  ])
  t.same(
    lineZone(
      vipZone(
        [
          {
            owner: 'x',
            records: [{ protocol: 'tcp', name: '', ip: '192.0.2.1', port: 80, backends: [] }],
          },
        ],
        { answer: 'vip' },
      ),
    ),
    [],
    'a numeric VIP has no name',
  )
  const small = { min: '11.0.0.0', max: '11.0.0.1' }
  const many = ['a.x', 'b.x', 'c.x'].map(name => vip(name, 80, ['9.0.0.1:80']))
  t.match(
    lineZone(vipZone([{ owner: 'x', records: many }], { answer: 'vip', range4: small })),
    [/^a.x A/, /^b.x A/, 'c.x -'],
    'a full range leaves the name without data',
  )
})

t.test('all nodes agree, whatever order they heard it in', async t => {
  const shuffled = [...owners].reverse().map(o => ({ ...o, records: [...o.records].reverse() }))
  for (const answer of ['vip', 'backends'] as const) {
    t.same([...vipZone(shuffled, { answer })], [...vipZone(owners, { answer })])
  }
})

t.test('backends are answered themselves where there is no data plane', async t => {
  t.same(lineZone(vipZone(owners, { answer: 'backends' })), [
    '9-0-0-1.redis.marathon A 9.0.0.1',
    '9-0-1-1.redis.marathon A 9.0.1.1',
    '_6379._tcp.redis.marathon SRV 0 1 31000 9-0-1-1.redis.marathon',
    '_6379._tcp.redis.marathon SRV 0 1 6379 9-0-0-1.redis.marathon',
    '_6379._tcp.redis.marathon SRV 0 1 6379 fd01000b000000000000000000000001.redis.marathon',
    '_80._tcp.redis.marathon SRV 0 1 8080 9-0-1-1.redis.marathon',
    'fd01000b000000000000000000000001.redis.marathon AAAA fd01:b::1',
    'redis.marathon A 9.0.0.1',
    'redis.marathon A 9.0.1.1',
    'redis.marathon AAAA fd01:b::1',
  ])
})

t.test('a name with no healthy backend answers with all', async t => {
  const sick = [
    { owner: 'a', records: [vip('web.marathon', 80, ['9.0.0.1:80*0', '9.0.0.2:80*0'])] },
  ]
  t.same(
    lineZone(vipZone(sick, { answer: 'backends' })).filter(l => l.startsWith('web')),
    ['web.marathon A 9.0.0.1', 'web.marathon A 9.0.0.2'],
  )
})

t.test('a VIP that lost its backends keeps its name for the grace time', async t => {
  const table = new VipTable(30_000)
  const names = (
    of: readonly OwnerVips[],
    now: number,
    answer: 'vip' | 'backends' = 'vip',
  ): string[] => lineZone(servedVipZone(table.update(of, now), { answer, ipv6: false }))
  t.same(names(owners, 0), ['redis.marathon A 11.202.66.36'])
  t.equal(table.nextMs(0), Infinity)
  t.same(names([], 1_000), ['redis.marathon A 11.202.66.36'])
  t.equal(table.nextMs(2_000), 29_000)
  t.same(
    names([], 3_000, 'backends'),
    ['_6379._tcp.redis.marathon -', '_80._tcp.redis.marathon -', 'redis.marathon -'],
    'it exists and has no data',
  )
  t.same(names(owners, 20_000), ['redis.marathon A 11.202.66.36'])
  t.equal(table.nextMs(20_000), Infinity, 'a new backend ends it')
  names([], 21_000)
  t.same(names([], 51_000), [])
  t.same(new VipTable(0).update(owners, 0).length, 2)
})

t.test('VIPs stay in order while one that has gone keeps its name', async t => {
  const of = (names: readonly string[]): OwnerVips[] => [
    { owner: 'x', records: names.map(name => vip(name, 1, ['9.0.0.1:1'])) },
  ]
  for (const [before, after] of [
    [['a.y', 'b.y'], ['b.y']],
    [['a.y', 'b.y'], ['a.y']],
    [['a.y', 'c.y'], ['b.y']],
  ] as const) {
    const table = new VipTable(30_000)
    table.update(of(before), 0)
    const served = table.update(of(after), 1_000).map(one => one.name)
    t.strictSame(served, [...new Set([...before, ...after])].sort())
  }
})

t.test('records compare by all they say', async t => {
  const a = [vip('x.y', 1, ['9.0.0.1:1'])]
  t.ok(sameVips(a, [vip('x.y', 1, ['9.0.0.1:1'])]))
  for (const other of [
    [],
    [vip('x.y', 2, ['9.0.0.1:1'])],
    [vip('x.y', 1, [])],
    [vip('x.y', 1, ['9.0.0.1:1*0'])],
  ])
    t.notOk(sameVips(a, other))
  const twice = new VipMerge().of([
    { owner: 'a', records: [vip('x.y', 1, ['9.0.0.1:1*0'])] },
    { owner: 'b', records: a },
  ])
  t.same(
    twice[0]?.backends,
    [{ ip: '9.0.0.1', port: 1, weight: 1 }],
    'of one backend said twice the better word counts',
  )
})

t.test('the union of lists is ordered, and has what both say of one VIP', async t => {
  const [a, c, e] = [vip('a.y', 1, ['9.0.0.1:1']), vip('c.y', 1, ['9.0.0.3:1']), vip('e.y', 1, [])]
  t.same(unionOf([]), [])
  t.same(unionOf([[], [a, c], []]), [a, c])
  const more = vip('c.y', 1, ['9.0.0.2:1'])
  const union = unionOf([
    [c, e],
    [a, more],
  ])
  t.same(union, [a, vip('c.y', 1, ['9.0.0.2:1', '9.0.0.3:1']), e])
  t.ok(union[0] === a && union[2] === e, 'what one list alone says is the same object')
  t.same(c.backends.length, 1, 'and no list is changed')
})

t.test('a change of one VIP leaves the objects of the others as they are', async t => {
  const merge = new VipMerge()
  const said = (...texts: string[]): VipRecord[] =>
    texts.map((text, i) => vip(`v${i}.y`, 1, text === '' ? [] : [text]))
  const [a, b] = [said('9.0.0.1:1', '9.0.0.1:2', '9.0.0.1:3'), said('9.0.1.1:1', '9.0.1.1:2')]
  const both = (one: readonly VipRecord[], other: readonly VipRecord[]): OwnerVips[] => [
    { owner: 'a', records: one },
    { owner: 'b', records: other },
  ]
  const before = merge.of(both(a, b))
  t.same(
    before.map(({ backends }) => backends.length),
    [2, 2, 1],
  )
  const [, changed] = said('', '9.0.1.1:7')
  const after = merge.of(both(a, [b[0]!, changed!]))
  t.same(after, new VipMerge().of(both(a, [b[0]!, changed!])))
  t.same(
    after.map((one, i) => one === before[i]),
    [true, false, true],
  )
  t.same(
    merge.of(both(a.slice(1), b)).map(({ backends }) => backends.length),
    [1, 2, 1],
    'a backend that went is gone',
  )
  t.same(
    merge.of(both([], b)).map(({ name }) => name),
    ['v0.y', 'v1.y'],
  )
})

t.test('a file declares VIPs', async t => {
  const parsed = parseVipFile(`
framework: web
vips:
  - vip: /redis:6379
    framework: cache
    backends:
      - 192.0.2.11:31000
      - { address: "192.0.2.12:31000", weight: 0 }
      - "[fd01::1]:31000"
  - { vip: "192.0.2.99:53", protocol: UDP, backends: ["192.0.2.1:53"] }
  - vip: site:80
    backends: []
`)
  t.same('records' in parsed ? lines(parsed.records) : parsed, [
    'udp 192.0.2.99:53 = 192.0.2.1:53*1',
    'tcp redis.cache:6379 = 192.0.2.11:31000*1 192.0.2.12:31000*0 fd01::1:31000*1',
    'tcp site.web:80 = ',
  ])
  t.same(parseVipFile(''), { records: [] })
  t.same(parseVipFile('vips:\n'), { records: [] })
  t.match(
    parseVipFile('{"framework": "a", "vips": [{"vip": "b:1", "backends": ["192.0.2.1:1"]}]}'),
    { records: [{ name: 'b.a' }] },
  )
})

t.test('a file’s first mistake is told with its place', async t => {
  for (const [text, line, column, why] of [
    ['vips: [', 1, 8, /./],
    ['- a', 1, 1, 'the file must have the keys vips and framework'],
    ['vip:\n', 1, 1, "'vip' is no key here; there are framework, vips"],
    ['framework: 7\n', 1, 12, 'framework must be text'],
    ['vips: x\n', 1, 7, 'vips must be a list'],
    ['vips:\n  - x\n', 2, 5, 'an entry of vips has the keys vip and backends'],
    ['vips:\n  - backends: []\n', 2, 5, 'vip is missing'],
    [
      'vips:\n  - vip: a:80\n    backends: []\n',
      2,
      10,
      "'a:80' is no VIP: nothing is left of its name, or it is too long (has it a framework?)",
    ],
    ['framework: f\nvips:\n  - vip: a\n    backends: []\n', 3, 10, "'a' is no VIP: it has no port"],
    ['framework: f\nvips:\n  - vip: a:80\n', 3, 5, 'backends must be a list'],
    [
      'framework: f\nvips:\n  - vip: a:80\n    backends: [10]\n',
      4,
      16,
      'a backend is address:port, as 10.0.0.11:31000 or "[fd01::1]:31000"',
    ],
    ['framework: f\nvips:\n  - vip: a:80\n    backends: ["fd01::1:80"]\n', 4, 16, /^a backend is/],
    [
      'framework: f\nvips:\n  - vip: a:80\n    backends: [{ address: "192.0.2.1:80", weight: -1 }]\n',
      4,
      51,
      'weight must be a whole number from 0 to 65535',
    ],
    [
      'framework: f\nvips:\n  - vip: a:80\n    protocol: sctp\n    backends: []\n',
      4,
      15,
      'protocol must be tcp or udp',
    ],
    [
      'vips:\n  - vip: 192.0.2.1:80\n    backends: ["[fd01::1]:80"]\n',
      3,
      15,
      'backends of a VIP with an address must be of its family',
    ],
  ] as const) {
    const parsed = parseVipFile(text)
    t.match(parsed, { problem: { line, column, why } }, JSON.stringify(text))
  }
})

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom('/redis:80', 'a.b:1', '192.0.2.1:80', '[fd01::1]:9', '::1:80'),
)

t.test('no label and no file makes the reader throw or gives an invalid name', async () => {
  fc.assert(
    fc.property(anyText, anyText, (value, framework) => {
      const parsed = parseVip(value, framework)
      return (
        'wrong' in parsed ||
        parsed.name === '' ||
        isName(`_${parsed.port}._tcp.${parsed.name}.${APEX}`)
      )
    }),
    { numRuns: 500 },
  )
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      text => 'records' in parseVipFile(text) || 'problem' in parseVipFile(text),
    ),
  )
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 4 }),
      fc.array(fc.jsonValue({ maxDepth: 3 })),
      (json, vips) => {
        for (const text of [JSON.stringify(json), JSON.stringify({ vips })]) {
          const parsed = parseVipFile(text)
          if ('problem' in parsed && (parsed.problem.line < 1 || parsed.problem.why === ''))
            return false
        }
        return true
      },
    ),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyText, fc.constantFrom('9.0.0.1', 'fd01::1'), fc.nat(1)), {
        maxLength: 8,
      }),
      vips => {
        const records = vips.flatMap(([text, ip, weight]): VipRecord[] => {
          const name = vipName(text, 'marathon')
          return name === ''
            ? []
            : [{ protocol: 'tcp', name, ip: '', port: 80, backends: [{ ip, port: 80, weight }] }]
        })
        return (['vip', 'backends'] as const).every(answer =>
          [...vipZone([{ owner: 'a', records }], { answer })].every(([name]) => isName(name)),
        )
      },
    ),
  )
})
