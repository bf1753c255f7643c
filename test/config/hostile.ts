import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { CONTRACT } from '../fixture/contract.ts'
import { fc } from '../fixture/property.ts'
import { stringify } from 'yaml'
import { problemsOf, type Host } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { KEYS } from '../../src/config/schema.ts'
import { showEffective } from '../../src/config/effective.ts'
import { codeOf } from '../../src/base/error.ts'

const host: Host = { hostname: 'agent-17', networks: ['127.0.0.0/8', '10.0.0.0/24'] }
const load = (text: string) => loadConfig('spartan.yaml', text, host)

/** How many problems a file has. */
const problems = (text: string): number => {
  try {
    load(text)
    return 0
  } catch (er) {
    if (codeOf(er) !== 'ECONFIG') throw er
    return problemsOf(er).length
  }
}

t.test('what is printed as effective loads to the same configuration', async () => {
  // Words that YAML would parse as another type if they were not quoted.
  const word = fc.constantFrom('null', 'true', '123', '0x1f', '1e3', 'no', 'a', '0o7', '1_000')
  const address = fc
    .oneof(
      fc.ipV4(),
      fc.ipV6().filter(ip => !ip.includes('.')),
    )
    .map(ip => (ip.includes(':') ? `[${ip}]:5353` : `${ip}:5353`))
  const time = fc.integer({ min: 100, max: 5000 }).map(n => `${n}ms`)
  const file = fc.record(
    {
      node: word,
      clusterId: word.filter(text => !text.includes('.')),
      listen: fc.record({
        addresses: fc.constant(['198.51.100.1']),
        port: fc.integer({ min: 1, max: 65_535 }),
      }),
      allow: fc.uniqueArray(fc.ipV4(), { minLength: 1, maxLength: 3 }),
      upstreams: fc.uniqueArray(address, { maxLength: 3 }),
      forwardZones: fc.dictionary(word, fc.uniqueArray(address, { minLength: 1, maxLength: 2 }), {
        maxKeys: 3,
        noNullPrototype: true,
      }),
      zones: fc.dictionary(word, fc.dictionary(word, word, { maxKeys: 2, noNullPrototype: true }), {
        maxKeys: 2,
        noNullPrototype: true,
      }),
      cache: fc.record(
        {
          maxBytes: fc.constantFrom('1MiB', 1_000_000),
          serveStale: fc.constantFrom('0s', 0, '1h'),
          snapshot: fc.constantFrom('', '/var/x # y', "/it's", '/a: b'),
        },
        { requiredKeys: [] },
      ),
      gossip: fc.record(
        {
          insecure: fc.constant(true),
          clusterName: word,
          seeds: fc.uniqueArray(address, { maxLength: 2 }),
        },
        { requiredKeys: ['insecure'] },
      ),
      vips: fc.constantFrom(null, {}, { answer: 'backends' }),
      mesos: fc.constantFrom(null, { master: 'http://192.0.2.1:5050' }),
      race: fc.record(
        { grace: fc.constantFrom('0s', '20ms'), deadline: time },
        { requiredKeys: [] },
      ),
      metrics: fc.constantFrom({ prefix: '' }, { prefix: 'null' }),
      identity: fc.boolean(),
    },
    { requiredKeys: ['listen'] },
  )
  let good = 0
  fc.assert(
    fc.property(file, given => {
      let loaded
      try {
        loaded = load(stringify(given))
      } catch (er) {
        // Random addresses may be multicast, which another test covers.
        if (codeOf(er) !== 'ECONFIG') throw er
        return true
      }
      good++
      const again = load(showEffective(loaded, 'spartan.yaml')).config
      // Once `allow` is written out, it no longer follows the networks of this host.
      return isDeepStrictEqual(again, { ...loaded.config, allowAttached: false })
    }),
    { numRuns: 120 },
  )
  if (good < 15) throw new Error(`only ${good} files were good`)
})

/** Documents of our keys, legal and illegal values, and noise. */
const documents = () => {
  const names = fc.oneof(
    fc.constantFrom(
      ...KEYS.flatMap(({ path }) => path.split('.')),
      'mesos',
      '__proto__',
      'constructor',
      'toString',
      '0',
      '<<',
    ),
    fc.string({ maxLength: 6 }),
  )
  const leaf = fc.oneof(
    fc.constantFrom(
      '198.51.100.1',
      '0.0.0.0',
      '::',
      '5s',
      '1d',
      '32MiB',
      'static',
      '',
      '/x',
      'tls://192.0.2.1',
      'a.example',
      -1,
      1e99,
    ),
    fc.boolean(),
    fc.integer(),
    fc.double(),
    fc.string({ maxLength: 12 }),
    fc.constant(null),
  )
  return fc.letrec<{ node: unknown }>(tie => ({
    node: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      leaf,
      fc.array(tie('node'), { maxLength: 4 }),
      fc.dictionary(names, tie('node'), { maxKeys: 8, noNullPrototype: true }),
    ),
  })).node
}

/** Loads, or is refused with at least one problem that has a position and a sentence. */
const holds = (text: string): boolean => {
  try {
    const { config } = load(text)
    return Object.isFrozen(config)
  } catch (er) {
    const found = problemsOf(er)
    if (codeOf(er) !== 'ECONFIG' || !found.length) throw er
    const lines = text.split(/\r\n|\r|\n/).length
    return found.every(p => p.line >= 1 && p.line <= lines && p.column >= 1 && p.message.length > 0)
  }
}

t.test('any text either loads or is refused with problems', async t => {
  const warnings: unknown[] = []
  const note = (warning: unknown): void => void warnings.push(warning)
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), holds))
  fc.assert(
    fc.property(documents(), node => holds(stringify(node))),
    { numRuns: 150 },
  )
  fc.assert(
    fc.property(documents(), node => holds(JSON.stringify(node) ?? '')),
    { numRuns: 150 },
  )
  // One edit away from a valid file, which reaches more code than noise does.
  fc.assert(
    fc.property(fc.nat(CONTRACT.length), fc.nat(12), fc.string({ maxLength: 6 }), (at, cut, put) =>
      holds(CONTRACT.slice(0, at) + put + CONTRACT.slice(at + cut)),
    ),
    { numRuns: 250 },
  )
  await new Promise(resolve => setImmediate(resolve))
  t.strictSame(warnings, [], 'and says nothing behind our back')
})

t.test('a value that cannot become text is a problem like any other', async t => {
  for (const line of [
    'io: { toString: 0 }',
    'vips: { answer: { toString: 0 } }',
    'identity: { toString: 0, valueOf: 0 }',
    'node: { toString: 0 }',
  ]) {
    t.equal(problems(`listen: { addresses: [198.51.100.1] }\n${line}\n`), 1, line)
  }
})

t.test('hostile files are refused at a bounded cost', async t => {
  for (const [name, text] of [
    ['deep brackets', '['.repeat(30_000)],
    ['deep sections', '{a: '.repeat(5000)],
    ['too long', '#'.repeat(2_000_000)],
    ['many unknown keys', Array.from({ length: 5000 }, (_, i) => `k${i}: 1`).join('\n')],
    ['many twins', 'a: 1\n'.repeat(5000)],
    ['many addresses', `listen: { addresses: [${'127.0.0.1,'.repeat(5000)}] }`],
    ['many bad elements', `upstreams: [${'x,'.repeat(100_000)}]`],
    [
      'many aliases',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'
        .split('')
        .map((k, i) => `${k}: &${k} [${`*${'abcdefghi'[i]},`.repeat(9)}]`)
        .join('\n')}`,
    ],
    ['an alias of itself', 'a: &a [*a]'],
    ['a hole', 'a: *nowhere'],
    ['NUL', '\0\0\0'],
  ] as const) {
    t.ok(holds(text), name)
  }
  t.ok(
    problems(Array.from({ length: 5000 }, (_, i) => `k${i}: 1`).join('\n')) <= 201,
    'the list of problems ends',
  )
})
