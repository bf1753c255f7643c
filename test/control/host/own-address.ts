import t from 'tap'
import type { networkInterfaces, NetworkInterfaceInfo } from 'node:os'
import { ownAddress } from '../../../src/control/host/own-address.ts'

const on = (address: string, internal = false): NetworkInterfaceInfo => ({
  address,
  internal,
  mac: '02:00:00:00:00:01',
  ...(address.includes(':')
    ? { family: 'IPv6', netmask: '', cidr: null, scopeid: 0 }
    : { family: 'IPv4', netmask: '255.255.255.0', cidr: null }),
})

// as in /sys/class/net/*/flags
const ETHERNET = 0x1003
const DUMMY = 0x83
const TUNNEL = 0x10d1

t.test('where other hosts reach this one', async t => {
  const lo = [on('127.0.0.1', true)]
  const spartan = [on('198.51.100.1'), on('198.51.100.2')]
  const eth0 = [on('2001:db8::7'), on('192.0.2.7')]
  const flags: Record<string, number> = { lo: 0x9, spartan: DUMMY, eth0: ETHERNET, wg0: TUNNEL }
  type Interfaces = ReturnType<typeof networkInterfaces>
  const rows: [Interfaces, string, string][] = [
    [{ lo }, '', 'nothing but loopback'],
    [{ lo, spartan }, '', 'at boot: the forwarder has its addresses, the network is not up'],
    [{ lo, spartan, eth0 }, '192.0.2.7', 'then it is'],
    [{ lo, eth0, spartan }, '192.0.2.7', 'in any order'],
    [{ lo, eth0: [on('2001:db8::7')] }, '2001:db8::7', 'a host with IPv6 only'],
    [{ lo, eth0: [on('2001:db8::7')], eth1: [on('192.0.2.8')] }, '192.0.2.8', 'IPv4 before IPv6'],
    [{ lo, eth0: [on('fe80::1'), on('febf::1')] }, '', 'an address of the link alone'],
    [{ lo, wg0: [on('203.0.113.7')] }, '203.0.113.7', 'a tunnel has another end'],
    [{ lo, other: [on('203.0.113.9')] }, '203.0.113.9', 'one of which nothing is known'],
  ]
  for (const [interfaces, expected, what] of rows)
    t.equal(
      ownAddress(interfaces, name => flags[name] ?? 0),
      expected,
      what,
    )
  t.type(ownAddress(), 'string', 'of this very host')
})
