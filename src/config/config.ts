/**
 * The configuration as the rest of the program sees it: one object, read once from one YAML file.
 * config/schema.ts declares every key with unit, default and reason; config/load.ts reads the file. This file
 * does not import the libraries for that. Addresses include their port. TTLs are in seconds, other times in
 * milliseconds, sizes in bytes. '' means none. A section that is not used is undefined.
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
  /** True if the file does not set `allow`: it then follows the networks attached to this host. */
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
  /** Settings for `spartan balance`. */
  readonly balance: {
    readonly engine: 'nftables'
    readonly prefer: 'none' | 'local'
    readonly affinity: 'none' | 'client'
  }
  readonly mesos?: Mesos | undefined
  readonly admin: {
    readonly listen: Endpoint | undefined
    readonly socket: string
    readonly hostNames: readonly string[]
    readonly tls: { readonly cert: string; readonly key: string }
    readonly token: string
  }
  readonly metrics: { readonly prefix: string }
  readonly dnstap?: Dnstap | undefined
  readonly log: { readonly level: Level }
  readonly identity: boolean
  readonly stateDir: string
}

/** Only one of addresses, file, url, exhibitor, name and zk is set: the one that `source` needs. */
export type Masters = {
  readonly source: 'static' | 'file' | 'url' | 'exhibitor' | 'dns' | 'zk'
  readonly addresses: readonly Endpoint[]
  readonly file: string
  readonly url: string
  readonly exhibitor: string
  readonly name: string
  readonly zk: string
  /** File with user:password for ZooKeeper. */
  readonly zkDigest: string
  readonly port: number
  readonly refresh: Milliseconds
  readonly retry: Milliseconds
}

/** Either a keyring is named or `insecure` is true. */
export type Gossip = {
  readonly bind: Endpoint
  readonly advertise: Endpoint | undefined
  readonly seeds: readonly Endpoint[]
  /** The current masters are seeds, too. */
  readonly seedMasters: boolean
  readonly keyring: string
  readonly insecure: boolean
  readonly clusterName: string
  /** The section's own directory, or the general one. */
  readonly stateDir: string
}

export type Vips = {
  /** A URL, or 'local'. */
  readonly agent: string
  readonly address: string
  readonly answer: 'auto' | 'vip' | 'backends'
  readonly files: readonly string[]
  readonly range: { readonly min: string; readonly max: string }
  readonly range6: { readonly min: string; readonly max: string }
  readonly enableIpv6: boolean
  readonly grace: Milliseconds
}

export type Dnstap = {
  readonly socket: string
  readonly messages: 'both' | 'query' | 'response'
  /** One query out of so many. */
  readonly sample: number
  readonly identity: string
}

export type Mesos = {
  /** A URL, 'local' or 'zk'. */
  readonly master: string
  readonly leaderOnly: boolean
  readonly ipSources: readonly ('host' | 'netinfo' | 'mesos' | 'docker')[]
  /** Files, '' for none. */
  readonly tls: MesosTls
  /** Files, '' for none; one at most is set. */
  readonly auth: { readonly basic: string; readonly token: string; readonly iam: string }
}

export type MesosTls = {
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly insecure: boolean
}

/** Where a value comes from; the number is the line of its key. */
export type Origin = 'default' | `file:${number}`

/** A usable configuration. `document` is the file's content as written, for printing it. */
export type Loaded = {
  readonly config: Config
  /** Keyed by the paths of KEYS; keys of sections that are not used are absent. */
  readonly origins: ReadonlyMap<string, Origin>
  readonly document: unknown
}

/** The problems of an ECONFIG error; [] of any other error. */
export const problemsOf = (er: unknown): readonly Problem[] =>
  codeOf(er) === 'ECONFIG' ? ((er as { problems?: readonly Problem[] }).problems ?? []) : []

/** One problem as a line for the operator: FILE:LINE:COLUMN: KEY: what is wrong (did you mean …?). */
export const showProblem = (
  file: string,
  { line, column, path, message, suggestion }: Problem,
): string =>
  `${file}:${line}:${column}: ${path ? `${path}: ` : ''}${message}${suggestion ? ` (did you mean ${suggestion}?)` : ''}`
