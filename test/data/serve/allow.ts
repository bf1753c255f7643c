/** Which clients may ask, by number and by text, asked repeatedly. */
import t from 'tap'
import { Allow } from '../../../src/data/serve/allow.ts'

const number = (text: string): number =>
  text.split('.').reduce((n, octet) => n * 256 + Number(octet), 0)

t.test('a verdict is the same each time, whoever asked in between', async t => {
  const allow = new Allow(['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '2001:db8::1'])
  const verdicts: readonly (readonly [string, boolean])[] = [
    ['10.1.2.3', true],
    ['11.1.2.3', false],
    ['192.0.2.7', true],
    ['192.0.2.8', false],
    ['255.255.255.255', false],
    ['fd12::1', true],
    ['fe12::1', false],
    ['2001:db8::1', true],
    ['2001:db8::2', false],
    ['::ffff:10.1.2.3', true],
    ['::FFFF:11.1.2.3', false],
    ['fd12::1%eth0', true],
    ['no address', false],
    ['', false],
  ]
  for (let round = 0; round < 3; round++) {
    for (const [address, verdict] of verdicts) {
      t.equal(allow.allows(address), verdict, address)
      t.equal(allow.allows(address), verdict, `${address}, again`)
      if (/^\d+(\.\d+){3}$/.test(address))
        t.equal(allow.allows4(number(address)), verdict, `${address} as a number`)
    }
  }
})

t.test('more addresses than are remembered', async t => {
  const allow = new Allow(['10.0.0.0/8'])
  let right = 0
  for (let n = 0; n < 70_000; n++) {
    const [text, inside] = [
      `${n & 1 ? 10 : 11}.${n >> 16}.${(n >> 8) & 255}.${n & 255}`,
      (n & 1) === 1,
    ]
    if (allow.allows(text) === inside && allow.allows4(number(text)) === inside) right++
  }
  t.equal(right, 70_000)
  t.equal(allow.allows('10.0.0.1'), true)
})
