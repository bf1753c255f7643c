/**
 * A local zone in the main thread: a map from owner names to RRsets, and changes to it. control/zones/zone-publisher.ts
 * turns these into messages for the data thread (boundary/messages.ts).
 */
import type { Owner, RRset } from './messages.ts'

/**
 * Owner name (lower case, no final dot) to its RRsets. An owner with an empty list exists and answers NODATA.
 */
export type ZoneMap = Iterable<Owner> & {
  readonly size: number
  has(name: string): boolean
  get(name: string): readonly RRset[] | undefined
  keys(): IterableIterator<string>
  /** The owners as lines in the format of zone-text.ts. Only a zone that keeps them as text has this method. */
  lines?(): Iterable<string>
}

/**
 * A whole zone, or the changes to one. A `live` zone (zone-view.ts) changes together with its source records;
 * a patch whose `of` names this live zone describes changes that the zone already shows.
 */
export type ZoneChange =
  | WholeZone
  | {
      readonly kind: 'patch'
      readonly set: readonly Owner[]
      readonly drop: readonly string[]
      readonly of?: ZoneMap
    }

export type WholeZone = { readonly kind: 'full'; readonly zone: ZoneMap; readonly live?: true }

/** The whole zone that a change leads to; `zone` is the one before it, undefined if there was none. */
export const wholeAfter = (zone: ZoneMap | undefined, change: ZoneChange): WholeZone => {
  if (change.kind === 'full') return change
  const whole = new Map([...(zone ?? []), ...change.set])
  for (const name of change.drop) whole.delete(name)
  return { kind: 'full', zone: whole }
}

/** Longest name in presentation form, no final dot: 255 octets on the wire (RFC 1035 §2.3.4). */
export const MAX_NAME = 253

/** Longest label. */
export const MAX_LABEL = 63

const DOT = '.'.charCodeAt(0)
/** 1 for letters, digits, dashes and underscores. */
const PLAIN = Uint8Array.from({ length: 128 }, (_, code) =>
  /[a-z0-9_-]/.test(String.fromCharCode(code)) ? 1 : 0,
)

/** One octet of a label as wire/name.ts writes it in lower case. */
const OCTET = /\\[.\\]|\\\d{3}|[!-\-/-@[\]-~]/y

/** Octets of a label of any octets; 0 if it is not written as wire/name.ts writes it. */
const labelOctets = (label: string): number => {
  let octets = 0
  for (OCTET.lastIndex = 0; OCTET.lastIndex < label.length; octets++)
    if (!OCTET.test(label)) return 0
  return octets
}

/**
 * Whether the name can be an owner in a zone: labels of any octets, with escapes, each of valid length. Names that
 * schedulers give to tasks may hold spaces and letters beyond ASCII.
 */
export const isOwnerName = (name: string): boolean => {
  if (isName(name)) return true
  const lengths = name.split('.').map(labelOctets)
  const whole = lengths.reduce((sum, octets) => sum + octets + 1, -1)
  return whole <= MAX_NAME && lengths.every(octets => octets > 0 && octets <= MAX_LABEL)
}

/**
 * Whether the name can be an owner or a target: labels of letters, digits, dashes and underscores, each of
 * valid length.
 */
export const isName = (name: string): boolean => {
  if (name.length > MAX_NAME) return false
  let label = 0
  // Character by character, because a zone that comes by gossip has a million names to check.
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (PLAIN[code] === 1 && label < MAX_LABEL) label++
    else if (code === DOT && label > 0) label = 0
    else return false
  }
  return label > 0
}

/** TTL in seconds of every record in the local zones, the same as in DC/OS. */
export const TTL = 5
