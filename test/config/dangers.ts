/** Configurations that are valid but suspicious, one per row, each beside a similar one that is fine. */
import t from 'tap'
import { dangersOf } from '../../src/config/dangers.ts'
import { loadConfig } from '../../src/config/load.ts'
import { readHost } from '../../src/config/host.ts'

const dangers = (yaml: string): string[] => {
  const text = `listen: { addresses: [127.0.0.1, '127.0.0.2:5300'] }\nadmin: { listen: 127.0.0.1 }\n${yaml}`
  return dangersOf(loadConfig('spartan.yaml', text, readHost()).config).map(
    ({ key, message }) => `${key}: ${message}`,
  )
}

for (const [yaml, wanted] of [
  ['', []],
  ['allow: [127.0.0.0/8, 10.0.0.0/8]', []],
  ['allow: [0.0.0.0/0]', [/^allow: 0\.0\.0\.0\/0 lets nearly everybody/]],
  ["allow: ['::/0', 10.0.0.0/8]", [/^allow: ::\/0 lets/]],
  ['allow: [128.0.0.0/1]', [/^allow: 128\.0\.0\.0\/1/]],
  ['upstreams: [9.9.9.9]', []],
  ['upstreams: [192.0.2.53, 9.9.9.9]', [/^upstreams: 192\.0\.2\.53:53 is an example/]],
  ['upstreams: [tls://203.0.113.54]', [/^upstreams: tls:\/\/203\.0\.113\.54:853 is an example/]],
  ["upstreams: ['[2001:db8::1]:53']", [/^upstreams: \[2001:db8::1\]:53 is an example/]],
  ['upstreams: [https://resolver.example/dns-query]', [/is an example/]],
  ['upstreams: [https://192.0.2.1/dns-query]', [/is an example/]],
  ['upstreams: [https://resolver.examples.net/dns-query]', []],
  [
    'forwardZones: { corp.example: [192.0.2.60] }',
    [/^forwardZones\.corp\.example: 192\.0\.2\.60:53/],
  ],
  ['masters: { addresses: [192.0.2.5] }', [/^masters\.addresses: 192\.0\.2\.5 is an example/]],
  ['masters: { addresses: [10.0.0.5] }', []],
  ['gossip: { insecure: true, seeds: [] }', [/^gossip\.insecure: anybody/]],
  [
    'gossip: { insecure: true, seeds: [198.51.100.9] }',
    [/^gossip\.seeds: 198\.51\.100\.9/, /^gossip\.insecure/],
  ],
] as const)
  t.test(yaml || 'nothing but loopback', async t => {
    const found = dangers(yaml)
    t.equal(found.length, wanted.length, found.join('\n'))
    t.match(found, wanted)
  })

t.test('an admin server that others reach', async t => {
  const at = (listen: string): string[] =>
    dangersOf(
      loadConfig(
        'spartan.yaml',
        `listen: { addresses: [127.0.0.1] }\nadmin: { listen: '${listen}' }`,
        readHost(),
      ).config,
    ).map(({ message }) => message)
  t.strictSame(at('127.0.0.1'), [])
  t.strictSame(at('[::1]:62080'), [])
  t.match(at('0.0.0.0'), [/on every address/])
  t.match(at('[::]:62080'), [/on every address/])
  t.match(at('10.0.0.17'), [/by other hosts at 10\.0\.0\.17/])
  const token = `10.0.0.17', token: '/etc/token`
  t.match(at(token), [/token of 10\.0\.0\.17 can be read on its way/])
  t.strictSame(at(`${token}', tls: { cert: /c, key: /k }, socket: '/s`), [])
})

t.test('virtual addresses that nobody on this host carries connections to', async t => {
  const of = (answer: string, balanced: boolean): string[] => {
    const text = `listen: { addresses: [127.0.0.1] }\nvips: { answer: ${answer} }`
    return dangersOf(loadConfig('spartan.yaml', text, readHost()).config, balanced).map(
      ({ key, message }) => `${key}: ${message}`,
    )
  }
  t.match(of('vip', false), [/^vips\.answer: .*spartan-balance/])
  t.strictSame(of('vip', true), [])
  t.strictSame(of('auto', false), [])
  t.strictSame(of('backends', false), [])
})
