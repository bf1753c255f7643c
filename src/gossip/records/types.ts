/**
 * What the records are to the rest of the daemon: keys, entries, limits and
 * counts. The classes that keep them are in the files beside this one;
 * records.ts puts them together.
 */

/**
 * vip: backends of one VIP name on the owner's agent. zone: RRsets of one name
 * in a zone copy that the leader gives out. node: what an agent says of itself.
 */
export type Kind = 'vip' | 'zone' | 'node'

/** `name` is at most 254 octets of latin1, lower case by convention. */
export type Key = { readonly kind: Kind; readonly name: string }

/** One owner's value under a key. The value is a copy and may be kept. */
export type Entry = Key & {
  readonly owner: string
  readonly value: Uint8Array
  /** Its owner is dead, or held although it vanished, or this came from disk and no peer has spoken yet. */
  readonly stale: boolean
}

/** Constants of the ring rather than options: all its nodes must have the same. */
export type Limits = {
  /** Entries in all; default 250,000. At 60 octets each that is 15 MB on the wire for a joiner. */
  readonly entries: number
  /** Octets of keys and values in all; default 64 MiB. */
  readonly bytes: number
  /** Entries of one owner but for pieces of zones; default 4,096. */
  readonly ownerEntries: number
  /** Octets of their keys and values; default 256 KiB. */
  readonly ownerBytes: number
  /** Pieces of zones of one owner; default 4,096. */
  readonly zoneEntries: number
  /** Octets of their keys and values; default 8 MiB. Zones of 10,000 tasks take about half of it. */
  readonly zoneBytes: number
  /** Octets of one value; default 60,000: it must fit one block of storage and one stream message. */
  readonly valueBytes: number
  /** Owners, live and gone; default 16,384. */
  readonly owners: number
  /** How long a dead owner's entries are kept; default 24 h. */
  readonly deadMs: number
  /** The same for one that said good-bye; default 60 s. */
  readonly leftMs: number
  /** How long a dropped owner is remembered so that no lagging peer revives it; default 10 min, twice the longest push/pull interval. */
  readonly dropMemoryMs: number
  /** How long tombstones are kept before a lagging peer gets the owner's whole state instead; default 10 min. */
  readonly tombstoneMs: number
  /** Share of owners vanishing within a minute that means we are the ones cut off; default 0.3. */
  readonly holdShare: number
  /** How long vanished owners are then shown as if alive; default 15 min. */
  readonly holdMs: number
  /** Octets a second for hot deltas; default 21,000, that is 15 packets. */
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

/** Why something was not taken; a closed set, fit for a metric label. */
export type Refusal =
  | 'malformed' // octets that are no message of ours
  | 'version' // a message of a protocol version we do not speak
  | 'zone' // a key that gossip may not fill; kept, never shown
  | 'owner-cap' // more than one owner may have
  | 'zone-cap' // more of zones than one owner may have
  | 'total-cap' // more than all may have
  | 'epoch' // our own namespace, claimed by another
  | 'dropped' // an owner dropped not long ago, offered again
  | 'busy' // more questions or streams than we answer in a second
  | 'value' // published here, too long or of an unknown kind

/** Which cap keeps an entry out. */
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

/** What counts over the life of the process; plain numbers, read by whoever asks. */
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
  /** Hot deltas given up because the byte budget or the queue was spent; the digest repairs them. */
  hotDropped: number
  /** Owners hidden, dropped after their grace, and times that hold-still began. */
  hidden: number
  dropped: number
  holds: number
  flaps: number
  /** Sum, count and largest of the age of updates when they came to us by push, in ms. */
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

/** The octet a kind has on the wire, and back; a number we do not know is kept but never shown. */
export const kindCode = (kind: Kind): number => kinds.indexOf(kind)
export const kindOf = (code: number): Kind | undefined => kinds[code]

/** A key's octets: its kind, then its name in latin1; undefined if it cannot be a key. */
export const keyOctets = (key: Key): Buffer | undefined => {
  const code = kindCode(key.kind)
  if (code < 1 || key.name === '' || key.name.length > 254) return undefined
  for (let i = 0; i < key.name.length; i++) if (key.name.charCodeAt(i) > 0xff) return undefined
  const octets = Buffer.allocUnsafe(1 + key.name.length)
  octets[0] = code
  octets.write(key.name, 1, 'latin1')
  return octets
}
