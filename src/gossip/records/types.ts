/**
 * Types of the records that other parts use: keys, entries, limits and counts. records.ts combines the classes in
 * this folder.
 */

/**
 * vip: backends of one VIP on the owner's agent. zone: a piece of a zone copy that the leader publishes. node: what
 * an agent says about itself.
 */
export type Kind = 'vip' | 'zone' | 'node'

/** `name` has at most 254 octets of latin1, lower case by convention. */
export type Key = { readonly kind: Kind; readonly name: string }

/** One owner's value under a key. The value is a copy. */
export type Entry = Key & {
  readonly owner: string
  readonly value: Uint8Array
  /** True if its owner is dead or held, or if the entry came from disk and no peer has confirmed it. */
  readonly stale: boolean
}

/** Constants of the ring, not options: all nodes must use the same. */
export type Limits = {
  /** Limit of entries. Default 250,000: at 60 octets each, a joiner receives 15 MB. */
  readonly entries: number
  /** Limit of octets of all keys and values. Default 64 MiB. */
  readonly bytes: number
  /** Limit of entries of one owner, without pieces of zones. Default 4,096. */
  readonly ownerEntries: number
  /** Limit of octets of their keys and values. Default 256 KiB. */
  readonly ownerBytes: number
  /** Limit of pieces of zones of one owner. Default 4,096. */
  readonly zoneEntries: number
  /** Limit of octets of their keys and values. Default 8 MiB; zones of 10,000 tasks take about half of it. */
  readonly zoneBytes: number
  /** Limit of octets of one value. Default 60,000: it must fit one block of storage and one stream message. */
  readonly valueBytes: number
  /** Limit of owners, live and gone. Default 16,384. */
  readonly owners: number
  /** How long a dead owner's entries are kept; default 24 h. */
  readonly deadMs: number
  /** The same for an owner that said goodbye. Default 60 s. */
  readonly leftMs: number
  /**
   * How long a dropped owner is remembered, so that no slow peer revives it. Default 10 min, twice the longest
   * push/pull interval.
   */
  readonly dropMemoryMs: number
  /** How long tombstones are kept; after that a slow peer gets the owner's complete state. Default 10 min. */
  readonly tombstoneMs: number
  /** If this share of owners vanishes within a minute, this node was probably cut off. Default 0.3. */
  readonly holdShare: number
  /** How long vanished owners are then shown as alive. Default 15 min. */
  readonly holdMs: number
  /** Octets per second for pushed deltas. Default 21,000, which is 15 packets. */
  readonly hotBytes: number
}

export const defaultLimits: Limits = {
  entries: 250_000,
  bytes: 64 * 1024 * 1024,
  ownerEntries: 4_096,
  ownerBytes: 262_144,
  zoneEntries: 4_096,
  zoneBytes: 8 * 1024 * 1024,
  valueBytes: 60_000,
  owners: 16_384,
  deadMs: 24 * 3_600_000,
  leftMs: 60_000,
  dropMemoryMs: 600_000,
  tombstoneMs: 600_000,
  holdShare: 0.3,
  holdMs: 900_000,
  hotBytes: 21_000,
}

/** Why something was refused; usable as a metric label. */
export type Refusal =
  | 'malformed' // octets that are not a valid message
  | 'version' // a message of a protocol version we do not speak
  | 'zone' // a key that gossip may not fill; replicated, never shown
  | 'owner-cap' // over the limit for one owner
  | 'zone-cap' // over the limit of zones for one owner
  | 'total-cap' // over the limit for all owners
  | 'epoch' // an entry in our own namespace from another node
  | 'dropped' // an owner that was dropped recently
  | 'busy' // over the budget of questions and streams per second
  | 'value' // published here, but too long or of an unknown kind

/** The cap that refuses an entry. */
export type Cap = Extract<Refusal, 'owner-cap' | 'zone-cap' | 'total-cap'>

export const refusals: readonly Refusal[] = [
  'malformed',
  'version',
  'zone',
  'owner-cap',
  'zone-cap',
  'total-cap',
  'epoch',
  'dropped',
  'busy',
  'value',
]

/** Counters since the process started. */
export type Counts = {
  deltasIn: number
  deltasOld: number
  deltasGap: number
  opsIn: number
  deltasOut: number
  packetsIn: number
  packetsOut: number
  bytesIn: number
  bytesOut: number
  streamsIn: number
  streamsOut: number
  streamBytesIn: number
  streamBytesOut: number
  digestsEqual: number
  digestMismatches: number
  exchanges: number
  exchangesFailed: number
  /** Pushed deltas that were dropped because the byte budget or the queue was exhausted; the digest repairs them. */
  hotDropped: number
  /** Owners hidden, owners dropped after their grace time, and holds begun. */
  hidden: number
  dropped: number
  holds: number
  flaps: number
  /** Sum, count and maximum of the age of updates that arrived by push, in ms. */
  lagSumMs: number
  lagCount: number
  lagMaxMs: number
  refused: Record<Refusal, number>
}

export const zeroCounts = (): Counts => ({
  deltasIn: 0,
  deltasOld: 0,
  deltasGap: 0,
  opsIn: 0,
  deltasOut: 0,
  packetsIn: 0,
  packetsOut: 0,
  bytesIn: 0,
  bytesOut: 0,
  streamsIn: 0,
  streamsOut: 0,
  streamBytesIn: 0,
  streamBytesOut: 0,
  digestsEqual: 0,
  digestMismatches: 0,
  exchanges: 0,
  exchangesFailed: 0,
  hotDropped: 0,
  hidden: 0,
  dropped: 0,
  holds: 0,
  flaps: 0,
  lagSumMs: 0,
  lagCount: 0,
  lagMaxMs: 0,
  refused: Object.fromEntries(refusals.map(name => [name, 0])) as Record<Refusal, number>,
})

const kinds: readonly (Kind | undefined)[] = [undefined, 'vip', 'zone', 'node']

/** The octet of a kind on the wire, and the reverse; an unknown kind is replicated but never shown. */
export const kindCode = (kind: Kind): number => kinds.indexOf(kind)
export const kindOf = (code: number): Kind | undefined => kinds[code]

/** A key's octets: its kind, then its name in latin1; undefined if it is not a valid key. */
export const keyOctets = (key: Key): Buffer | undefined => {
  const code = kindCode(key.kind)
  if (code < 1 || key.name === '' || key.name.length > 254) return undefined
  for (let i = 0; i < key.name.length; i++) if (key.name.charCodeAt(i) > 0xff) return undefined
  const octets = Buffer.allocUnsafe(1 + key.name.length)
  octets[0] = code
  octets.write(key.name, 1, 'latin1')
  return octets
}
