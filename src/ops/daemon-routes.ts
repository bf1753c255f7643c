/**
 * Admin routes that query the data thread: cache, upstreams, most frequent names, traces; and the one that clears
 * the cache.
 */
import type { CacheEntryInfo, DataStatus, TraceStep } from '../boundary/messages.ts'
import { plainQuery } from '../wire/question.ts'
import { typeNumber } from '../wire/codes.ts'
import { nameWire } from '../wire/name.ts'
import { version } from '../base/version.ts'
import type { Route } from '../http/route.ts'

/** The data thread's requests that these routes use. */
export interface Inspected {
  status(): Promise<DataStatus>
  entries(name: string, limit: number): Promise<readonly CacheEntryInfo[]>
  flush(name: string): Promise<number>
  ask(
    wire: Uint8Array,
    trace?: boolean,
  ): Promise<{ readonly wire: Buffer; readonly trace: readonly TraceStep[] }>
}

const MOST_ENTRIES = 1_000

export const daemonRoutes = (data: Inspected): Route[] => [
  {
    method: 'GET',
    path: '/v1/version',
    handle: () => ({ json: { Service: 'spartan', Version: version() } }),
  },
  {
    method: 'GET',
    path: '/v1/upstreams',
    handle: async () => ({ json: (await data.status()).upstreams }),
  },
  { method: 'GET', path: '/v1/top', handle: async () => ({ json: (await data.status()).top }) },
  {
    method: 'GET',
    path: '/v1/cache',
    handle: async ({ query }) => {
      const limit = Math.min(
        MOST_ENTRIES,
        Math.max(1, Math.trunc(Number(query.get('limit') ?? 100)) || 100),
      )
      return { json: await data.entries(query.get('name') ?? '', limit) }
    },
  },
  {
    method: 'POST',
    path: '/v1/cache/flush',
    handle: async ({ query }) => ({ json: { flushed: await data.flush(query.get('name') ?? '') } }),
  },
  {
    method: 'POST',
    path: '/v1/trace',
    handle: async ({ body }) => {
      const { name, type = 'A' } = (body ?? {}) as { name?: unknown; type?: unknown }
      const wire = typeof name === 'string' ? nameWire(name) : undefined
      const qtype = typeof type === 'string' ? typeNumber(type) : undefined
      if (!wire || qtype === undefined)
        return {
          status: 400,
          json: { error: 'name and type are wanted, as in {"name": "leader.mesos", "type": "A"}' },
        }
      const answer = await data.ask(plainQuery(wire, qtype), true)
      return { json: { steps: answer.trace, wire: answer.wire.toString('base64') } }
    },
  },
]
