/**
 * Our zones and VIPs in the JSON of dcos-net's read API, which Admin Router, diagnostics and scripts use. Pure;
 * read-routes.ts serves it. Names have no final dot.
 */
import { createHash } from 'node:crypto'
import type { RRset } from '../../boundary/messages.ts'
import { L4LB_APEX, type VipRecord } from '../../vip/record.ts'
import { hostPort } from '../../base/ip.ts'
import type { ZoneMap } from '../../boundary/zone.ts'

/** Zones by apex. */
export type Zones = ReadonlyMap<string, ZoneMap>

export type VipJson = {
  readonly vip: string
  readonly protocol: string
  readonly backend: readonly { readonly ip: string; readonly port: number }[]
}
export type RecordJson = { readonly name: string; readonly host: string; readonly rtype: string }
export type HostJson = { readonly host: string; readonly ip: string }
export type ServiceJson = {
  readonly service: string
  readonly host: string
  readonly port: number
  readonly ip?: string
}

/** GET /v1/vips */
export const vipsJson = (vips: Iterable<VipRecord>, apex: string = L4LB_APEX): VipJson[] =>
  Array.from(vips, ({ name, ip, port, protocol, backends }) => ({
    vip: name === '' ? hostPort(ip, port) : `${name}.${apex}:${port}`,
    protocol,
    backend: backends.map(b => ({ ip: b.ip, port: b.port })),
  }))

/** The entity tag of a JSON text, in quotes as required by RFC 9110 §8.8.3. */
export const etagOf = (json: string): string =>
  `"${createHash('sha1').update(json).digest('base64')}"`

/** Port and target in an SRV's rdata, '0 1 31000 web.example.org'. */
const srvOf = (data: string): { port: number; target: string } => {
  const [, , port = '0', target = ''] = data.split(' ')
  return { port: Number(port), target }
}

/** Records of GET /v1/records: addresses and services. A generator, because it may be long. */
export const recordsJson = function* (zones: Zones): Generator<RecordJson> {
  for (const zone of zones.values()) {
    for (const [name, rrsets] of zone) {
      for (const { type: rtype, data } of rrsets) {
        if (rtype === 'A' || rtype === 'AAAA') for (const host of data) yield { name, host, rtype }
        if (rtype !== 'SRV') continue
        for (const item of data) {
          const { port, target } = srvOf(item)
          yield { name, host: `${target}:${port}`, rtype }
        }
      }
    }
  }
}

/** The RRsets of a name in the closest zone above it. */
const find = (zones: Zones, name: string): readonly RRset[] => {
  for (let suffix = name; suffix !== '';) {
    const zone = zones.get(suffix)
    if (zone) return zone.get(name) ?? []
    const dot = suffix.indexOf('.')
    suffix = dot < 0 ? '' : suffix.slice(dot + 1)
  }
  return []
}

const folded = (name: string): string => name.toLowerCase().replace(/\.$/, '')

const dataOf = (rrsets: readonly RRset[], type: string): readonly string[] =>
  rrsets.find(rrset => rrset.type === type)?.data ?? []

/** GET /v1/hosts/{name}: its A records, following local CNAMEs; [] if there are none. */
export const hostsJson = (zones: Zones, name: string): HostJson[] => {
  let host = folded(name)
  for (let links = 0; links < 8; links++) {
    const rrsets = find(zones, host)
    const addresses = dataOf(rrsets, 'A')
    if (addresses.length > 0) return addresses.map(ip => ({ host, ip }))
    const [target] = dataOf(rrsets, 'CNAME')
    if (target === undefined) return []
    host = folded(target)
  }
  return []
}

/** GET /v1/services/{name}: its SRV records, each with the first address of its target if that is local. */
export const servicesJson = (zones: Zones, name: string): ServiceJson[] => {
  const service = folded(name)
  return dataOf(find(zones, service), 'SRV').map(item => {
    const { port, target } = srvOf(item)
    const ip = hostsJson(zones, target)[0]?.ip
    return { service, host: target, port, ...(ip === undefined ? {} : { ip }) }
  })
}
