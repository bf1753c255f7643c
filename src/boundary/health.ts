/**
 * Three questions, three answers, each with its reasons. Live: should the
 * process be left running? Ready: may clients be sent here? Degraded: it
 * answers, but somebody should look. Pure; the caller gathers what is known.
 */
import { hostPort } from '../base/ip.ts'
import type { DataStatus, Endpoint, Milliseconds } from './messages.ts'

/** The outcome of asking ourselves a real query on one address. */
export type SelfQuery = Endpoint & { readonly ok: boolean; readonly error: string }

/** What the judgement rests on. */
export type HealthInput = {
  /** Addresses that are to be served. */
  readonly listen: readonly Endpoint[]
  /** The data thread's last word, and how long ago it came. */
  readonly data: DataStatus | undefined
  readonly dataAge: Milliseconds
  /** The latest query to ourselves on each address; addresses not yet asked are missing. */
  readonly selfQueries: readonly SelfQuery[]
  /** SIGTERM has come: still answering, but not for long. */
  readonly stopping: boolean
  /** The last reload's refusal, '' if it was accepted. */
  readonly reloadError: string
  /** The masters, if this node has any to ask; `error` is the last look's, '' if it succeeded. */
  readonly masters:
    { readonly count: number; readonly age: Milliseconds; readonly error: string } | undefined
  /** Further reasons to look, from parts that know their own trouble (gossip, admin). */
  readonly notes: readonly Reason[]
}

/** What is wrong with one thing, in words for the operator. */
export type Reason = { readonly name: string; readonly detail: string }

export type Health = {
  readonly live: boolean
  readonly ready: boolean
  readonly degraded: boolean
  /** Why not live. */
  readonly dead: readonly Reason[]
  /** Why not ready. */
  readonly notReady: readonly Reason[]
  /** Why degraded: what is not ready included. */
  readonly trouble: readonly Reason[]
}

/** A data thread silent for this long hangs: it turns at least every 50 ms. Long enough for a stopped and continued process. */
export const DATA_SILENT_MS = 10_000
/** Masters are looked for every 120 s; three misses are a fact. A list that is old but whose last look succeeded is fine: files seldom change. */
export const MASTERS_OLD_MS = 6 * 60_000

const same = (a: Endpoint) => (b: Endpoint) => a.address === b.address && a.port === b.port
const named = ({ address, port }: Endpoint): string => hostPort(address, port)

/** Why one address does not answer, undefined if it does. */
const addressTrouble = (at: Endpoint, { data, selfQueries }: HealthInput): Reason | undefined => {
  const name = named(at)
  const bound = data?.listening.find(same(at))
  if (!bound) return { name, detail: 'not bound yet' }
  if (!bound.udp || !bound.tcp) {
    const what = bound.udp ? 'no TCP' : bound.tcp ? 'no UDP' : 'not bound'
    return { name, detail: bound.error === '' ? what : `${what}: ${bound.error}` }
  }
  const self = selfQueries.find(same(at))
  if (!self) return { name, detail: 'has not answered a query yet' }
  return self.ok ? undefined : { name, detail: `does not answer: ${self.error}` }
}

/** The judgement. */
export const judge = (input: HealthInput): Health => {
  const { listen, data, dataAge, stopping, reloadError, masters, notes } = input
  const dead: Reason[] = []
  if (data && dataAge > DATA_SILENT_MS) {
    dead.push({ name: 'data thread', detail: `silent for ${Math.round(dataAge / 1000)} s` })
  }
  const notReady: Reason[] = [...dead]
  if (!data) notReady.push({ name: 'data thread', detail: 'has not started' })
  if (stopping) notReady.push({ name: 'daemon', detail: 'is stopping' })
  for (const at of listen) {
    const reason = addressTrouble(at, input)
    if (reason) notReady.push(reason)
  }
  const trouble = [...notReady]
  if (reloadError !== '')
    trouble.push({ name: 'configuration', detail: `reload refused: ${reloadError}` })
  if (masters?.count === 0) trouble.push({ name: 'masters', detail: masters.error || 'none known' })
  else if (masters && masters.error !== '' && masters.age > MASTERS_OLD_MS) {
    const detail = `list is ${Math.round(masters.age / 60_000)} min old: ${masters.error}`
    trouble.push({ name: 'masters', detail })
  }
  for (const { name, state, lastFailure, lastReplyAt } of data?.upstreams ?? []) {
    if (state !== 'dead') continue
    const since =
      lastReplyAt === 0 ? 'has never answered' : `last reply ${new Date(lastReplyAt).toISOString()}`
    trouble.push({ name, detail: `does not answer: ${lastFailure || 'no reply'}, ${since}` })
  }
  for (const { apex, loaded } of data?.zones ?? []) {
    if (!loaded) trouble.push({ name: apex, detail: 'zone data has not arrived' })
  }
  trouble.push(...notes)
  return {
    live: dead.length === 0,
    ready: notReady.length === 0,
    degraded: trouble.length > 0,
    dead,
    notReady,
    trouble,
  }
}
