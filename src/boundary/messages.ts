/**
 * All messages between the main thread (control, ops) and the data thread (DNS). Every type that crosses is in this
 * file: plain data that a structured clone copies, or memory that both threads share.
 *
 * This file is long, because all that crosses is to be seen in one place.
 */
import type { SharedText } from './shared-text.ts'

/** Whole seconds, as the protocol's TTLs are. */
export type Seconds = number
export type Milliseconds = number

export type Endpoint = { readonly address: string; readonly port: number }

/**
 * A server that queries are forwarded to. `slot` is its index in the per-upstream counters. The control plane
 * assigns it, and it stays the same while the upstream is configured.
 */
export type UpstreamSpec =
  | {
      /** udp: over TCP where a reply does not fit a datagram. */
      readonly protocol: 'udp' | 'tcp'
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

/** The SOA and NS records of a local zone. */
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
 * A change to one local zone. A large zone is sent as `load`, which opens a new copy, several `more`, which
 * fill it, and `commit`, which replaces the old copy. `patch` changes the copy in use. The data thread
 * processes a message in small steps, and the sender waits for each before it sends the next: Node reads all
 * messages that wait in a port in one turn, which would delay queries. `number` is new with every commit and
 * patch, and is part of the cache key of the zone's answers.
 */
export type ZoneMessage =
  | {
      readonly type: 'zone'
      readonly op: 'load'
      readonly apex: string
      readonly soa: ZoneApex
      readonly ns: string
      readonly serial: number
      /** How many owners follow, so that the reader can reserve room. */
      readonly owners: number
    }
  | {
      readonly type: 'zone'
      readonly op: 'more'
      readonly apex: string
      /** Owners in the format of boundary/zone-text.ts. */
      readonly text: SharedText
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
 * What to do with names at or below `zone`. `label` is the index of the zone's name in the list of zone
 * labels for metrics. `number` changes whenever the answers of this route may change, and is the same in the next run if
 * they may not.
 */
export type RouteSpec = { readonly zone: string; readonly label: number } & (
  | { readonly kind: 'local' }
  | { readonly kind: 'rename'; readonly to: string }
  | {
      readonly kind: 'forward'
      readonly number: number
      /**
       * race: asks all upstreams at once and judges the replies. hedge: asks the best one first, and the next
       * one when the reply is late.
       */
      readonly policy: 'race' | 'hedge'
      /** Which limits of TTLs apply to its answers: those of cluster names or those of external names. */
      readonly ttl: 'cluster' | 'external'
      readonly upstreams: readonly UpstreamSpec[]
      /** Apex of a local zone that holds a copy of these names. It answers when every upstream is dead. */
      readonly copy?: string
    }
  /** Answered with NXDOMAIN: names of RFC 6761 and 6303, which must not leak to upstreams. */
  | { readonly kind: 'special' }
  /** Answered with REFUSED, because no upstream is configured. */
  | { readonly kind: 'refuse' }
)

/** Everything the data thread answers from. Frozen; a change replaces the whole object. */
export type Snapshot = {
  readonly number: number
  /** The cluster's own zones. The longest matching suffix wins, before all routes below. */
  readonly own: readonly RouteSpec[]
  /** Configured forward zones; the longest matching suffix wins. */
  readonly forward: readonly RouteSpec[]
  /** Special names of RFC 6761 and 6303. */
  readonly special: readonly RouteSpec[]
  /** Every other name: the external upstreams. */
  readonly rest: RouteSpec
  /** Zone labels for metrics; the last one is 'other'. */
  readonly labels: readonly string[]
  /** Networks whose clients are answered, as CIDR; others get REFUSED. */
  readonly allow: readonly string[]
}

/** Settings that can change while the data thread runs; the fields are those of DataThreadStart. */
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

/** What the data thread needs at its start; sent once. */
export type DataThreadStart = {
  readonly node: string
  readonly version: string
  readonly io: 'auto' | 'batch' | 'apart' | 'dgram'
  readonly listen: readonly Endpoint[]
  /** Sockets that systemd passed, by the address they are bound to. */
  readonly inherited: readonly {
    readonly fd: number
    readonly transport: 'udp' | 'tcp'
    readonly address: string
    readonly port: number
  }[]
  /** A 'restore' will follow, with the cache of the last run. */
  readonly restores: boolean
  /** Memory for `boundary/counters.ts`, shared with the main thread. */
  readonly counters: SharedArrayBuffer
  readonly cache: Settings['cache'] & { readonly maxBytes: number; readonly maxEntries: number }
  readonly tcp: Settings['tcp']
  readonly race: Settings['race'] & { readonly retransmit: readonly Milliseconds[] }
  readonly maxInFlight: number
  /** Answer CH TXT version.bind and id.server with our name. */
  readonly identity: boolean
  /**
   * Answers everything in this local zone exactly as Mesos-DNS does, including its errors
   * (data/answer/compat-wire.ts).
   */
  readonly compat?: {
    readonly apex: string
    readonly recursionAvailable: boolean
    readonly setTruncateBit: boolean
    /** Answers REFUSED for names outside the zone. */
    readonly refuseOutside?: boolean
  }
}

/** One upstream as the data thread sees it; times in milliseconds. */
export type UpstreamStatus = {
  readonly slot: number
  readonly name: string
  /** unknown: it has not replied yet, and was not silent for long enough to count as dead. */
  readonly state: 'unknown' | 'up' | 'sick' | 'dead'
  /** 0 if it has never replied. */
  readonly srttMs: number
  readonly failureScore: number
  /** timeout, unreachable, servfail, refused or other; '' if nothing has failed. */
  readonly lastFailure: string
  /** Unix time of the last failure and of the last reply; 0 if there was none. */
  readonly lastFailureAt: number
  readonly lastReplyAt: number
  readonly nextProbeInMs: number
}

/** The data thread's status, on request. */
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
  /** Names queried most often lately, most frequent first; from a sample. */
  readonly top: readonly { readonly name: string; readonly type: string; readonly count: number }[]
}

/** One step of a traced query, in order, with the time since the query came. */
export type TraceStep = { readonly atMs: number; readonly step: string; readonly detail: string }

/** A request to copy answered queries into a ring (boundary/query-ring.ts). Names are in wire format, lower case. */
export type WatchSpec = {
  readonly id: number
  readonly memory: SharedArrayBuffer
  /** Copies one query out of so many, at random. */
  readonly every: number
  /** Only names at or below this one. */
  readonly below: Uint8Array
  /** Not names at or below this one; the root means no exception. */
  readonly except: Uint8Array
  /** Only clients in these networks; [] means all. */
  readonly clients: readonly string[]
  /** Bits of the outcomes (the order of OUTCOMES) and of the RCODEs that are wanted: a query needs one of them. */
  readonly outcomes: number
  readonly rcodes: number
  /** Copies the whole messages, instead of only the question. */
  readonly whole: boolean
}

/** What a drill can lose: the Mesos-DNS servers, all other upstreams, or the members of the gossip. */
export const DRILLS = ['masters', 'upstreams', 'gossip'] as const
export type DrillTarget = (typeof DRILLS)[number]

/** The first message to the data thread. */
export type Begin = { readonly type: 'begin'; readonly start: DataThreadStart }

/** Messages from the main thread to the data thread. */
export type Down =
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot }
  | ZoneMessage
  /** Replaces the settings. */
  | { readonly type: 'settings'; readonly settings: Settings }
  /** Answer this query message as if it came from a client on loopback; the reply is an 'answer'. */
  | {
      readonly type: 'ask'
      readonly id: number
      readonly wire: Uint8Array
      readonly trace: boolean
    }
  | { readonly type: 'status'; readonly id: number }
  | ({ readonly type: 'watch' } & WatchSpec)
  | { readonly type: 'unwatch'; readonly id: number }
  /** Treat these upstreams as lost for so long; 0 ends it. */
  | { readonly type: 'drill'; readonly target: DrillTarget; readonly ms: Milliseconds }
  /** Asks for a reply after all earlier messages have been processed. */
  | { readonly type: 'echo'; readonly id: number }
  /** Drop cached entries at or below a name; '' drops all. */
  | { readonly type: 'flush'; readonly id: number; readonly name: string }
  /** List cached entries at or below a name, at most `limit`. */
  | { readonly type: 'entries'; readonly id: number; readonly name: string; readonly limit: number }
  /** Asks for the whole cache as bytes for the snapshot on disk, or fills the cache from such bytes. */
  | { readonly type: 'dump'; readonly id: number }
  | { readonly type: 'restore'; readonly id: number; readonly bytes: Uint8Array }
  /** Stops accepting queries, finishes those under way, then sends 'drained'. */
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

/** What came back of the last run's cache. */
export type Restored = {
  readonly count: number
  /** Answers that were left out, because another route answers their names now. */
  readonly otherRoute: number
  /** Why nothing of it can be used; '' if it can. */
  readonly trouble: string
}

/** Messages from the data thread to the main thread. */
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
  | { readonly type: 'restored'; readonly id: number; readonly restored: Restored }
  | { readonly type: 'drained' }
  /** A change of state for the log. */
  | {
      readonly type: 'log'
      readonly level: 'debug' | 'info' | 'warn' | 'error'
      readonly msg: string
      readonly fields: Record<string, unknown>
    }
