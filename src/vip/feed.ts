/**
 * The VIP table as it crosses from the daemon to the balancer: JSON lines over
 * the admin socket, and the balancer's reports back. A stream says who it is,
 * then what changed, then the version that makes it one consistent table:
 *
 *   {"session":"4f1c"}                     names this stream in the reports
 *   {"reset":true}                         forget the table; all of it follows
 *   {"set":{...}}   {"drop":"KEY"}         one VIP, as it is from now on
 *   {"version":"EPOCH-7","loaded":true,…}  the lines since the last version are complete
 *   {"alive":true}                         nothing changed
 */
import type { Protocol } from './record.ts'

/** One backend of a VIP. */
export type FeedBackend = {
  readonly ip: string
  readonly port: number
  /** A backend with weight 0 gets no new connections while another one can take them. */
  readonly weight: number
  /** Where this agent reaches it, if not at that address: the container behind a mapped host port. */
  readonly via?: { readonly ip: string; readonly port: number }
  /** Whether it runs on this agent. */
  readonly local?: true
}

export type FeedVip = {
  /** Identifies the VIP in the stream. */
  readonly key: string
  /** '' for a numeric VIP. */
  readonly name: string
  readonly protocol: Protocol
  readonly port: number
  /** At most one address of each family, in canonical spelling. */
  readonly addresses: readonly string[]
  readonly backends: readonly FeedBackend[]
}

/** The line that ends a batch. */
export type FeedVersion = {
  readonly version: string
  /** False while the daemon does not know all VIPs yet: a missing one may still exist. */
  readonly loaded: boolean
  /** Addresses by which other hosts reach this agent, '' for none: the source of connections to VIPs. */
  readonly own4: string
  readonly own6: string
}

export type FeedLine =
  | { readonly session: string }
  | { readonly reset: true }
  | { readonly set: FeedVip }
  | { readonly drop: string }
  | FeedVersion
  | { readonly alive: true }

/** Upper bounds of the histogram of sync durations, in seconds. */
export const SYNC_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5] as const

/** The balancer's report after every change, and periodically. */
export type BalanceReport = {
  readonly engine: string
  /** Counts of the kernel's current rules. */
  readonly vips: number
  readonly backends: number
  readonly slots: number
  /** VIPs without a backend, whose connections are refused. */
  readonly rejecting: number
  /** VIPs whose weights or backends had to be reduced to fit into the slots. */
  readonly capped: number
  /** Counters since the balancer started. */
  readonly syncs: number
  readonly replaced: number
  readonly failures: number
  /** How often another program had changed our rules. */
  readonly mended: number
  readonly forgotten: number
  /** Counts for each of SYNC_BOUNDS and above, then the sum in seconds. */
  readonly durations: readonly number[]
  /** The last error; '' while the last transaction succeeded. */
  readonly trouble: string
  /** Missing features and limiting settings of this host, one sentence each. */
  readonly notes: readonly string[]
  /** Tracked connections of the busiest VIPs at the last check, by '11.0.0.1 . tcp . 80'. */
  readonly connections: Readonly<Record<string, number>>
}

export type BalanceAck = {
  readonly session: string
  readonly version: string
  readonly report: BalanceReport
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length < 1000
const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0

const COUNTS = [
  'vips',
  'backends',
  'slots',
  'rejecting',
  'capped',
  'syncs',
  'replaced',
  'failures',
  'mended',
  'forgotten',
] as const

/** Parses a report from the socket; undefined if it is malformed. */
export const readAck = (body: unknown): BalanceAck | undefined => {
  const { session, version, report } = (body ?? {}) as Record<string, unknown>
  if (!isText(session) || !isText(version) || typeof report !== 'object' || !report)
    return undefined
  const said = report as Record<string, unknown>
  const { engine, trouble, notes, durations, connections } = said
  const good =
    isText(engine) &&
    isText(trouble) &&
    COUNTS.every(name => isCount(said[name])) &&
    Array.isArray(notes) &&
    notes.length <= 20 &&
    notes.every(isText) &&
    Array.isArray(durations) &&
    durations.length === SYNC_BOUNDS.length + 2 &&
    durations.every(isCount) &&
    typeof connections === 'object' &&
    connections !== null &&
    Object.values(connections).every(isCount)
  return good ? { session, version, report: report as BalanceReport } : undefined
}
