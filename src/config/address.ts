/**
 * Parsers for addresses, networks, upstreams and names in the configuration and on the command line. They
 * never throw. Addresses are returned in canonical spelling, so that they can be compared as text.
 */
import type { Endpoint, UpstreamSpec } from '../boundary/messages.ts'
import { canonicalAddress, familyOf, hostPort, ipToNumber, numberToIp } from '../base/ip.ts'
import { bad, shown, type Parsed } from './units.ts'

/** An address with an optional port. */
export type Address = { readonly address: string; readonly port?: number }

type WithoutSlot<U> = U extends UpstreamSpec ? Omit<U, 'slot'> : never
/** A server that queries are forwarded to, without its index in the counters. */
export type Upstream = WithoutSlot<UpstreamSpec>

const DNS_PORT = 53
/** RFC 7858 section 3.1. */
const DOT_PORT = 853
/** How an upstream is written. */
export const UPSTREAM_FORMS =
  'ip[:port], tcp://ip[:port], tls://ip[:port][#name] or https://host/path'

/** Whether this is the wildcard address, 0.0.0.0 or ::. */
export const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::'

/** Whether only this host can reach the address. */
export const isLoopback = (address: string): boolean => address === '::1' || /^127\./.test(address)

/** 'ip', 'ip:port' or '[v6]:port'. An IPv6 address with a port needs the brackets. */
export const parseAddress = (raw: unknown): Parsed<Address> => {
  if (typeof raw !== 'string')
    return bad(`${shown(raw)} is not an address: write it in quotes, as ip or ip:port`)
  const text = raw.trim()
  const plain = canonicalAddress(text)
  if (plain) return { value: { address: plain } }
  const found = /^\[([^\]]*)\](?::(.*))?$/.exec(text) ?? /^([^:]*):(.*)$/.exec(text)
  const address = canonicalAddress(found?.[1] ?? '')
  if (!found || !address) {
    return bad(`${shown(raw)} is not an address: write ip, ip:port or [ipv6]:port`)
  }
  if (found[2] === undefined) return { value: { address } }
  const port = parsePort(found[2])
  return 'problem' in port ? port : { value: { address, port: port.value } }
}

/** A port as text or number, 1 to 65535. 0 is accepted; the caller must check it. */
export const parsePort = (raw: unknown): Parsed<number> => {
  const port = typeof raw === 'string' && /^\d{1,5}$/.test(raw) ? Number(raw) : raw
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 0 || port > 65535) {
    return bad(`${shown(raw)} is not a port: 1 to 65535`)
  }
  return { value: port }
}

/** Why nothing can be sent to this address; '' if it can. */
const unreachable = ({ address, port }: Address): string => {
  if (isWildcard(address)) return `${address} is no address one can send to`
  const first = Number(address.split('.')[0])
  if (/^ff/.test(address) || (familyOf(address) === 4 && first >= 224))
    return `${address} is a multicast or reserved address`
  return port === 0 ? 'port 0 is no port one can send to' : ''
}

/** An address to send to, with an optional port. */
export const parseTarget = (raw: unknown): Parsed<Address> => {
  const read = parseAddress(raw)
  const why = 'value' in read ? unreachable(read.value) : ''
  return why ? bad(why) : read
}

/** An http or https URL. A password in it is refused, because status and logs would show it. */
export const parseUrl = (
  raw: unknown,
  protocols: readonly string[] = ['http:', 'https:'],
): Parsed<string> => {
  // Without this check, the URL parser takes the first word of a path for the host.
  const usable = typeof raw === 'string' && /^[a-z]+:\/\/[^/]/.test(raw) && URL.canParse(raw)
  const url = usable ? new URL(raw) : undefined
  if (!url || !protocols.includes(url.protocol) || !url.hostname) {
    return bad(
      `${shown(raw)} is not a URL of the form ${protocols.map(p => `${p}//host/path`).join(' or ')}`,
    )
  }
  if (url.username || url.password)
    return bad(`the URL for ${url.host} must not hold a name and password: status and logs show it`)
  return { value: url.href }
}

/**
 * An upstream: 'ip[:port]' for UDP, and TCP where a reply does not fit; 'tcp://ip[:port]' for TCP alone;
 * 'tls://ip[:port][#name]' for DNS over TLS; 'https://host/path' for DNS over HTTPS.
 */
export const parseUpstream = (raw: unknown): Parsed<Upstream> => {
  if (typeof raw !== 'string') return bad(`${shown(raw)} is not an upstream: write it in quotes`)
  const text = raw.trim()
  if (text.startsWith('https://')) {
    const url = parseUrl(text, ['https:'])
    return 'problem' in url ? url : { value: { protocol: 'https', url: url.value } }
  }
  const tls = /^tls:\/\/([^#]*)(?:#(.*))?$/.exec(text)
  const protocol = text.startsWith('tcp://') ? 'tcp' : 'udp'
  const at = tls ? tls[1]! : protocol === 'tcp' ? text.slice('tcp://'.length) : text
  if (at.includes('://')) return bad(`${shown(raw)} is not an upstream: write ${UPSTREAM_FORMS}`)
  const read = parseTarget(at)
  if ('problem' in read) return read
  const { address, port } = read.value
  if (!tls) return { value: { protocol, address, port: port ?? DNS_PORT } }
  const endpoint = { protocol: 'tls', address, port: port ?? DOT_PORT } as const
  if (tls[2] === undefined) return { value: endpoint }
  const name = parseName(tls[2])
  return 'problem' in name ? name : { value: { ...endpoint, serverName: name.value } }
}

/** An upstream in the notation of the configuration, with its port. Status and metrics use this name. */
export const showUpstream = (upstream: Upstream): string => {
  if (upstream.protocol === 'https') return upstream.url
  const at = showEndpoint(upstream)
  if (upstream.protocol === 'tls')
    return `tls://${at}${upstream.serverName ? `#${upstream.serverName}` : ''}`
  return upstream.protocol === 'tcp' ? `tcp://${at}` : at
}

/** 'ip:port' or '[v6]:port'. */
export const showEndpoint = ({ address, port }: Endpoint): string => hostPort(address, port)

/** The network that `address` with `bits` of prefix lies in, as CIDR without host bits: 10.0.0.17 and 24 give 10.0.0.0/24. */
export const networkOf = (address: string, bits: number): string => {
  const family = familyOf(address) === 6 ? 6 : 4
  const rest = BigInt((family === 4 ? 32 : 128) - bits)
  return `${numberToIp((ipToNumber(address) >> rest) << rest, family)}/${bits}`
}

/** A network as CIDR; a single address becomes a network with one address. */
export const parseNetwork = (raw: unknown): Parsed<string> => {
  const [text = '', bits, more] = typeof raw === 'string' ? raw.trim().split('/') : []
  const address = canonicalAddress(text)
  const width = familyOf(address) === 6 ? 128 : 32
  if (!address || address.includes('%') || more !== undefined) {
    return bad(`${shown(raw)} is not a network: write 192.0.2.0/24 or 2001:db8::/32`)
  }
  if (bits === undefined) return { value: `${address}/${width}` }
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > width)
    return bad(`${shown(raw)} has a prefix length outside 0 to ${width}`)
  if (text.includes(':') && width === 32)
    return bad(`${shown(raw)} is an IPv4 network: write it as one`)
  return { value: networkOf(address, Number(bits)) }
}

/** RFC 1035 section 2.3.4. */
const MAX_LABEL = 63
const MAX_NAME = 253
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/

/**
 * A domain name in lower case without its final dot. Only letters, digits, '-' and '_' are allowed: other
 * characters are typing errors here.
 */
export const parseName = (raw: unknown): Parsed<string> => {
  if (typeof raw !== 'string') return bad(`${shown(raw)} is not a name: write it in quotes`)
  const name = raw.trim().toLowerCase().replace(/\.$/, '')
  if (!name || name.length > MAX_NAME)
    return bad(`${shown(raw)} is not a name of 1 to ${MAX_NAME} characters`)
  for (const label of name.split('.')) {
    if (!label) return bad(`${shown(raw)} has an empty label`)
    if (label.length > MAX_LABEL)
      return bad(`${shown(raw)} has a label of more than ${MAX_LABEL} characters`)
    if (!LABEL.test(label))
      return bad(`${shown(raw)} has the label '${label}': letters, digits, '-' and '_' only`)
  }
  return { value: name }
}

/** Whether `name` is the zone's apex or below it. Both are results of `parseName`. */
export const isBelow = (name: string, zone: string): boolean =>
  name === zone || name.endsWith(`.${zone}`)
