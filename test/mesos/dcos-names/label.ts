import t from 'tap'
import { fc } from '../../fixture/property.ts'
import { domainFrag, label, label952, mesosDnsLabel } from '../../../src/mesos/dcos-names/label.ts'
import { taskHash, zbase32 } from '../../../src/mesos/dcos-names/zbase32.ts'

const dashes = (n: number): string => '-'.repeat(n)
const DIGITS = '123456789012345678901234567890123456789'

const VECTORS: readonly (readonly [input: string, rfc1123: string, rfc952?: string])[] = [
  ['fd%gsf---gs7-f$gs--d7fddg-123', 'fdgsf---gs7-fgs--d7fddg-123', 'fdgsf---gs7-fgs--d7fddg1'],
  ['4abc123', '4abc123', 'abc123'],
  ['-4abc123', '4abc123', 'abc123'],
  ['89fdgsf---gs7-fgs--d7fddg-', '89fdgsf---gs7-fgs--d7fddg', 'fdgsf---gs7-fgs--d7fddg'],
  ['89fdgsf---gs7-fgs--d7fddg-123', '89fdgsf---gs7-fgs--d7fddg-123', 'fdgsf---gs7-fgs--d7fddg1'],
  [`##fdgsf---gs7-fgs--d7fddg${DIGITS}-`, `fdgsf---gs7-fgs--d7fddg${DIGITS}`],
  // the 63rd character is a dash: it is removed, and the 1 behind it is used
  [`fd%gsf---gs7-f$gs--d7fddg${DIGITS}-123`, `fdgsf---gs7-fgs--d7fddg${DIGITS}1`],
  ['0-0', '0-0'],
  [`hello${dashes(56)}f`, `hello${dashes(56)}f`, 'hellof'],
  [
    'chronos with a space AND MIXED CASE-2.0.1',
    'chronoswithaspaceandmixedcase-2-0-1',
    'chronoswithaspaceandmixe',
  ],
  ['statsd.logs.q', 'statsd-logs-q', 'statsd-logs-q'],
  ['', '', ''],
  ['...', '', ''],
  ['grün', 'grn', 'grn'],
]

t.test('a label follows the vectors of Mesos-DNS and dcos-net', async t => {
  for (const [input, rfc1123, rfc952] of VECTORS) {
    t.equal(label(input), rfc1123, `1123 of ${input}`)
    t.equal(mesosDnsLabel(input), rfc1123, `1123 of ${input} in Mesos-DNS`)
    if (rfc952 !== undefined) t.equal(label952(input), rfc952, `952 of ${input}`)
  }
})

t.test('a label of Mesos-DNS keeps dashes behind a cut, one of dcos-net does not', async t => {
  const input = `${'a'.repeat(60)}------b-c-d`
  t.equal(label(input), `${'a'.repeat(60)}bcd`)
  t.equal(mesosDnsLabel(input), `${'a'.repeat(60)}b-c`)
  t.equal(
    mesosDnsLabel(`${'a'.repeat(61)}------b-c-d`),
    `${'a'.repeat(61)}b`,
    'and never ends in one',
  )
})

t.test('a dotted name is normalised part by part and loses its empty parts', async t => {
  const pod = 'pod_123$abc.marathon-0.6.0-dev.mesos'
  t.equal(domainFrag(pod), 'pod-123abc.marathon-0.6.0-dev.mesos')
  t.equal(domainFrag(pod, label952), 'pod-123abc.marathon-0.dev.mesos')
  for (const empty of ['', '.', '..', '$.%']) t.equal(domainFrag(empty), '')
  t.equal(domainFrag('/Group/App'), 'groupapp')
})

t.test('a label of any string is empty or a valid host name label', async t => {
  const odd = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('-', '.', 'a', '9', 'Z', '_', 'ß'), maxLength: 200 }),
  )
  fc.assert(
    fc.property(odd, s => {
      const one = label(s)
      for (const made of [one, mesosDnsLabel(s)])
        t.match(made, /^$|^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
      t.match(label952(s), /^$|^[a-z]([-a-z0-9]{0,22}[a-z0-9])?$/)
      if (label(one) !== one) t.fail(`normalising ${s} twice changes it`)
    }),
    { numRuns: 300 },
  )
})

t.test('z-base-32 follows the published examples and the hash of Mesos-DNS', async t => {
  t.equal(zbase32(new Uint8Array([])), '')
  t.equal(zbase32(new Uint8Array([0xf0, 0xbf, 0xc7])), '6n9hq')
  t.equal(zbase32(new Uint8Array([0xd4, 0x7a, 0x04])), '4t7ye')
  t.equal(taskHash('test'), 'iffe9')
})
