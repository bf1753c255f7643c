/**
 * Warnings about a valid configuration: example values that were left in it, and networks of clients or
 * administrators that are too wide. Pure. `spartan check` prints the warnings; the daemon starts regardless.
 */
import { BlockList, isIPv4 } from 'node:net'
import type { Config } from './config.ts'
import { isLoopback, isWildcard, showUpstream, type Upstream } from './address.ts'

/** One warning: the key it is about, and a sentence that says what to do. */
export type Danger = { readonly key: string; readonly message: string }

/** Documentation networks (RFC 5737, RFC 3849). No real server has such an address. */
const EXAMPLES = new BlockList()
EXAMPLES.addSubnet('192.0.2.0', 24, 'ipv4')
EXAMPLES.addSubnet('198.51.100.0', 24, 'ipv4')
EXAMPLES.addSubnet('203.0.113.0', 24, 'ipv4')
EXAMPLES.addSubnet('2001:db8::', 32, 'ipv6')
/** Names that never exist in the DNS (RFC 2606). */
const EXAMPLE_HOST = /(?:^|\.)(?:example(?:\.(?:com|net|org))?|invalid|test)$/i

const isExample = (address: string): boolean =>
  EXAMPLES.check(address, isIPv4(address) ? 'ipv4' : 'ipv6')

const exampleUpstream = (upstream: Upstream): boolean =>
  upstream.protocol === 'https'
    ? isExampleHost(new URL(upstream.url).hostname)
    : isExample(upstream.address)

const isExampleHost = (host: string): boolean => {
  const bare = host.replace(/^\[|\]$/g, '')
  return EXAMPLE_HOST.test(bare) || (/[:]|^[\d.]+$/.test(bare) && isExample(bare))
}

/** Whether a network is larger than what one operator runs. */
const isWorld = (network: string): boolean => {
  const [address = '', bits = ''] = network.split('/')
  return Number(bits) < (address.includes(':') ? 16 : 7)
}

/** Every upstream with the key that names it. */
const upstreamsOf = ({ upstreams, forwardZones }: Config): [string, Upstream][] => [
  ...upstreams.map((u): [string, Upstream] => ['upstreams', u]),
  ...Object.entries(forwardZones).flatMap(([zone, all]) =>
    all.map((u): [string, Upstream] => [`forwardZones.${zone}`, u]),
  ),
]

/** All warnings, in the order of the keys. `balanced`: a balancer carries connections to VIPs on this host. */
export const dangersOf = (config: Config, balanced = true): Danger[] => {
  const { allow, allowAttached, masters, gossip, vips, admin } = config
  const found: Danger[] = []
  const warn = (key: string, message: string): void => void found.push({ key, message })
  for (const network of allowAttached ? [] : allow)
    if (isWorld(network))
      warn(
        'allow',
        `${network} lets nearly everybody ask, which makes an open resolver that attackers aim at others: name your own networks`,
      )
  for (const { address } of masters?.addresses ?? [])
    if (isExample(address))
      warn('masters.addresses', `${address} is an example address: put your masters here`)
  for (const [key, upstream] of upstreamsOf(config)) {
    if (exampleUpstream(upstream))
      warn(key, `${showUpstream(upstream)} is an example: put your resolver here`)
  }
  for (const { address } of gossip?.seeds ?? [])
    if (isExample(address)) warn('gossip.seeds', `${address} is an example address`)
  if (gossip?.insecure)
    warn(
      'gossip.insecure',
      'anybody who reaches the gossip port can change the names of this cluster: make a keyring with spartan keys generate',
    )
  if (vips?.answer === 'vip' && !balanced)
    warn(
      'vips.answer',
      'names of VIPs resolve to virtual addresses, and no balancer on this host carries connections to them: start spartan-balance.service, or leave it at auto',
    )
  const guarded = admin.token !== '' && admin.tls.cert !== ''
  if (admin.listen && !guarded && isWildcard(admin.listen.address))
    warn(
      'admin.listen',
      `${admin.listen.address} shows status and metrics on every address of this host: name one address, or 127.0.0.1`,
    )
  else if (admin.listen && !guarded && !isLoopback(admin.listen.address))
    warn(
      'admin.listen',
      admin.token === ''
        ? `status and metrics can be read by other hosts at ${admin.listen.address}: admin.tls and admin.token restrict that`
        : `the token of ${admin.listen.address} can be read on its way: give admin.tls, too`,
    )
  return found
}
