/**
 * dcos-net's read-only HTTP API for this node's data, so that its clients (Admin Router, diagnostics, scripts) keep
 * working: hosts, services, records, enumerate, VIPs and nodes. Contains no secrets.
 */
import type { AdminRequest, Route } from '../../http/route.ts'
import { etagOf, hostsJson, recordsJson, servicesJson, vipsJson, type Zones } from './rest.ts'
import type { ZoneMap } from '../../boundary/zone.ts'
import type { ShownVip } from '../../vip/table.ts'

export type NodeJson = {
  readonly private_ip: string
  readonly public_ips: readonly string[]
  readonly hostname: string
  readonly updated: string
}

export type ReadSources = {
  readonly zones: { readonly apexes: readonly string[]; zone(apex: string): ZoneMap | undefined }
  readonly vips: () => readonly ShownVip[]
  readonly nodes: () => readonly NodeJson[]
}

export const readRoutes = ({ zones, vips, nodes }: ReadSources): Route[] => {
  const all = (): Zones => new Map(zones.apexes.map(apex => [apex, zones.zone(apex) ?? new Map()]))
  return [
    {
      method: 'GET',
      path: '/v1/hosts/:name',
      handle: ({ params }) => ({ json: hostsJson(all(), params['name'] ?? '') }),
    },
    {
      method: 'GET',
      path: '/v1/services/:name',
      handle: ({ params }) => ({ json: servicesJson(all(), params['name'] ?? '') }),
    },
    {
      method: 'GET',
      path: '/v1/records',
      handle: () => ({
        chunks: jsonArray(recordsJson(all())),
        headers: { 'content-type': 'application/json' },
      }),
    },
    {
      method: 'GET',
      path: '/v1/vips',
      handle: request => withEtag(request, JSON.stringify(vipsJson(vips()))),
    },
    {
      method: 'GET',
      path: '/v1/nodes',
      handle: request => withEtag(request, JSON.stringify(nodes())),
    },
  ]
}

const withEtag = ({ headers }: AdminRequest, text: string) => {
  const etag = etagOf(text)
  if (headers['if-none-match'] === etag) return { status: 304, headers: { etag } }
  return { text, headers: { etag, 'content-type': 'application/json' } }
}

/** A JSON array, written a thousand items at a time. */
function* jsonArray(items: Iterable<unknown>): Generator<string> {
  let text = '['
  let n = 0
  for (const item of items) {
    text += (n > 0 ? ',' : '') + JSON.stringify(item)
    if (++n % 1000 === 0) {
      yield text
      text = ''
    }
  }
  yield `${text}]`
}
