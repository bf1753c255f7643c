/**
 * The query log: `GET /v1/log` on the admin's Unix socket, one JSON object per line for as long as the client listens.
 * A line with `dropped` tells how many queries are missing at this place. An empty line shows that the daemon is alive.
 */
import type { SeenQuery } from '../boundary/query-ring.ts'
import { OUTCOMES } from '../boundary/query-ring.ts'
import { RCODE_LABELS } from '../boundary/counters.ts'
import { parseNetwork } from '../config/address.ts'
import type { AdminRequest, AdminResponse, Route } from '../http/route.ts'
import { HEADER } from '../wire/header.ts'
import { rcodeName, typeName } from '../wire/codes.ts'
import { FOLD, nameText, nameWire, skipPlainName } from '../wire/name.ts'
import { u16 } from '../wire/octets.ts'
import { ALL, OWN, ROOT, type QueryWatch, type Watching } from './query-watch.ts'

/** Room for about 2,000 queries, which come within one look at 40,000 queries per second. */
const RING = 1 << 18
const ALIVE_MS = 10_000
/** Limit of the values in one filter. */
const MOST_VALUES = 64

/** A line of the log. */
export type LoggedQuery = {
  /** ISO 8601. */
  readonly time: string
  readonly client: string
  readonly port: number
  readonly transport: 'udp' | 'tcp'
  /** The listener that was asked, as address:port. */
  readonly server: string
  /** '' if the query had no readable question. */
  readonly name: string
  readonly type: string
  readonly outcome: SeenQuery['outcome']
  readonly rcode: string
  /** The code of the extended error (RFC 8914), if the answer had one. */
  readonly ede?: number
  readonly ms: number
  /** Length of the answer. */
  readonly octets: number
}

export const logged = (seen: SeenQuery, servers: readonly string[]): LoggedQuery => {
  const { query, client, port, transport } = seen
  const end = query.length > HEADER ? skipPlainName(query, HEADER, query.length) : -1
  return {
    time: new Date(seen.at).toISOString(),
    client,
    port,
    transport,
    server: servers[seen.server] ?? '',
    name: end < 0 ? '' : nameText(query, HEADER),
    type: end < 0 || end + 2 > query.length ? '' : typeName(u16(query, end)),
    outcome: seen.outcome,
    rcode: rcodeName(seen.rcode),
    ...(seen.ede >= 0 ? { ede: seen.ede } : {}),
    ms: Math.round(seen.tookMs * 1000) / 1000,
    octets: seen.octets,
  }
}

/** Either what to watch, or what is wrong with the filter. */
export type ReadFilter = { readonly watching: Watching } | { readonly problem: string }

const valuesOf = (query: URLSearchParams, key: string): string[] =>
  query
    .getAll(key)
    .flatMap(text => text.split(','))
    .filter(text => text !== '')

/** Reads the filter from a query string: name, client, outcome (each may have several values), sample. */
export const readFilter = (query: URLSearchParams): ReadFilter => {
  for (const key of query.keys())
    if (!['name', 'client', 'outcome', 'sample'].includes(key))
      return {
        problem: `${JSON.stringify(key.slice(0, 40))} is no filter: name, client, outcome, sample`,
      }
  const name = query.get('name') ?? ''
  const below = nameWire(name.replace(/(?<!\\)\.$/, ''))
  if (!below) return { problem: `${JSON.stringify(name.slice(0, 300))} is not a name` }
  for (let i = 0; i < below.length; i++) below[i] = FOLD[below[i]!]!
  const clients: string[] = []
  for (const text of valuesOf(query, 'client').slice(0, MOST_VALUES)) {
    const network = parseNetwork(text)
    if ('problem' in network) return { problem: network.problem }
    clients.push(network.value)
  }
  let outcomes = 0
  let rcodes = 0
  for (const text of valuesOf(query, 'outcome')) {
    const outcome = OUTCOMES.findIndex(known => known === text.toLowerCase())
    const rcode = RCODES.indexOf(text.toUpperCase())
    if (outcome < 0 && rcode < 0)
      return {
        problem: `${JSON.stringify(text.slice(0, 40))} is no outcome: ${OUTCOMES.join(', ')}, or an RCODE such as NXDOMAIN`,
      }
    if (outcome >= 0) outcomes |= 1 << outcome
    else rcodes |= 1 << rcode
  }
  const sample = query.get('sample') ?? '1'
  if (!/^[1-9]\d{0,8}$/.test(sample))
    return { problem: `${JSON.stringify(sample.slice(0, 40))} is no sample: a whole number from 1` }
  const all = outcomes === 0 && rcodes === 0
  return {
    watching: {
      ...ALL,
      every: Number(sample),
      below,
      except: below.length > 1 ? ROOT : OWN,
      clients,
      outcomes: all ? -1 : outcomes,
      rcodes,
    },
  }
}

/** RCODEs by number; those without a label have no filter. */
const RCODES: string[] = RCODE_LABELS.slice(0, 11)
RCODES[16] = 'BADVERS'

export const queryLogRoutes = (watch: QueryWatch, servers: readonly string[]): Route[] => [
  {
    method: 'GET',
    path: '/v1/log',
    unixOnly: true,
    handle: ({ query, gone }: AdminRequest): AdminResponse => {
      const filter = readFilter(query)
      if ('problem' in filter) return { status: 400, json: { error: filter.problem } }
      if (watch.full) return { status: 503, json: { error: 'too many watch the queries already' } }
      return {
        chunks: lines(watch, filter.watching, servers, gone),
        headers: { 'content-type': 'application/x-ndjson' },
      }
    },
  },
]

async function* lines(
  watch: QueryWatch,
  watching: Watching,
  servers: readonly string[],
  gone: AbortSignal,
): AsyncGenerator<string> {
  let text = ''
  // The first look says something at once, so that the client knows that it is connected.
  let saidAt = -Infinity
  const each = (seen: SeenQuery): void => {
    text += `${JSON.stringify(logged(seen, servers))}\n`
  }
  for await (const { dropped } of watch.watch(watching, RING, each, gone)) {
    if (dropped > 0) text += `${JSON.stringify({ time: new Date().toISOString(), dropped })}\n`
    const alive = performance.now() - saidAt > ALIVE_MS
    if (text === '' && !alive) continue
    saidAt = performance.now()
    const chunk = text === '' ? '\n' : text
    text = ''
    yield chunk
  }
}
