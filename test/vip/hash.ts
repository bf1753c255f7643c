import t from 'tap'
import { phash2 } from '../../src/vip/hash/phash2.ts'
import { allocateAddresses, DEFAULT_RANGE_V4 } from '../../src/vip/hash/vip-address.ts'
import {
  addressType,
  canonicalIp,
  familyOf,
  hostPort,
  ipToNumber,
  numberToIp,
} from '../../src/base/ip.ts'

t.test('an address has one spelling', async t => {
  for (const [text, canonical] of [
    ['192.0.2.1', '192.0.2.1'],
    ['192.0.2.01', ''],
    ['192.0.2', ''],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1::', '1::'],
    ['::ffff:192.0.2.1', '::ffff:c000:201'],
    ['1:2:3:4:5:6:192.0.2.1', '1:2:3:4:5:6:c000:201'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['1:0:3:4:5:6:7:8', '1:0:3:4:5:6:7:8'], // a single zero is not shortened, RFC 5952 §4.2.2
    ['fe80::1%eth0', ''],
    ['example.org', ''],
    ['', ''],
  ] as const) {
    t.equal(canonicalIp(text), canonical, text)
  }
  t.same(['192.0.2.1', '2001:db8::1', ''].map(familyOf), [4, 6, 0])
  t.equal(addressType('2001:db8::1'), 'AAAA')
  t.equal(hostPort('2001:db8::1', 80), '[2001:db8::1]:80')
  for (const ip of ['192.0.2.1', '255.255.255.255']) t.equal(numberToIp(ipToNumber(ip), 4), ip)
  for (const ip of ['fd01:c::', '2001:db8::1:0:0:1', '::'])
    t.equal(numberToIp(ipToNumber(ip), 6), ip)
})

t.test('a VIP has the address running clusters gave it', async t => {
  // dcos-net's own tests assert the first three
  const small = { min: '11.0.0.0', max: '11.0.0.254' }
  t.equal(allocateAddresses(['foo.bar'], 4, small).get('foo.bar'), '11.0.0.37')
  t.equal(allocateAddresses(['baz.qux'], 4, small).get('baz.qux'), '11.0.0.39')
  t.equal(allocateAddresses(['qux.ipv6'], 6).get('qux.ipv6'), 'fd01:c::6d6d:9c64:fd19:f251')
  t.equal(allocateAddresses(['redis.marathon'], 4).get('redis.marathon'), '11.202.66.36')
  t.equal(allocateAddresses(['foo.bar'], 4).get('foo.bar'), '11.138.58.156')
  t.equal(allocateAddresses(['baz.qux'], 4).get('baz.qux'), '11.95.65.17')
  const older = { ...DEFAULT_RANGE_V4, max: '11.255.255.254' }
  t.equal(allocateAddresses(['redis.marathon'], 4, older).get('redis.marathon'), '11.202.66.162')
})

t.test('the hash takes names of every length', async t => {
  const seen = new Set<number>()
  for (let n = 0; n < 40; n++) seen.add(phash2(Buffer.from('a'.repeat(n))))
  t.equal(seen.size, 40)
})

t.test('colliding names are placed in one order on every node', async t => {
  const names = Array.from({ length: 200 }, (_, i) => `vip-${i}.marathon`)
  const range = { min: '11.0.0.0', max: '11.0.0.254' }
  const placed = allocateAddresses(names, 4, range)
  t.equal(placed.size, 200)
  t.equal(new Set(placed.values()).size, 200, 'each has an address of its own')
  t.same([...allocateAddresses([...names].reverse(), 4, range)].sort(), [...placed].sort())
  t.same(
    [...allocateAddresses([...names, ...names], 4, range)].sort(),
    [...placed].sort(),
    'a name twice is one',
  )
})

t.test('a range that is full leaves names without an address', async t => {
  const placed = allocateAddresses(['a.x', 'b.x', 'c.x', 'd.x'], 4, {
    min: '11.0.0.0',
    max: '11.0.0.2',
  })
  t.same([...placed.keys()], ['a.x', 'b.x', 'c.x'])
  t.same([...new Set(placed.values())].sort(), ['11.0.0.0', '11.0.0.1', '11.0.0.2'])
  t.equal(allocateAddresses(['a.x'], 4, { min: '11.0.0.2', max: '11.0.0.1' }).size, 0)
})
