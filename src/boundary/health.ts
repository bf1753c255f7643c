/**
 * The health of the daemon, with reasons. Live: the process should keep running. Ready: clients may be sent
 * here. Degraded: it answers, but the operator should look. Pure; the caller passes in what it knows.
 */
import { hostPort } from '../base/ip.ts'
import type { DataStatus, Endpoint, Milliseconds } from './messages.ts'

/** The outcome of a real query that the daemon sent to one of its own addresses. */
export type SelfQuery = Endpoint & { readonly ok: boolean; readonly error: string }

/** The state that health is computed from. */
export type HealthInput = {
  /** Addresses that the daemon should serve. */
  readonly listen: readonly Endpoint[]
  /** The data thread's latest status, undefined before the first. */
  readonly data: DataStatus | undefined
  /** How long the data thread has neither given its status nor answered a query of ours. */
  readonly silence: Milliseconds
  /** The latest query to each of our own addresses; an address that was not queried yet is missing. */
  readonly selfQueries: readonly SelfQuery[]
  /** True after SIGTERM: the daemon still answers, but soon ends. */
  readonly stopping: boolean
  /** Why the last reload was refused; '' if it was accepted. */
  readonly reloadError: string
  /**
   * The list of masters, if this node uses one. `error` is that of the last attempt to read it, '' if it
   * succeeded.
   */
  readonly masters:
    { readonly count: number; readonly age: Milliseconds; readonly error: string } | undefined
  /** Problems that other parts report about themselves (gossip, admin). */
  readonly notes: readonly Reason[]
}

/** One problem: the part concerned, and a sentence for the operator. */
export type Reason = { readonly name: string; readonly detail: string }

export type Health = {
  readonly live: boolean
  readonly ready: boolean
  readonly degraded: boolean
  /** Reasons why the daemon is not live. */
  readonly dead: readonly Reason[]
  /** Reasons why it is not ready. */
  readonly notReady: readonly Reason[]
  /** Reasons why it is degraded. Includes those in `notReady`. */
  readonly trouble: readonly Reason[]
}

/**
 * After this silence the data thread is treated as hung: it is asked for its status whenever the health is, and for a
 * name of ours every 5 s. The limit leaves time for a process that was stopped and continued.
 */
export const DATA_SILENT_MS = 10_000
/**
 * The list of masters is read every 120 s, and three failures in a row are reported. An old list whose last
 * read succeeded is fine, because files seldom change.
 */
export const MASTERS_OLD_MS = 6 * 60_000

const same = (a: Endpoint) => (b: Endpoint) => a.address === b.address && a.port === b.port
const named = ({ address, port }: Endpoint): string => hostPort(address, port)

/** Why an address does not answer; undefined if it does. */
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

/** Computes the health. */
export const judge = (input: HealthInput): Health => {
  const { listen, data, silence, stopping, reloadError, masters, notes } = input
  const dead: Reason[] = []
  if (data && silence > DATA_SILENT_MS) {
    dead.push({ name: 'data thread', detail: `silent for ${Math.round(silence / 1000)} s` })
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
