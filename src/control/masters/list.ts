/**
 * Parses a list of masters from a file or a URL: a JSON array of addresses, or of objects with a `hostname`
 * (Exhibitor's cluster status).
 */
import type { Endpoint } from '../../boundary/messages.ts'
import { fail } from '../../base/error.ts'
import { canonicalIp, hostPort } from '../../base/ip.ts'

/** Limit of masters; DC/OS has at most five. */
export const MAX_MASTERS = 64

/** 'ip', 'ip:port' or '[v6]:port'; undefined for any other text. */
export const parseMaster = (text: string, port: number): Endpoint | undefined => {
  const trimmed = text.trim()
  const bare = canonicalIp(trimmed)
  if (bare !== '') return { address: bare, port }
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(trimmed)
  const address = canonicalIp(match?.[1] ?? match?.[2] ?? '')
  const own = match?.[3] === undefined ? port : Number(match[3])
  return address === '' || own < 1 || own > 65_535 ? undefined : { address, port: own }
}

/** Removes duplicates and keeps the order. */
const distinct = (masters: readonly Endpoint[]): Endpoint[] => [
  ...new Map(masters.map(m => [hostPort(m.address, m.port), m])).values(),
]

/**
 * The masters in a JSON value. Throws EDATA if an entry is not an address, or if there are none or too many: a
 * partial list would silently lose masters.
 */
export const mastersOf = (value: unknown, port: number): Endpoint[] => {
  if (!Array.isArray(value)) throw fail('the list of masters is no JSON array', 'EDATA')
  if (value.length > MAX_MASTERS)
    throw fail(`the list of masters has ${value.length} entries`, 'EDATA')
  const masters = value.map((entry: unknown) => {
    const said =
      typeof entry === 'string' ? entry : ((entry as { hostname?: unknown } | null)?.hostname ?? '')
    const master = typeof said === 'string' ? parseMaster(said, port) : undefined
    if (!master)
      throw fail(`'${String(said).slice(0, 60)}' in the list of masters is no address`, 'EDATA')
    return master
  })
  if (masters.length === 0) throw fail('the list of masters is empty', 'EDATA')
  return distinct(masters)
}

export const sameMasters = (a: readonly Endpoint[], b: readonly Endpoint[]): boolean =>
  a.length === b.length && a.every((m, i) => m.address === b[i]?.address && m.port === b[i]?.port)
