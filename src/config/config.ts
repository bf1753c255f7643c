/**
 * The configuration: one YAML file over defaults, read once into one
 * object. Every key with its unit, default and reason is declared in
 * config/schema.ts, read by config/load.ts; here is what the rest of the
 * program sees, without the libraries that reading takes. Addresses have
 * their port, TTLs are seconds, other times milliseconds, sizes bytes; '' means
 * none, and a section that is not used is undefined.
 */
import type { Endpoint, Milliseconds, Seconds } from '../boundary/messages.ts'
import type { Upstream } from './address.ts'
import type { Problem } from './source.ts'
import { codeOf } from '../base/error.ts'
import type { Level } from '../base/log.ts'

export { readHost, type Host } from './host.ts'
export type { Problem } from './source.ts'
export { showEndpoint, showUpstream, type Upstream } from './address.ts'

/** Where the configuration is looked for when no --config is given. */
export const CONFIG_FILE = '/etc/spartan/spartan.yaml'

export type Config = {
  readonly node: string
  readonly clusterId: string
  readonly listen: {
    readonly addresses: readonly Endpoint[]
    readonly port: number
    readonly anyAddress: boolean
  }
  readonly io: 'auto' | 'batch' | 'apart' | 'dgram'
  /** CIDR. */
  readonly allow: readonly string[]
  /** `allow` was not given: it follows the networks attached to this host, which come and go. */
  readonly allowAttached: boolean
  readonly masters?: Masters | undefined
  readonly upstreams: readonly Upstream[]
  /** Zone, in lower case without final dot → its upstreams. */
  readonly forwardZones: Readonly<Record<string, readonly Upstream[]>>
  /** Label below thisdcos.directory → name below that label → target of the CNAME. */
  readonly zones: Readonly<Record<string, Readonly<Record<string, string>>>>
  readonly cache: {
    readonly maxBytes: number
    readonly maxEntries: number
    readonly serveStale: Seconds
    readonly minTtl: Seconds
    readonly maxTtl: Seconds
    readonly maxNegativeTtl: Seconds
    readonly snapshot: string
  }
  readonly race: { readonly grace: Milliseconds; readonly deadline: Milliseconds }
  readonly limits: {
    readonly inFlight: number
    readonly tcpConnections: number
    readonly tcpIdle: Milliseconds
  }
  readonly gossip?: Gossip | undefined
  readonly vips?: Vips | undefined
  /** What `spartan balance` reads. */
  readonly balance: {
    readonly engine: 'nftables'
    readonly prefer: 'none' | 'local'
    readonly affinity: 'none' | 'client'
  }
  readonly mesos?: { readonly master: string; readonly leaderOnly: boolean } | undefined
  readonly admin: { readonly listen: Endpoint | undefined; readonly socket: string }
  readonly metrics: { readonly prefix: string }
  readonly log: { readonly level: Level }
  readonly identity: boolean
  readonly stateDir: string
}

/** Exactly one of addresses, file, url, exhibitor and name is set, the one `source` needs. */
export type Masters = {
  readonly source: 'static' | 'file' | 'url' | 'exhibitor' | 'dns'
  readonly addresses: readonly Endpoint[]
  readonly file: string
  readonly url: string
  readonly exhibitor: string
  readonly name: string
  readonly port: number
  readonly refresh: Milliseconds
  readonly retry: Milliseconds
}

/** Either a keyring is named or `insecure` is true. */
export type Gossip = {
  readonly bind: Endpoint
  readonly advertise: Endpoint | undefined
  readonly seeds: readonly Endpoint[]
  readonly keyring: string
  readonly insecure: boolean
  readonly clusterName: string
  /** The section's own or, without one, the file's. */
  readonly stateDir: string
}

export type Vips = {
  readonly agent: string
  readonly answer: 'auto' | 'vip' | 'backends'
  readonly files: readonly string[]
  readonly range: { readonly min: string; readonly max: string }
  readonly range6: { readonly min: string; readonly max: string }
  readonly enableIpv6: boolean
  readonly grace: Milliseconds
}

/** Where a value comes from; the line is that of its key. */
export type Origin = 'default' | `file:${number}`

/** A usable configuration. `given` is the document as written, for printing it. */
export type Loaded = {
  readonly config: Config
  /** By the paths of KEYS; keys of sections that are not used are absent. */
  readonly origins: ReadonlyMap<string, Origin>
  readonly given: unknown
}

/** What is wrong, if this is an ECONFIG; [] otherwise. */
export const problemsOf = (er: unknown): readonly Problem[] =>
  codeOf(er) === 'ECONFIG' ? ((er as { problems?: readonly Problem[] }).problems ?? []) : []

/** One line for people: FILE:LINE:COLUMN: KEY: what is wrong (did you mean …?). */
export const showProblem = (
  file: string,
  { line, column, path, message, suggestion }: Problem,
): string =>
  `${file}:${line}:${column}: ${path ? `${path}: ` : ''}${message}${suggestion ? ` (did you mean ${suggestion}?)` : ''}`
