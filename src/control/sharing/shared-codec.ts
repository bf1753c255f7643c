/**
 * What travels in the gossip's values: VIP records, pieces of zones, facts of
 * a node. JSON, the zones deflated; a reader takes what it knows and leaves
 * the rest, so that newer nodes may say more. Decoding never throws: a value
 * that is none gives undefined.
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Owner, RRset } from '../../boundary/messages.ts'
import { canonicalIp } from '../../base/ip.ts'
import { MAX_WEIGHT, VipCollector, type VipRecord } from '../../vip/record.ts'
import { isName } from '../../boundary/zone.ts'

/** A piece of a zone inflated; 256 of them hold 100,000 names. */
const MOST_INFLATED = 1024 * 1024
const MOST_BACKENDS = 4_096
const MOST_DATA = 1_024
const ZONE_TYPES: ReadonlySet<string> = new Set(['A', 'AAAA', 'SRV'])

/** Facts of a node, as `/v1/nodes` shows them. */
export type NodeFacts = {
  readonly ip: string
  readonly publicIps: readonly string[]
  readonly hostname: string
  readonly updated: string
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isPort = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536

const parsed = (bytes: Uint8Array): unknown => {
  try {
    return JSON.parse(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(),
    ) as unknown
  } catch {
    return undefined
  }
}

export const encodeVip = ({ protocol, name, ip, port, backends }: VipRecord): Uint8Array =>
  Buffer.from(
    JSON.stringify({
      p: protocol,
      n: name,
      i: ip,
      o: port,
      b: backends.map(b => [b.ip, b.port, b.weight]),
    }),
  )

export const decodeVip = (bytes: Uint8Array): VipRecord | undefined => {
  const value = parsed(bytes)
  if (!isObject(value)) return undefined
  const { p, n, i, o, b } = value
  if (
    (p !== 'tcp' && p !== 'udp') ||
    typeof n !== 'string' ||
    typeof i !== 'string' ||
    !isPort(o) ||
    !Array.isArray(b) ||
    b.length > MOST_BACKENDS
  )
    return undefined
  if (n === '' ? canonicalIp(i) !== i || i === '' : i !== '' || !isName(n)) return undefined
  const backends = b.flatMap((one: unknown) => {
    if (!Array.isArray(one)) return []
    const [ip, port, weight] = one as unknown[]
    const known =
      typeof ip === 'string' &&
      canonicalIp(ip) === ip &&
      ip !== '' &&
      isPort(port) &&
      typeof weight === 'number' &&
      weight >= 0 &&
      weight <= MAX_WEIGHT
    return known ? [{ ip, port, weight: Math.trunc(weight) }] : []
  })
  // Whoever sent it may have said a backend twice.
  const collector = new VipCollector()
  collector.add({ protocol: p, name: n, ip: i, port: o }, backends)
  return collector.records()[0]
}

export const encodeOwners = (owners: Iterable<Owner>): Uint8Array =>
  deflateRawSync(
    JSON.stringify(
      Array.from(owners, ([name, rrsets]) => [name, rrsets.map(r => [r.type, r.ttl, ...r.data])]),
    ),
    { level: 1 },
  )

/** Owners below `apex` with the records that a zone in the gossip may have. */
export const decodeOwners = (bytes: Uint8Array, apex: string): Owner[] | undefined => {
  let text: Buffer
  try {
    text = inflateRawSync(bytes, { maxOutputLength: MOST_INFLATED })
  } catch {
    return undefined
  }
  const value = parsed(text)
  if (!Array.isArray(value)) return undefined
  return value.flatMap((one: unknown) => {
    if (!Array.isArray(one)) return []
    const [name, sets] = one as unknown[]
    if (
      typeof name !== 'string' ||
      !Array.isArray(sets) ||
      (name !== apex && !name.endsWith(`.${apex}`)) ||
      !isName(name)
    )
      return []
    const rrsets = sets.flatMap(decodeSet)
    return rrsets.length > 0 ? [[name, rrsets] as const] : []
  })
}

const decodeSet = (set: unknown): RRset[] => {
  if (!Array.isArray(set) || set.length > MOST_DATA + 2) return []
  const [type, ttl, ...data] = set as unknown[]
  if (
    typeof type !== 'string' ||
    !ZONE_TYPES.has(type) ||
    typeof ttl !== 'number' ||
    !(ttl >= 0 && ttl < 2 ** 31)
  )
    return []
  const good = data.filter(
    (datum): datum is string => typeof datum === 'string' && isRdata(type, datum),
  )
  return good.length > 0 ? [{ type, ttl: Math.trunc(ttl), data: good }] : []
}

const isRdata = (type: string, datum: string): boolean => {
  if (type === 'A') return canonicalIp(datum) === datum && !datum.includes(':') && datum !== ''
  if (type === 'AAAA') return canonicalIp(datum) === datum && datum.includes(':')
  const [priority, weight, port, target, more] = datum.split(' ')
  return (
    more === undefined &&
    [priority, weight, port].every(n => /^\d{1,5}$/.test(n ?? '') && Number(n) < 65_536) &&
    isName(target ?? '')
  )
}

export const encodeNode = (facts: NodeFacts): Uint8Array => Buffer.from(JSON.stringify(facts))

export const decodeNode = (bytes: Uint8Array): NodeFacts | undefined => {
  const value = parsed(bytes)
  if (!isObject(value)) return undefined
  const { ip, publicIps, hostname, updated } = value
  if (typeof ip !== 'string' || typeof hostname !== 'string' || typeof updated !== 'string')
    return undefined
  const shown = Array.isArray(publicIps)
    ? publicIps.filter((one): one is string => typeof one === 'string').slice(0, 16)
    : []
  return {
    ip: ip.slice(0, 64),
    publicIps: shown,
    hostname: hostname.slice(0, 255),
    updated: updated.slice(0, 40),
  }
}
