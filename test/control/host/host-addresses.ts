/** What is bound for a configured address. */
import t from 'tap'
import { hostAddresses, listenersFor } from '../../../src/control/host/host-addresses.ts'

const linux = process.platform === 'linux'
const one = (address: string, port = 53) => ({ address, port })
const WILD = one('0.0.0.0')
const ALL = hostAddresses(WILD)

t.test('a wildcard stands for every address of its family', t => {
  t.ok(ALL.length > 0)
  t.notOk(ALL.some(({ address }) => address === '0.0.0.0' || address.includes(':')))
  t.ok(hostAddresses(one('::')).every(({ address }) => address.includes(':')))
  t.strictSame(hostAddresses(one('192.0.2.1')), [one('192.0.2.1')], 'others for themselves')
  t.end()
})

t.test('a wildcard is one socket where one can do it', { skip: !linux }, t => {
  for (const [says, got, want] of [
    ['batches', listenersFor(WILD, 'auto'), [WILD]],
    ['no batches', listenersFor(WILD, 'dgram'), ALL],
    ['any port', listenersFor(one('0.0.0.0', 0), 'auto'), hostAddresses(one('0.0.0.0', 0))],
    ['passed sockets in the way', listenersFor(WILD, 'auto', [one('198.51.100.1')]), ALL],
    ['a passed wildcard', listenersFor(WILD, 'auto', [WILD]), [WILD]],
    ['passed sockets of another port', listenersFor(WILD, 'auto', [one('192.0.2.1', 54)]), [WILD]],
    ['and of the other family', listenersFor(WILD, 'auto', [one('2001:db8::1')]), [WILD]],
    [
      'a single address',
      listenersFor(one('192.0.2.1'), 'auto', [one('192.0.2.2')]),
      [one('192.0.2.1')],
    ],
  ] as const)
    t.strictSame(got, want, says)
  t.end()
})
