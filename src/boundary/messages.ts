/**
 * Everything that crosses between the main thread (control, ops) and the data
 * thread (all DNS). If a type is not in this file, it does not cross. All of
 * it is plain data that a structured clone copies, or memory that both see.
 */
import type { Parcel } from './carrier.ts'

/** Whole seconds, as the protocol's TTLs are. */
export type Seconds = number
export type Milliseconds = number

export type Endpoint = { readonly address: string; readonly port: number }

/**
 * A server we forward to. `slot` is its number in the per-upstream counters,
 * given by the control plane and stable while the upstream is configured.
 */
export type UpstreamSpec =
  | {
      readonly protocol: 'udp'
      readonly address: string
      readonly port: number
      readonly slot: number
    }
  | {
      readonly protocol: 'tls'
      readonly address: string
      readonly port: number
      readonly serverName?: string
      readonly slot: number
    }
  | { readonly protocol: 'https'; readonly url: string; readonly slot: number }

/**
 * One RRset of a local zone, rdata in presentation form as in a zone file:
 * A '192.0.2.1', SRV '0 1 31000 web.example.org', CNAME 'a.example.org',
 * TXT 'text', names without the final dot.
 */
export type RRset = {
  readonly type: string
  readonly ttl: Seconds
  readonly data: readonly string[]
}

/** Owner name (lower case, no final dot, presentation form) and its RRsets. */
export type Owner = readonly [name: string, rrsets: readonly RRset[]]

/** The SOA and NS that every local zone carries. */
export type ZoneApex = {
  readonly mname: string
  readonly rname: string
  readonly ttl: Seconds
  readonly refresh: Seconds
  readonly retry: Seconds
  readonly expire: Seconds
  readonly minimum: Seconds
}

/**
 * A change to one local zone. Large zones travel as a `load` that opens a new
 * copy, `more` that fill it, and a `commit` that puts it in place at once, so
 * that reading no message takes the data thread long; what it says is done in
 * steps, and the next is sent when the last is done, because what waits in a
 * port is read in one turn.
 * `patch` changes the copy in place. `number` is new with every commit and
 * patch and is part of the cache key of what the zone answers.
 */
export type ZoneMessage =
  | {
      readonly type: 'zone'
      readonly op: 'load'
      readonly apex: string
      readonly soa: ZoneApex
      readonly ns: string
      readonly serial: number
      /** How many will come, for their room. */
      readonly owners: number
    }
  | {
      readonly type: 'zone'
      readonly op: 'more'
      readonly apex: string
      /** Owners, as boundary/zone-text.ts writes them. */
      readonly parcel: Parcel
    }
  | {
      readonly type: 'zone'
      readonly op: 'commit'
      readonly apex: string
      readonly number: number
      readonly loaded: boolean
    }
  | {
      readonly type: 'zone'
      readonly op: 'patch'
      readonly apex: string
      readonly number: number
      readonly serial: number
      readonly set: readonly Owner[]
      readonly drop: readonly string[]
    }
  | { readonly type: 'zone'; readonly op: 'remove'; readonly apex: string }

/**
 * What to do with names at or below `zone`. `label` is the index of the
 * zone's name in the closed list of zone labels that metrics carry.
 * `number` changes when the answers the route leads to may have changed.
 */
export type RouteSpec = { readonly zone: string; readonly label: number } & (
  | { readonly kind: 'local' }
  | { readonly kind: 'rename'; readonly to: string }
  | {
      readonly kind: 'forward'
      readonly number: number
      /** race: all at once, replies judged. hedge: best first, the next when it is late. */
      readonly policy: 'race' | 'hedge'
      /** Which TTL policy of the design page (section 2.3) its answers follow. */
      readonly ttl: 'cluster' | 'external'
      readonly upstreams: readonly UpstreamSpec[]
      /** Apex of a local zone that holds a copy, asked when every upstream is dead. */
      readonly copy?: string
    }
  /** Answered NXDOMAIN here: RFC 6761 and 6303 names, so that they do not leak. */
  | { readonly kind: 'special' }
  /** Answered REFUSED: nobody to ask. */
  | { readonly kind: 'refuse' }
)

/** What the data thread answers from. Frozen; replaced whole. */
export type Snapshot = {
  readonly number: number
  /** Names of section 3's rules 1 to 3: longest suffix wins among them, and over all below. */
  readonly own: readonly RouteSpec[]
  /** Configured forward zones: longest suffix wins. */
  readonly forward: readonly RouteSpec[]
  /** RFC 6761/6303 names. */
  readonly special: readonly RouteSpec[]
  /** Everything else: the external upstreams. */
  readonly rest: RouteSpec
  /** The closed list of zone labels; the last one is 'other'. */
  readonly labels: readonly string[]
  /** Who may ask, as CIDR; others get REFUSED. */
  readonly allow: readonly string[]
}

/** What of the data thread's start can be changed while it runs; the fields are those of DataThreadStart. */
export type Settings = {
  readonly cache: {
    readonly serveStale: Seconds
    readonly minTtl: Seconds
    readonly maxTtl: Seconds
    readonly maxNegativeTtl: Seconds
  }
  readonly tcp: { readonly maxConnections: number; readonly idle: Milliseconds }
  readonly race: { readonly grace: Milliseconds; readonly deadline: Milliseconds }
  readonly maxInFlight: number
  readonly identity: boolean
}

/** What the data thread is given at its start, once. */
export type DataThreadStart = {
  readonly node: string
  readonly version: string
  readonly io: 'auto' | 'batch' | 'apart' | 'dgram'
  readonly listen: readonly Endpoint[]
  /** Descriptors that systemd passed, by what they are bound to. */
  readonly inherited: readonly {
    readonly fd: number
    readonly transport: 'udp' | 'tcp'
    readonly address: string
    readonly port: number
  }[]
  /** Memory for `boundary/counters.ts`, shared with the main thread. */
  readonly counters: SharedArrayBuffer
  readonly cache: Settings['cache'] & { readonly maxBytes: number; readonly maxEntries: number }
  readonly tcp: Settings['tcp']
  readonly race: Settings['race'] & { readonly retransmit: readonly Milliseconds[] }
  readonly maxInFlight: number
  /** Answer CH TXT version.bind and id.server with our name. */
  readonly identity: boolean
  /** Answer everything in this local zone as Mesos-DNS does, right or wrong (data/answer/compat-wire.ts). */
  readonly compat?: {
    readonly apex: string
    readonly recursionAvailable: boolean
    readonly setTruncateBit: boolean
    /** REFUSED for names outside the zone. */
    readonly refuseOutside?: boolean
  }
}

/** One upstream as the data thread sees it; times in milliseconds. */
export type UpstreamStatus = {
  readonly slot: number
  readonly name: string
  /** unknown: it has never replied, and was not silent for long enough to be dead. */
  readonly state: 'unknown' | 'up' | 'sick' | 'dead'
  /** 0 when it has never replied. */
  readonly srttMs: number
  readonly failureScore: number
  /** timeout, unreachable, servfail, refused or other; '' when nothing has failed. */
  readonly lastFailure: string
  /** Unix time of the last failure and of the last reply; 0 when there was none. */
  readonly lastFailureAt: number
  readonly lastReplyAt: number
  readonly nextProbeInMs: number
}

/** The data thread's own view of itself, on request. */
export type DataStatus = {
  readonly io: 'batch' | 'dgram'
  readonly snapshot: number
  readonly listening: readonly {
    readonly address: string
    readonly port: number
    readonly udp: boolean
    readonly tcp: boolean
    readonly error: string
  }[]
  readonly cache: { readonly entries: number; readonly bytes: number; readonly maxBytes: number }
  readonly inFlight: number
  readonly tcpConnections: number
  readonly upstreams: readonly UpstreamStatus[]
  readonly zones: readonly {
    readonly apex: string
    readonly names: number
    readonly number: number
    readonly loaded: boolean
  }[]
  /** Names most asked lately, most first; a sample. */
  readonly top: readonly { readonly name: string; readonly type: string; readonly count: number }[]
}

/** One step of a traced query, in order, with the time since the query came. */
export type TraceStep = { readonly atMs: number; readonly step: string; readonly detail: string }

/** The first word to the data thread. */
export type Begin = { readonly type: 'begin'; readonly start: DataThreadStart }

/** main → data */
export type Down =
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
  | ZoneMessage
  /** Go on with other settings. */
  | { readonly type: 'settings'; readonly settings: Settings }
  /** Answer this query message as if it came from a client on loopback; the reply is an 'answer'. */
  | {
      readonly type: 'ask'
      readonly id: number
      readonly wire: Uint8Array
      readonly trace: boolean
    }
  | { readonly type: 'status'; readonly id: number }
  /** Say so when all before this is done. */
  | { readonly type: 'echo'; readonly id: number }
  /** Drop cached entries at or below a name; '' drops all. */
  | { readonly type: 'flush'; readonly id: number; readonly name: string }
  /** List cached entries at or below a name, at most `limit`. */
  | { readonly type: 'entries'; readonly id: number; readonly name: string; readonly limit: number }
  /** Give the whole cache as bytes for the snapshot on disk, or fill it from such bytes. */
  | { readonly type: 'dump'; readonly id: number }
  | { readonly type: 'restore'; readonly id: number; readonly bytes: Uint8Array }
  /** Stop accepting, let queries finish, say 'drained'. */
  | { readonly type: 'drain'; readonly deadline: Milliseconds }

export type CacheEntryInfo = {
  readonly name: string
  readonly type: string
  readonly kind: 'positive' | 'negative' | 'failure'
  readonly zone: string
  readonly ttl: Seconds
  readonly bytes: number
  readonly hits: number
}

/** data → main */
export type Up =
  | {
      readonly type: 'listening'
      readonly address: string
      readonly port: number
      readonly transport: 'udp' | 'tcp'
      readonly inherited: boolean
    }
  | {
      readonly type: 'bindFailed'
      readonly address: string
      readonly port: number
      readonly transport: 'udp' | 'tcp'
      readonly error: string
    }
  | {
      readonly type: 'answer'
      readonly id: number
      readonly wire: Uint8Array
      readonly trace: readonly TraceStep[]
    }
  | { readonly type: 'status'; readonly id: number; readonly status: DataStatus }
  | { readonly type: 'echo'; readonly id: number }
  | { readonly type: 'flushed'; readonly id: number; readonly count: number }
  | { readonly type: 'entries'; readonly id: number; readonly entries: readonly CacheEntryInfo[] }
  | { readonly type: 'dumped'; readonly id: number; readonly bytes: Uint8Array }
  | { readonly type: 'restored'; readonly id: number; readonly count: number }
  | { readonly type: 'drained' }
  /** A change of state worth a log line. */
  | {
      readonly type: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly msg: string
      readonly fields: Record<string, unknown>
    }
