/**
 * Numbered slots that the data thread counts in and the main thread reads.
 *
 * One Float64Array over shared memory: a double counts exactly to 2^53, one
 * thread writes, and an aligned 8-byte load is never torn on the machines
 * that Node runs on. Counting is an index and an addition; prom-client's own
 * increment takes 0.35 µs, more than a whole cache hit may. What each slot is
 * called outside is said in ops/metrics.ts.
 *
 * A block is a small table in row order, e.g. `requests` is
 * [server][zone][proto][family][type].
 */

export const SERVERS = 8
/** Number of zone labels; the last label is 'other'. */
export const ZONES = 32
export const UPSTREAMS = 64
export const PROTOS = ['udp', 'tcp'] as const
/** CoreDNS's numbers: 1 is IPv4, 2 is IPv6. */
export const FAMILIES = ['1', '2'] as const
/** Query types with a label of their own; every other type counts as 'other'. */
export const TYPE_LABELS = [
  'A',
  'AAAA',
  'SRV',
  'CNAME',
  'TXT',
  'MX',
  'NS',
  'SOA',
  'PTR',
  'HTTPS',
  'ANY',
  'other',
] as const
/** RCODEs 0 to 10, then BADVERS, then all others. */
export const RCODE_LABELS = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
  'BADVERS',
  'other',
] as const
/** Upper bounds in seconds, CoreDNS's: 16 steps doubling from 0.25 ms. */
export const TIME_BUCKETS = Array.from({ length: 16 }, (_, i) => 0.00025 * 2 ** i)
/** Upper bounds in bytes, CoreDNS's. */
export const SIZE_BUCKETS = [
  0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16000, 32000, 48000, 64000,
]
/** One counter for each bucket, one for +Inf, one for the sum. */
export const TIME_CELLS = TIME_BUCKETS.length + 2
export const SIZE_CELLS = SIZE_BUCKETS.length + 2
/** Upper bounds in seconds of how old stale answers are: 1 s to a week. */
export const AGE_BUCKETS = [1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 604_800]
export const AGE_CELLS = AGE_BUCKETS.length + 2
/**
 * Where answers come from that are given because nothing fresh can be had: the cache of this run, the copy of the
 * zone from the gossip, the cache of the last run.
 */
export const STALE_SOURCES = ['stale', 'gossiped', 'snapshot'] as const
export type StaleSource = (typeof STALE_SOURCES)[number]
/** Kinds of cache entry, as CoreDNS names them. */
export const KINDS = ['success', 'denial'] as const

/** Single counters. The key is the slot's name; the sentence is its help text. */
export const SCALARS = {
  droppedRunt: 'Datagrams under 12 octets, not answered',
  droppedResponse: 'Messages with QR=1 sent to us, not answered',
  droppedSend: 'Responses that could not be sent',
  droppedReceive: 'Datagrams the kernel dropped because a receive buffer was full',
  refusedClient: 'Queries from clients outside allow',
  malformed: 'Queries answered FORMERR',
  staleServed: 'Stale answers served',
  prefetches: 'Refreshes of names asked again near their end',
  coalesced: 'Queries that joined an identical question in flight',
  shed: 'Queries given up because too many were in flight or waited for their turn',
  localAnswers: 'Answers made from local zones',
  internalErrors: 'Bugs met, each in one query or one look of the data thread',
  loops: 'Queries dropped because they had come from ourselves',
  evictionsSuccess: 'Positive entries evicted to stay within the bounds',
  evictionsDenial: 'Negative entries evicted to stay within the bounds',
  failuresCached: 'Failures put into the cache (RFC 9520)',
  tcpAccepted: 'TCP connections accepted',
  tcpRejected: 'TCP connections closed at once because the cap was reached',
  tcpClientRejected: 'TCP connections closed at once because their client had its share of the cap',
  tcpRefused: 'TCP connections closed at once because their client is outside allow',
  tcpIdleClosed: 'TCP connections closed for being idle, half a frame included',
  tcpSlowClosed: 'TCP connections closed because the client did not read',
  repliesWrongSource: 'Upstream replies from an address or port that was not asked',
  repliesWrongId: 'Upstream replies with an unknown ID',
  repliesWrongQuestion: 'Upstream replies to another question',
  repliesMalformed: 'Upstream replies that are no proper response',
  cacheEntries: 'Entries in the packet cache (gauge)',
  cacheEntriesDenial: 'Negative entries among them (gauge)',
  cacheBytes: 'Bytes of the packet cache (gauge)',
  inFlight: 'Questions in flight (gauge)',
  tcpConnections: 'Open client TCP connections (gauge)',
  receiveCalls: 'System calls that received datagrams',
  sendCalls: 'System calls that sent datagrams',
} as const
export type Scalar = keyof typeof SCALARS

/** Single counters of each upstream. They follow its time histogram and its RCODE counters. */
export const UPSTREAM_SCALARS = {
  requests: 'Exchanges begun',
  retransmits: 'Questions sent again',
  timeouts: 'Exchanges without a reply in time, also when another upstream had answered',
  unreachable: 'Exchanges ended by an ICMP error or a refused connection',
  wins: 'Races this upstream won',
  disagreements: 'Replies that contradicted the one the client was given',
  tcpRetries: 'Truncated replies asked again over TCP',
  probes: 'Probes sent because it was silent, or not asked for a while',
} as const
export type UpstreamScalar = keyof typeof UPSTREAM_SCALARS

const scalarNames = Object.keys(SCALARS) as Scalar[]
const upstreamNames = Object.keys(UPSTREAM_SCALARS) as UpstreamScalar[]

/** Slot of each single counter. */
export const SLOT = Object.fromEntries(scalarNames.map((name, i) => [name, i])) as Record<
  Scalar,
  number
>
/** Offset of each counter in an upstream's row. */
export const UPSTREAM_SLOT = Object.fromEntries(
  upstreamNames.map((name, i) => [name, i]),
) as Record<UpstreamScalar, number>

const SZ = SERVERS * ZONES
/** Where each block begins. */
export const BLOCK = (() => {
  let at = 0
  const take = (n: number): number => (at += n) - n
  return {
    scalars: take(scalarNames.length),
    /** [server][zone][proto][family][type] */
    requests: take(SZ * 2 * 2 * TYPE_LABELS.length),
    /** [server][zone][rcode] */
    responses: take(SZ * RCODE_LABELS.length),
    /** [server][zone] */
    doRequests: take(SZ),
    /** [server][zone][kind] */
    hits: take(SZ * KINDS.length),
    /** [server][zone] */
    lookups: take(SZ),
    /** [server][zone][TIME_CELLS] */
    duration: take(SZ * TIME_CELLS),
    /** [zone][STALE_SOURCES][AGE_CELLS] */
    staleAge: take(ZONES * STALE_SOURCES.length * AGE_CELLS),
    /** [server][zone][proto][SIZE_CELLS] */
    requestSize: take(SZ * 2 * SIZE_CELLS),
    /** [server][zone][proto][SIZE_CELLS] */
    responseSize: take(SZ * 2 * SIZE_CELLS),
    /** [upstream][scalar] */
    upstream: take(UPSTREAMS * upstreamNames.length),
    /** [upstream][rcode] */
    upstreamRcode: take(UPSTREAMS * RCODE_LABELS.length),
    /** [upstream][TIME_CELLS] */
    upstreamDuration: take(UPSTREAMS * TIME_CELLS),
    end: at,
  }
})()

export const UPSTREAM_ROW = upstreamNames.length

/** Memory for one set of counters, all zero. */
export const countersMemory = (): SharedArrayBuffer => new SharedArrayBuffer(BLOCK.end * 8)
export const countersOver = (memory: SharedArrayBuffer): Float64Array => new Float64Array(memory)

const TYPE_INDEX = new Uint8Array(65536).fill(TYPE_LABELS.length - 1)
for (const [type, label] of [
  [1, 'A'],
  [28, 'AAAA'],
  [33, 'SRV'],
  [5, 'CNAME'],
  [16, 'TXT'],
  [15, 'MX'],
  [2, 'NS'],
  [6, 'SOA'],
  [12, 'PTR'],
  [65, 'HTTPS'],
  [255, 'ANY'],
] as const) {
  TYPE_INDEX[type] = TYPE_LABELS.indexOf(label)
}
/** Column of a query type in `requests`. */
export const typeIndex = (qtype: number): number => TYPE_INDEX[qtype]!

/** Column of an RCODE (extended RCODEs included) in `responses`. */
export const rcodeIndex = (rcode: number): number => (rcode <= 10 ? rcode : rcode === 16 ? 11 : 12)

const SIZE_INDEX = new Uint8Array(65536).fill(SIZE_BUCKETS.length)
for (const [bucket, bound] of [...SIZE_BUCKETS.entries()].reverse())
  SIZE_INDEX.fill(bucket, 0, bound + 1)
/** Count `n` messages of `size` octets in the size histogram that begins at `base`. */
export const countSize = (c: Float64Array, base: number, size: number): void => {
  c[base + SIZE_INDEX[size]!]! += 1
  c[base + SIZE_CELLS - 1]! += size
}

/** Counts a stale answer of a zone whose data is `seconds` old. */
export const countAge = (
  c: Float64Array,
  zone: number,
  source: StaleSource,
  seconds: number,
): void => {
  const base =
    BLOCK.staleAge + (zone * STALE_SOURCES.length + STALE_SOURCES.indexOf(source)) * AGE_CELLS
  const bucket = AGE_BUCKETS.findIndex(bound => seconds <= bound)
  c[base + (bucket < 0 ? AGE_BUCKETS.length : bucket)]! += 1
  c[base + AGE_CELLS - 1]! += seconds
}

/** Count `n` events of `seconds` in the time histogram that begins at `base`. */
export const countTime = (c: Float64Array, base: number, seconds: number, n = 1): void => {
  let i = 0
  while (i < TIME_BUCKETS.length && seconds > TIME_BUCKETS[i]!) i++
  c[base + i]! += n
  c[base + TIME_CELLS - 1]! += seconds * n
}

/** Sets all counters of an upstream's slot to zero. No thread may still count in this slot. */
export const clearUpstream = (counters: Float64Array, slot: number): void => {
  for (const [block, width] of [
    [BLOCK.upstream, UPSTREAM_ROW],
    [BLOCK.upstreamRcode, RCODE_LABELS.length],
    [BLOCK.upstreamDuration, TIME_CELLS],
  ] as const)
    counters.fill(0, block + slot * width, block + (slot + 1) * width)
}
