/**
 * Encodes VIP records and facts of a node as gossip values, in JSON. A reader ignores unknown fields, so that newer
 * nodes may add some. Decoding never throws: an invalid value gives undefined.
 */
import { canonicalIp } from '../../base/ip.ts'
import { MAX_WEIGHT, VipCollector, type VipRecord } from '../../vip/record.ts'
import { isName } from '../../boundary/zone.ts'

const MOST_BACKENDS = 4_096

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
  // The sender may have listed a backend twice.
  const collector = new VipCollector()
  collector.add({ protocol: p, name: n, ip: i, port: o }, backends)
  return collector.records()[0]
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
