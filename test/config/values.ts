import t from 'tap'
import { fc } from '../fixture/property.ts'
import {
  parseAddress,
  parseName,
  parseNetwork,
  parseTarget,
  parseUpstream,
  parseUrl,
  showUpstream,
} from '../../src/config/address.ts'
import { readHost } from '../../src/config/host.ts'
import { editDistance, nearest } from '../../src/config/nearest.ts'
import { parseSize, parseTime, showSize, showTime, type Parsed } from '../../src/config/units.ts'

/** The value, or the problem as text, for comparison with a table row. */
const got = <T>(read: Parsed<T>): unknown => ('value' in read ? read.value : `! ${read.problem}`)
const isBad = (read: Parsed<unknown>): boolean => 'problem' in read

t.test('a time has a number and a unit', async t => {
  for (const [raw, ms] of [
    ['250ms', 250],
    ['5s', 5000],
    ['1.5s', 1500],
    ['10m', 600_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['1w', 604_800_000],
    [' 5 s ', 5000],
    [0, 0],
    ['0', 0],
    ['0s', 0],
  ] as const) {
    t.equal(got(parseTime(raw)), ms, String(raw))
  }
  for (const raw of [
    '',
    '5',
    's',
    '5 parsecs',
    '-5s',
    '5S',
    '1e3s',
    '5s5s',
    true,
    null,
    [],
    {},
    '9'.repeat(40) + 's',
  ]) {
    t.ok(isBad(parseTime(raw)), JSON.stringify(raw))
  }
  t.strictSame(parseTime(5), { problem: '5 has no unit', suggestion: '5s' })
  for (const [ms, text] of [
    [0, '0s'],
    [20, '20ms'],
    [1800, '1800ms'],
    [60_000, '1m'],
    [90_000, '90s'],
    [86_400_000, '1d'],
  ] as const) {
    t.equal(showTime(ms), text)
    t.equal(got(parseTime(text)), ms)
  }
})

t.test('a size is bytes, or a number and a unit', async t => {
  for (const [raw, bytes] of [
    ['32MiB', 33_554_432],
    ['64KiB', 65_536],
    ['1GiB', 1_073_741_824],
    ['1.5KiB', 1536],
    ['1kB', 1000],
    ['1MB', 1_000_000],
    [4096, 4096],
    ['4096', 4096],
    ['12B', 12],
    [0, 0],
  ] as const) {
    t.equal(got(parseSize(raw)), bytes, String(raw))
  }
  for (const raw of ['', 'MiB', '-1MiB', 1.5, -1, NaN, Infinity, '1e6', true, null, []]) {
    t.ok(isBad(parseSize(raw)), JSON.stringify(raw))
  }
  t.match(parseSize('32M'), { suggestion: '32MiB' })
  t.match(parseSize('1gb'), { suggestion: '1GiB' })
  for (const [bytes, text] of [
    [1500, '1500B'],
    [2048, '2KiB'],
    [33_554_432, '32MiB'],
  ] as const)
    t.equal(showSize(bytes), text)
})

t.test('an address is one spelling, with its port apart', async t => {
  for (const [raw, address, port] of [
    ['192.0.2.1', '192.0.2.1', undefined],
    ['192.0.2.1:5353', '192.0.2.1', 5353],
    ['2001:DB8:0:0::1', '2001:db8::1', undefined],
    ['[2001:db8::1]', '2001:db8::1', undefined],
    ['[2001:DB8::1]:53', '2001:db8::1', 53],
    ['::ffff:192.0.2.1', '192.0.2.1', undefined],
    ['[::ffff:192.0.2.1]:53', '192.0.2.1', 53],
    ['fe80::1%eth0', 'fe80::1%eth0', undefined],
    [' 192.0.2.1 ', '192.0.2.1', undefined],
    ['192.0.2.1:0', '192.0.2.1', 0],
  ] as const) {
    t.strictSame(got(parseAddress(raw)), port === undefined ? { address } : { address, port }, raw)
  }
  for (const raw of [
    '',
    ':',
    ':53',
    '192.0.2',
    '192.0.2.256',
    '192.0.2.1:',
    '192.0.2.1:x',
    '192.0.2.1:65536',
    '192.0.2.1:53:53',
    '2001:db8::1:53:',
    '[2001:db8::1',
    '2001:db8::1]:53',
    '[]:53',
    'example.org',
    'localhost:53',
    '010.0.0.1',
    53,
    192.02,
    null,
    ['192.0.2.1'],
  ]) {
    t.ok(isBad(parseAddress(raw)), JSON.stringify(raw))
  }
})

t.test('a target is an address that something can be sent to', async t => {
  for (const raw of [
    '0.0.0.0',
    '[::]:53',
    '224.0.0.1',
    '255.255.255.255',
    'ff02::1',
    '192.0.2.1:0',
  ]) {
    t.ok(isBad(parseTarget(raw)), raw)
  }
  t.strictSame(got(parseTarget('127.0.0.1:53')), { address: '127.0.0.1', port: 53 })
})

t.test('an upstream says its protocol by its form', async t => {
  for (const [raw, upstream] of [
    ['192.0.2.53', { protocol: 'udp', address: '192.0.2.53', port: 53 }],
    ['[2001:db8::53]:5353', { protocol: 'udp', address: '2001:db8::53', port: 5353 }],
    ['tcp://192.0.2.53', { protocol: 'tcp', address: '192.0.2.53', port: 53 }],
    ['tcp://[2001:db8::53]:5353', { protocol: 'tcp', address: '2001:db8::53', port: 5353 }],
    ['tls://192.0.2.54', { protocol: 'tls', address: '192.0.2.54', port: 853 }],
    ['tls://192.0.2.54:8853', { protocol: 'tls', address: '192.0.2.54', port: 8853 }],
    [
      'tls://192.0.2.54#Resolver.Example',
      { protocol: 'tls', address: '192.0.2.54', port: 853, serverName: 'resolver.example' },
    ],
    [
      'tls://[2001:db8::53]:853#r.example',
      { protocol: 'tls', address: '2001:db8::53', port: 853, serverName: 'r.example' },
    ],
    [
      'https://resolver.example/dns-query',
      { protocol: 'https', url: 'https://resolver.example/dns-query' },
    ],
    ['https://192.0.2.55/dns-query', { protocol: 'https', url: 'https://192.0.2.55/dns-query' }],
  ] as const) {
    const read = parseUpstream(raw)
    t.strictSame(got(read), upstream, raw)
    if ('value' in read)
      t.strictSame(
        got(parseUpstream(showUpstream(read.value))),
        upstream,
        'its printed form reads back',
      )
  }
  for (const raw of [
    'resolver.example',
    'udp://192.0.2.1',
    'http://192.0.2.1/dns-query',
    'tcp://resolver.example',
    'tcp://192.0.2.1#name',
    'tcp://',
    'tls://tcp://192.0.2.1',
    'tls://resolver.example',
    'tls://192.0.2.1#',
    'tls://192.0.2.1#a b',
    'https://',
    'https:///x',
    'https://me:secret@resolver.example/',
    '192.0.2.1#x',
    53,
    null,
  ]) {
    t.ok(isBad(parseUpstream(raw)), JSON.stringify(raw))
  }
  const secret = parseUrl('https://me:hunter2@resolver.example/')
  t.notMatch(got(secret), /hunter2/, 'a password is not repeated in the message')
})

t.test('a network is CIDR without host bits', async t => {
  for (const [raw, cidr] of [
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['10.0.0.17/24', '10.0.0.0/24'],
    ['192.0.2.1', '192.0.2.1/32'],
    ['2001:db8::1', '2001:db8::1/128'],
    ['2001:DB8:1::7/48', '2001:db8:1::/48'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', '::/0'],
  ] as const) {
    t.equal(got(parseNetwork(raw)), cidr, raw)
  }
  for (const raw of [
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10/8',
    'x/8',
    '/8',
    '10.0.0.0/-1',
    '::ffff:10.0.0.0/96',
    10,
    null,
  ]) {
    t.ok(isBad(parseNetwork(raw)), JSON.stringify(raw))
  }
})

t.test('a name is lower case without its final dot', async t => {
  for (const [raw, name] of [
    ['Corp.Example.', 'corp.example'],
    ['_tcp.example', '_tcp.example'],
    ['a-b.c', 'a-b.c'],
    ['1.in-addr.arpa', '1.in-addr.arpa'],
    ['a'.repeat(63), 'a'.repeat(63)],
  ] as const) {
    t.equal(got(parseName(raw)), name)
  }
  for (const raw of [
    '',
    '.',
    'a..b',
    '.a',
    'a b',
    '-a',
    'a-',
    'é',
    'a'.repeat(64),
    'a.'.repeat(127) + 'a',
    3,
    null,
  ]) {
    t.ok(isBad(parseName(raw)), JSON.stringify(raw))
  }
})

t.test('reading never throws, whatever it is given', async () => {
  fc.assert(
    fc.property(fc.anything(), raw => {
      for (const parse of [
        parseTime,
        parseSize,
        parseAddress,
        parseTarget,
        parseUpstream,
        parseNetwork,
        parseName,
        parseUrl,
      ]) {
        const read = parse(raw)
        if (!('value' in read) && !read.problem) return false
      }
      return true
    }),
  )
})

t.test('the nearest word is one that could have been meant', async t => {
  const words = ['listen', 'upstreams', 'forwardZones', 'cache', 'maxBytes', 'maxEntries', 'ttl']
  for (const [typed, meant] of [
    ['lisen', 'listen'],
    ['lsiten', 'listen'],
    ['forward_zones', 'forwardZones'],
    ['forwardzone', 'forwardZones'],
    ['max-bytes', 'maxBytes'],
    ['Cache', 'cache'],
    ['ttls', 'ttl'],
    ['nonsense', undefined],
    ['', undefined],
    ['x'.repeat(100_000), undefined],
  ] as const) {
    t.equal(nearest(typed, words), meant, typed.slice(0, 20) || 'nothing')
  }
  t.equal(editDistance('kitten', 'sitting'), 3)
  t.equal(editDistance('ab', 'ba'), 1, 'two swapped letters are one error')
  t.equal(editDistance('', 'abc'), 3)
})

t.test('the host is its name and its attached networks', async t => {
  const at = (address: string, cidr: string | null) =>
    ({ address, cidr, family: 'IPv4', netmask: '', mac: '', internal: false }) as const
  const host = readHost('agent-17', {
    lo: [at('127.0.0.1', '127.0.0.1/8')],
    eth0: [
      at('10.0.0.17', '10.0.0.17/24'),
      at('2001:db8::7', '2001:db8::7/64'),
      at('fe80::1', 'fe80::1/64'),
    ] as never,
    odd: [at('10.0.0.18', null)],
    same: [at('10.0.0.19', '10.0.0.19/24')],
  })
  t.strictSame(host, {
    hostname: 'agent-17',
    networks: ['127.0.0.0/8', '10.0.0.0/24', '2001:db8::/64'],
    addresses: ['127.0.0.1', '10.0.0.17', '2001:db8::7', 'fe80::1', '10.0.0.18', '10.0.0.19'],
  })
  t.ok(readHost().hostname)
})
