import { mkdirSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { CONTRACT } from '../fixture/contract.ts'
import { problemsOf, showProblem, type Host } from '../../src/config/config.ts'
import { loadConfig, loadConfigFile } from '../../src/config/load.ts'
import { KEYS } from '../../src/config/schema.ts'
import { effective, showEffective } from '../../src/config/effective.ts'
import { SERVERS, UPSTREAMS } from '../../src/boundary/counters.ts'
import { MAX_UPSTREAMS } from '../../src/config/rules.ts'
import { codeOf } from '../../src/base/error.ts'

const host: Host = {
  hostname: 'agent-17',
  networks: ['127.0.0.0/8', '10.0.0.0/24'],
  addresses: ['10.0.0.17'],
}
const load = (text: string) => loadConfig('spartan.yaml', text, host)

/** The problems of a file, one line each, without the file's name. */
const problems = (text: string): string[] => {
  try {
    load(text)
    return []
  } catch (er) {
    if (codeOf(er) !== 'ECONFIG') throw er
    return problemsOf(er).map(problem => showProblem('', problem).slice(1))
  }
}
/** A file that is right but for these lines. */
const withLines = (...lines: string[]): string =>
  ['listen: { addresses: [198.51.100.1] }', ...lines, ''].join('\n')

t.test('the example of the design loads', async t => {
  const { config, origins } = load(CONTRACT)
  t.match(config, {
    node: 'agent-17',
    listen: { addresses: [1, 2, 3].map(n => ({ address: `198.51.100.${n}`, port: 53 })) },
    masters: {
      source: 'static',
      addresses: [5, 6, 7].map(n => ({ address: `10.0.0.${n}`, port: 61053 })),
      refresh: 120_000,
      retry: 5000,
    },
    upstreams: [
      { protocol: 'udp', address: '192.0.2.53', port: 53 },
      { protocol: 'tls', address: '192.0.2.54', port: 853 },
      { protocol: 'https', url: 'https://resolver.example/dns-query' },
    ],
    forwardZones: {
      'corp.example': [
        { address: '192.0.2.60', port: 53 },
        { address: '192.0.2.61', port: 5353 },
      ],
    },
    cache: { maxBytes: 2 ** 25, serveStale: 86_400, maxTtl: 86_400, maxNegativeTtl: 3600 },
    gossip: {
      bind: { address: '0.0.0.0', port: 7946 },
      seeds: [{ address: '10.0.0.5', port: 7946 }, { port: 7946 }],
      insecure: false,
    },
    vips: { range: { min: '11.0.0.0', max: '11.255.255.255' }, enableIpv6: true, grace: 30_000 },
    admin: { listen: { address: '127.0.0.1', port: 62080 }, socket: '/run/spartan/admin.sock' },
  })
  t.equal(config.mesos, undefined)
  t.equal(origins.get('cache.maxBytes'), 'file:7')
  t.equal(origins.get('cache.maxTtl'), 'default')
  t.equal(origins.get('mesos.master'), undefined, 'a section that is not used has no values')
})

t.test('a file needs no more than an address to listen on', async t => {
  const { config } = load(withLines())
  t.match(config, {
    node: 'agent-17',
    allow: ['127.0.0.0/8', '::1/128', '10.0.0.0/24'],
    upstreams: [],
    race: { grace: 20, deadline: 1800 },
    limits: { inFlight: 4096, tcpConnections: 512, tcpIdle: 10_000 },
    metrics: { prefix: 'spartan_' },
    log: { level: 'info' },
    identity: true,
    io: 'auto',
  })
  for (const section of ['masters', 'gossip', 'vips', 'mesos'] as const)
    t.equal(config[section], undefined, section)
  const odd = loadConfig('', withLines(), { hostname: '-my_host.', networks: [] })
  t.equal(odd.config.node, 'my-host.', 'a host name that is no node name is made one')
})

t.test('the configuration is frozen to the bottom', async t => {
  const { config } = load(
    CONTRACT + 'zones: { component: { registry: master.mesos.thisdcos.directory } }\n',
  )
  const walk = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return
    t.ok(Object.isFrozen(value), path)
    for (const [key, inner] of Object.entries(value)) walk(inner, `${path}.${key}`)
  }
  walk(config, 'config')
  t.strictSame(config.zones, { component: { registry: 'master.mesos.thisdcos.directory' } })
  t.doesNotThrow(() => structuredClone(config))
})

t.test('JSON is YAML', async t => {
  t.strictSame(
    load('{"listen": {"addresses": ["198.51.100.1"], "port": 5353}}').config.listen.addresses,
    [{ address: '198.51.100.1', port: 5353 }],
  )
})

t.test('an empty section is a section of defaults', async t => {
  const { config, origins } = load(withLines('cache:', 'vips:', 'log:', '  # level: debug'))
  t.equal(config.cache.maxEntries, 100_000)
  t.equal(config.vips?.answer, 'auto')
  t.equal(origins.get('log.level'), 'default')
})

t.test('a problem says line, column, key and what was meant', async t => {
  for (const [lines, ...expected] of [
    [['lisen: {}'], '2:1: lisen: unknown key (did you mean listen?)'],
    [['cache: { maxByte: 1 }'], '2:10: cache.maxByte: unknown key (did you mean cache.maxBytes?)'],
    [['maxEntries: 5'], '2:1: maxEntries: unknown key (did you mean cache.maxEntries?)'],
    [['upstream_resolvers: []'], '2:1: upstream_resolvers: unknown key (did you mean upstreams?)'],
    [['min_named_ip: 11.0.0.0'], '2:1: min_named_ip: unknown key (did you mean vips.range.min?)'],
    [['forward_zones: {}'], '2:1: forward_zones: unknown key (did you mean forwardZones?)'],
    [['frobnicate: 1'], '2:1: frobnicate: unknown key'],
    [
      ['vips: { range: { mim: 1 } }'],
      '2:18: vips.range.mim: unknown key (did you mean vips.range.min?)',
    ],
    [
      ['log: { level: inof }'],
      "2:15: log.level: 'inof' is not one of debug, info, warn, error (did you mean info?)",
    ],
    [['cache:', '  serveStale: 5'], '3:15: cache.serveStale: 5 has no unit (did you mean 5s?)'],
    [
      ['cache: { serveStale: 500ms }'],
      "2:22: cache.serveStale: '500ms' is not a whole number of seconds, as TTLs are",
    ],
    [['cache: { maxBytes: 1KiB }'], '2:20: cache.maxBytes: 1KiB is outside 64KiB to 64GiB'],
    [['identity: yes'], "2:11: identity: 'yes' is neither true nor false (did you mean true?)"],
    [['limits: { inFlight: 0 }'], '2:21: limits.inFlight: 0 is not a whole number from 1 to 65536'],
    [['race: 3'], "2:7: race: 3 is not a section of 'key: value' lines"],
    [['upstreams: 192.0.2.1'], "2:12: upstreams: '192.0.2.1' is not a list: write [192.0.2.1]"],
    [
      ['upstreams:', '  - 192.0.2.1', '  - nonsense'],
      "4:5: upstreams[1]: 'nonsense' is not an address: write ip, ip:port or [ipv6]:port",
    ],
    [['upstreams:'], '2:1: upstreams: has no value: leave the key out to get its default'],
    [
      ['forwardZones: { a b: [192.0.2.1] }'],
      "2:17: forwardZones[\"a b\"]: 'a b' has the label 'a b': letters, digits, '-' and '_' only",
    ],
    [
      ['forwardZones: { corp.example: [] }'],
      '2:31: forwardZones["corp.example"]: needs at least 1 element',
    ],
    [
      ['forwardZones: { a: [192.0.2.1], A: [192.0.2.1] }'],
      '2:33: forwardZones.A: is the same as a',
    ],
    [['zones: { x: { y: 3 } }'], '2:18: zones.x.y: 3 is not a name: write it in quotes'],
    [
      ['cache: { snapshot: cache.bin }'],
      "2:20: cache.snapshot: 'cache.bin' is not an absolute path",
    ],
    [
      ['metrics: { prefix: "a b" }'],
      "2:20: metrics.prefix: 'a b' cannot begin the name of a metric",
    ],
    [["vips: { files: [''] }"], "2:17: vips.files[0]: '' is not a path"],
    [
      ['node: "a b"'],
      "2:7: node: 'a b' is not a node name: letters, digits, dots and hyphens, at most 128",
    ],
    [
      ['masters: { source: url, url: "ftp://x/" }'],
      "2:30: masters.url: 'ftp://x/' is not a URL of the form http://host/path or https://host/path",
    ],
    [['io: auto', 'io: dgram'], '3:1: io: this key is given twice'],
    [
      ['log: { level: !secret x }'],
      '2:15: Unresolved tag: !secret: tags are not used here',
      "2:23: log.level: 'x' is not one of debug, info, warn, error",
    ],
    [['? [a]', ': b'], '2:3: this key is a list or a section: keys are words'],
    [['__proto__: 1'], '2:1: __proto__: this key cannot be used'],
    [['---', 'x: 1'], '2:1: a second document begins: one file is one document'],
  ] as [string[], ...string[]][]) {
    t.strictSame(problems(withLines(...lines)), expected, lines.join(' '))
  }
  t.strictSame(problems(''), ['1:1: listen: this section is required'])
  t.strictSame(problems('listen: {}'), ['1:9: listen.addresses: is required'])
  t.strictSame(problems('listen:\n  addresses: []'), [
    '2:14: listen.addresses: needs at least 1 element',
  ])
  t.strictSame(problems('just words'), ["1:1: 'just words' is not a section of 'key: value' lines"])
  t.strictSame(problems('- 1\n- 2'), ["1:1: a list is not a section of 'key: value' lines"])
})

t.test('every problem of a file is reported, in its order', async t => {
  t.strictSame(
    problems(`listen: { addresses: [198.51.100.1, nowhere], prt: 53 }
upstreams: [198.51.100.1, x, 192.0.2.1, "192.0.2.1:53"]
cache:
  maxBytes: lots
  minTtl: 2h
  maxTtl: 1h
gossip: { seeds: [192.0.2.9] }
gossip: { insecure: maybe }
`).map(line => line.replace(/: .*?: /, ' ').slice(0, 50)),
    [
      "1:37 'nowhere' is not an address: write ip, ip:por",
      '1:47 unknown key (did you mean listen.port?)',
      '2:13 198.51.100.1:53 is our own address in listen.',
      "2:27 'x' is not an address: write ip, ip:port or [",
      '2:41 192.0.2.1:53 is in this list twice',
      "4:13 'lots' is not a size: write 64KiB, 32MiB or 1",
      '5:11 is above cache.maxTtl',
      '8:1 this key is given twice',
      '8:1 needs gossip.keyring: create one with "spartan',
      "8:21 'maybe' is neither true nor false",
    ],
  )
})

t.test('broken YAML keeps the problems above it and invents none below', async t => {
  const found = problems('lisen: 1\ncache: { maxBytes: 1\nlog: { level: loud }\n')
  t.equal(found[0], '1:1: lisen: unknown key (did you mean listen?)')
  t.notMatch(found.join('\n'), /required/)
  t.ok(found.length > 1)
  t.match(problems('listen:\n\taddresses: []\n')[0], /^2:1: .*tab/i)
})

t.test('what listens listens once, and on every address only when told to', async t => {
  for (const [text, ...expected] of [
    ['listen: { addresses: [0.0.0.0] }', /0\.0\.0\.0 is every address of the host.*anyAddress/],
    ['listen: { addresses: ["::"] }', /:: is every address/],
    ['listen: { addresses: [0.0.0.0], anyAddress: true }'],
    ['listen: { addresses: [198.51.100.1, 198.51.100.1] }', /already taken/],
    ['listen: { addresses: [198.51.100.1, "198.51.100.1:5353"] }'],
    ['listen: { addresses: ["2001:db8::1", "2001:DB8:0::1"] }', /already taken/],
    ['listen: { addresses: [198.51.100.1, "::ffff:198.51.100.1"] }', /already taken/],
    ['listen: { addresses: [0.0.0.0, 198.51.100.1], anyAddress: true }', /already taken/],
    ['listen: { addresses: [0.0.0.0, "::"], anyAddress: true }'],
    [
      'listen: { addresses: ["::", "2001:db8::1", 198.51.100.1], anyAddress: true }',
      /already taken/,
    ],
    [
      'listen: { addresses: ["127.0.0.1:62080"], port: "53" }',
      /^.*admin.*127\.0\.0\.1:62080 is already taken/,
    ],
    ['listen: { addresses: ["127.0.0.1:62080"] }\nadmin: { listen: "" }'],
    [
      'listen: { addresses: ["127.0.0.1:7946"] }\ngossip: { insecure: true }',
      /7946 is already taken/,
    ],
    ['listen: { addresses: [127.0.0.1], port: 0 }\nadmin: { listen: "127.0.0.1:0" }'],
    [
      `listen: { addresses: [${Array.from({ length: SERVERS + 1 }, (_, i) => `198.51.100.${i + 1}`)}] }`,
      /at most 8/,
    ],
  ] as [string, ...RegExp[]][]) {
    const found = problems(text)
    t.equal(found.length, expected.length, text)
    t.match(found, expected)
  }
})

t.test('nothing forwards to itself (COPS-4616)', async t => {
  const own = /is our own address in listen.addresses/
  for (const [line, ...expected] of [
    ['upstreams: [198.51.100.1]', own],
    ['upstreams: ["198.51.100.1:53"]', own],
    ['upstreams: ["198.51.100.1:5353"]'],
    ['upstreams: ["[::ffff:198.51.100.1]:53"]', own],
    ['upstreams: ["tls://198.51.100.1"]'],
    ['upstreams: ["tls://198.51.100.1:53"]', own],
    ['forwardZones: { corp.example: [192.0.2.1, 198.51.100.1] }', own],
    ['masters: { addresses: [198.51.100.1] }'],
    ['masters: { addresses: ["198.51.100.1:53"] }', own],
    ['masters: { addresses: [198.51.100.1], port: 53 }', own],
  ] as [string, ...RegExp[]][]) {
    t.match(problems(withLines(line)), expected, line)
    t.equal(problems(withLines(line)).length, expected.length)
  }
  const any = 'listen: { addresses: [0.0.0.0], anyAddress: true }\n'
  t.match(problems(any + 'upstreams: [127.0.0.53, 10.0.0.17, "10.0.0.17:5353", 10.0.0.18]\n'), [
    own,
    own,
  ])
})

t.test('each list names a server once, and there is a counter for each', async t => {
  t.match(problems(withLines('upstreams: [192.0.2.1, "192.0.2.1:53"]')), [/twice/])
  t.match(problems(withLines('upstreams: [192.0.2.1, "tls://192.0.2.1"]')), [])
  t.match(problems(withLines('masters: { addresses: [192.0.2.1, "192.0.2.1:61053"] }')), [/twice/])
  t.match(problems(withLines('forwardZones: { a: [192.0.2.1], b: [192.0.2.1] }')), [])
  const many = Array.from({ length: MAX_UPSTREAMS + 1 }, (_, i) => `192.0.2.${i + 1}`)
  t.match(problems(withLines(`upstreams: [${many}]`)), [/at most 56/])
  t.ok(MAX_UPSTREAMS + 7 < UPSTREAMS, 'masters found at run time have room')
})

t.test('a source of masters comes with what it needs, and only that', async t => {
  for (const [line, ...expected] of [
    ['masters: {}', /source static needs masters.addresses/],
    ['masters: { source: file }', /needs masters.file/],
    ['masters: { source: file, file: /etc/masters }'],
    ['masters: { source: url, url: "http://192.0.2.1/masters" }'],
    ['masters: { source: exhibitor }', /needs masters.exhibitor/],
    ['masters: { source: dns, name: masters.example.org }'],
    [
      'masters: { source: dns, name: masters.example.org, addresses: [192.0.2.1] }',
      /has no effect/,
    ],
  ] as [string, ...RegExp[]][]) {
    t.match(problems(withLines(line)), expected, line)
    t.equal(problems(withLines(line)).length, expected.length)
  }
})

t.test('a forward zone is not one that is answered here', async t => {
  for (const [lines, ...expected] of [
    [['forwardZones: { zk: [192.0.2.1] }'], /never forwarded/],
    [['forwardZones: { "l4lb.thisdcos.directory": [192.0.2.1] }'], /never forwarded/],
    [['forwardZones: { mesos: [192.0.2.1] }']],
    [
      ['masters: { addresses: [192.0.2.1] }', 'forwardZones: { x.mesos: [192.0.2.1] }'],
      /below mesos/,
    ],
    [['forwardZones: { abc.dcos.directory: [192.0.2.1] }']],
    [['clusterId: ABC', 'forwardZones: { x.abc.dcos.directory: [192.0.2.1] }'], /never forwarded/],
    [['zones: { L4lb: { a: b.example } }'], /filled from the cluster/],
    [['zones: { mesos: { a: b.example } }'], /filled from the cluster/],
    [['zones: { a.b: { a: b.example } }'], /more than one label/],
  ] as [string[], ...RegExp[]][]) {
    t.match(problems(withLines(...lines)), expected, lines.join(' '))
    t.equal(problems(withLines(...lines)).length, expected.length)
  }
})

t.test('gossip needs a keyring or the words that it does not', async t => {
  t.match(problems(withLines('gossip:')), [/needs gossip.keyring/])
  t.match(problems(withLines('gossip: { keyring: "" }')), [/needs gossip.keyring/])
  t.match(problems(withLines('gossip: { insecure: true }')), [])
  t.match(problems(withLines('gossip: { keyring: /etc/spartan/keyring.json }')), [])
  t.match(problems(withLines('gossip: { insecure: true, seeds: [192.0.2.1, "192.0.2.1:7946"] }')), [
    /twice/,
  ])
  t.match(problems(withLines('gossip: { insecure: true, seedMasters: true }')), [
    /needs the section masters/,
  ])
  t.match(
    problems(
      withLines(
        'masters: { addresses: [192.0.2.1] }',
        'gossip: { insecure: true, seedMasters: true }',
      ),
    ),
    [],
  )
  const { gossip } = load(
    withLines(
      'stateDir: /var/lib/spartan',
      'gossip: { bind: "192.0.2.7:7000", advertise: 203.0.113.7, insecure: true }',
    ),
  ).config
  t.strictSame(
    gossip?.advertise,
    { address: '203.0.113.7', port: 7000 },
    'the advertised port is the bound one',
  )
  t.equal(gossip?.stateDir, '/var/lib/spartan')
})

t.test('dnstap needs a socket that can exist', async t => {
  const { dnstap } = load(withLines('dnstap: { socket: /run/tap.sock }')).config
  t.strictSame(dnstap, { socket: '/run/tap.sock', messages: 'both', sample: 1, identity: '' })
  t.equal(load(withLines()).config.dnstap, undefined)
  for (const [line, ...expected] of [
    ['dnstap:', /is required/],
    ['dnstap: { socket: "" }', /'' is not a path/],
    ['dnstap: { socket: tap.sock }', /not an absolute path/],
    [`dnstap: { socket: /${'x'.repeat(107)} }`, /at most 107 bytes/],
    ['dnstap: { socket: /s, sample: 0 }', /whole number from 1/],
    ['dnstap: { socket: /s, messages: [query] }', /both, query, response/],
    ['dnstap: { socket: /s, identity: "a\\n" }', /printable/],
  ] as [string, ...RegExp[]][]) {
    t.match(problems(withLines(line)), expected, line)
    t.equal(problems(withLines(line)).length, expected.length, line)
  }
})

t.test('the ranges of VIPs are ranges of their family', async t => {
  t.match(problems(withLines('vips: { range: { min: 12.0.0.0 } }')), [/min must be below max/])
  t.match(problems(withLines('vips: { range: { min: "fd01::" } }')), [/not a plain IPv4/])
  t.match(problems(withLines('vips: { range6: { min: "fd01::", max: "fd01::ffff" } }')), [])
  t.match(problems(withLines('vips: { range6: { min: 11.0.0.0 } }')), [/not a plain IPv6/])
  t.match(problems(withLines('race: { grace: 2s }')), [/is above race.deadline/])
  t.match(problems(withLines('race: { grace: 1s, deadline: 500ms }')), [/is above race.deadline/])
})

t.test('a file that cannot be read is a problem like any other', async t => {
  const dir = t.testdir({ 'good.yaml': CONTRACT })
  t.equal(loadConfigFile(`${dir}/good.yaml`, host).config.node, 'agent-17')
  mkdirSync(`${dir}/folder`)
  for (const path of [`${dir}/absent.yaml`, `${dir}/folder`]) {
    t.throws(() => loadConfigFile(path, host), {
      code: 'ECONFIG',
      problems: [{ line: 1, column: 1 }],
    })
  }
  t.throws(() => loadConfigFile(`${dir}/absent.yaml`, host), {
    message: /absent.yaml:1:1: there is no such file/,
  })
  writeFileSync(`${dir}/bytes.yaml`, Buffer.from([0xff, 0xfe, 0x00, 0x80]))
  t.throws(() => loadConfigFile(`${dir}/bytes.yaml`, host), { code: 'ECONFIG' })
})

t.test('the table of keys is complete and its defaults are real', async t => {
  const paths = KEYS.map(({ path }) => path)
  t.equal(new Set(paths).size, paths.length)
  for (const { path, type, description } of KEYS) {
    t.ok(type, path)
    t.match(description, /\.$/, `${path} is described in sentences`)
  }
  // Writing every default into the file, as printed in the table, changes nothing.
  const full = load(CONTRACT + 'mesos: {}\nclusterId: ""\ndnstap: { socket: /run/tap.sock }\n')
  const again = load(showEffective(full, 'spartan.yaml'))
  t.strictSame(again.config, full.config)
  t.strictSame([...full.origins.keys()].sort(), [...paths].sort())
})

t.test('the effective configuration is a configuration with origins', async t => {
  const loaded = load(withLines('cache: { maxBytes: 64MiB }'))
  const text = showEffective(loaded, 'spartan.yaml')
  t.match(text, /^node: agent-17 +# default$/m)
  t.match(text, /^ {2}addresses: \[198.51.100.1\] +# spartan.yaml:1$/m)
  t.match(text, /^ {2}maxBytes: 64MiB +# spartan.yaml:2$/m)
  t.match(text, /^# gossip: not used$/m)
  t.equal(loaded.config.allowAttached, true)
  t.strictSame(
    load(text).config,
    { ...loaded.config, allowAttached: false },
    'who may ask is written out, and so fixed',
  )
  t.match(
    effective(loaded).find(({ path }) => path === 'cache.maxBytes'),
    { value: '64MiB', origin: 'file:2' },
  )
})
