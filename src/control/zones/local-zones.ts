/**
 * Zones that every node has: the daemon's own names, the ZooKeeper names of the masters, this node, static zones,
 * and the reverse names of our addresses. TTLs and SOA are those of DC/OS; comments note what DC/OS lacks.
 */
import { isIPv4 } from 'node:net'
import { reverseName } from '../../base/ip.ts'
import type { Endpoint, RRset, Seconds } from '../../boundary/messages.ts'
import { TTL, type ZoneMap } from '../../boundary/zone.ts'

export const APEX = 'thisdcos.directory'
/** zk-1.zk to zk-5.zk whatever the number of masters, because Mesos is configured with five names. */
const ZK_NAMES = 5

const a = (addresses: readonly string[], ttl: Seconds = TTL): RRset[] => {
  const v4 = addresses.filter(x => isIPv4(x))
  const v6 = addresses.filter(x => x.includes(':'))
  return [
    ...(v4.length > 0 ? [{ type: 'A', ttl, data: v4 }] : []),
    ...(v6.length > 0 ? [{ type: 'AAAA', ttl, data: v6 }] : []),
  ]
}

/** `ready.spartan` must answer ANY with an address that can be pinged: units of DC/OS wait for that. */
export const spartanZone = (listen: readonly string[]): ZoneMap =>
  new Map([
    ['ready.spartan', a(['127.0.0.1'])],
    ['ns.spartan', a(listen.slice(0, 1))],
  ])

/** RFC 6761 §6.3: every name below localhost is loopback, in both families (DC/OS only has A). */
export const localhostZone = (): ZoneMap =>
  new Map([
    ['localhost', a(['127.0.0.1', '::1'])],
    ['*.localhost', a(['127.0.0.1', '::1'])],
  ])

/** The masters, repeated until there are five names. */
export const zkZone = (masters: readonly string[]): ZoneMap =>
  new Map(
    masters.length === 0
      ? []
      : Array.from(
          { length: ZK_NAMES },
          (_, i) => [`zk-${i + 1}.zk`, a([masters[i % masters.length]!])] as const,
        ),
  )

export const thisnodeZone = (address: string): ZoneMap =>
  new Map(address === '' ? [] : [[`thisnode.${APEX}`, a([address])]])

/** A static zone from the configuration: names with CNAME targets. */
export const staticZone = (label: string, names: Readonly<Record<string, string>>): ZoneMap =>
  new Map(
    Object.entries(names).map(([name, target]) => [
      `${name}.${label}.${APEX}`.toLowerCase(),
      [{ type: 'CNAME', ttl: TTL, data: [target.toLowerCase()] }],
    ]),
  )

/** The names of loopback, which programs look up to log them: `localhost`, not an error (RFC 6303 §3). */
const LOOPBACK = ['127.0.0.1', '::1']

/** One zone for each of our addresses, with the name ns.spartan. DC/OS forwards these questions to the resolvers. */
export const reverseZones = (listen: readonly Endpoint[]): Map<string, ZoneMap> => {
  const zones = new Map<string, ZoneMap>()
  const add = (address: string, name: string): void => {
    const owner = reverseName(address)
    zones.set(owner, new Map([[owner, [{ type: 'PTR', ttl: TTL, data: [name] }]]]))
  }
  for (const address of LOOPBACK) add(address, 'localhost')
  for (const { address } of listen) if (!LOOPBACK.includes(address)) add(address, 'ns.spartan')
  return zones
}

/**
 * Names that must not leave the host (RFC 6761, 6303, 7686, 8375, 9476). A forward zone overrides them, for a site
 * that serves its own reverse zones.
 */
export const SPECIAL_ZONES: readonly string[] = [
  'test',
  'invalid',
  'onion',
  'alt',
  'local',
  'home.arpa',
  // Clients send these to the local resolver only (RFC 9462 section 6.4 and RFC 9665 section 10.1).
  'resolver.arpa',
  'service.arpa',
  'dcos.directory',
  '0.in-addr.arpa',
  '10.in-addr.arpa',
  '127.in-addr.arpa',
  '254.169.in-addr.arpa',
  '168.192.in-addr.arpa',
  '2.0.192.in-addr.arpa',
  '100.51.198.in-addr.arpa',
  '113.0.203.in-addr.arpa',
  '255.255.255.255.in-addr.arpa',
  ...Array.from({ length: 16 }, (_, i) => `${16 + i}.172.in-addr.arpa`),
  ...Array.from({ length: 64 }, (_, i) => `${64 + i}.100.in-addr.arpa`),
  `${'0.'.repeat(31)}0.ip6.arpa`,
  `1.${'0.'.repeat(30)}0.ip6.arpa`,
  'd.f.ip6.arpa',
  '8.e.f.ip6.arpa',
  '9.e.f.ip6.arpa',
  'a.e.f.ip6.arpa',
  'b.e.f.ip6.arpa',
  '8.b.d.0.1.0.0.2.ip6.arpa',
]
