/** IP literals: what is one, against Node's own judgement, and its octets. */
import { isIP, isIPv6 } from 'node:net'
import t from 'tap'
import {
  canonicalAddress,
  canonicalIp,
  groupsOf,
  ipFamily,
  ipToNumber,
  ipToOctets,
} from '../../src/base/ip.ts'
import { seeded, seedOr } from '../fixture/random.ts'

t.test('the groups of an IPv6 literal (RFC 4291 section 2.2)', async t => {
  const table: readonly [text: string, hex: string | undefined][] = [
    ['::', '0:0:0:0:0:0:0:0'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['1::', '1:0:0:0:0:0:0:0'],
    ['2001:DB8::8:800:200c:417A', '2001:db8:0:0:8:800:200c:417a'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
    ['::ffff:192.0.2.128', '0:0:0:0:0:ffff:c000:280'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
    ['1:2:3:4:5::1.2.3.4', '1:2:3:4:5:0:102:304'],
    ['1:2:3:4:5:6:7::8', undefined],
    ['1:2:3:4:5:6:7', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['1::2::3', undefined],
    [':::', undefined],
    [':1::', undefined],
    ['1:', undefined],
    ['', undefined],
    ['12345::', undefined],
    ['g::', undefined],
    ['1.2.3.4', undefined],
    ['1.2.3.4::', undefined],
    ['::1.2.3', undefined],
    ['::1.2.3.256', undefined],
    ['::1.2.3.4:5', undefined],
    ['1:2:3:4:5:6:7:1.2.3.4', undefined],
    ['fe80::1%eth0', undefined],
    [' ::1', undefined],
  ]
  for (const [text, hex] of table)
    t.equal(
      groupsOf(text)
        ?.map(group => group.toString(16))
        .join(':'),
      hex,
      text,
    )
})

t.test('what is an address agrees with Node', async t => {
  const random = seeded(seedOr(28115902))
  const words = ['', '0', '1', 'ab', 'FFFF', '12345', 'g', '1.2.3.4', '1.2.3.300', '%eth0', '%']
  const texts = ['::1%lo', 'fe80::1%eth0.5', '::1%', '::1%a%b', '10.0.0.1%lo', '10.0.0.1', '::1%ä']
  for (let i = 0; i < 20_000; i++)
    texts.push(Array.from({ length: 1 + random.int(9) }, () => random.pick(words)).join(':'))
  const wrong = texts.filter(text => ipFamily(text) !== isIP(text))
  t.strictSame(wrong, [], `seed ${random.seed}`)
  t.ok(texts.filter(text => isIPv6(text)).length > 100, 'many of them are addresses')
})

t.test('one spelling for each address', async t => {
  t.equal(canonicalIp('2001:0DB8:0:0:1::1'), '2001:db8::1:0:0:1')
  t.equal(canonicalIp('fe80::1%eth0'), '')
  t.equal(canonicalIp(`${'0'.repeat(40)}::1`), '')
  t.equal(canonicalAddress('::FFFF:10.0.0.1'), '10.0.0.1')
  t.equal(canonicalAddress('FE80::1%eth0'), 'fe80::1%eth0')
  t.equal(canonicalAddress('10.0.0.1%eth0'), '')
})

t.test('octets and integers leave the scope out', async t => {
  t.equal(ipToOctets('fe80::1%eth0').toString('hex'), `fe80${'0'.repeat(27)}1`)
  t.equal(ipToOctets('192.0.2.1').toString('hex'), 'c0000201')
  t.equal(ipToOctets('example.org').length, 0)
  t.equal(ipToNumber('fe80::1%eth0'), (0xfe80n << 112n) + 1n)
  t.equal(ipToNumber('192.0.2.1'), 0xc0000201n)
})
