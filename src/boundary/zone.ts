/**
 * A local zone while it is being made: owner names and their RRsets as a map,
 * and changes to it. What crosses to the data thread (boundary/messages.ts) is made
 * from these by zone-publisher.ts.
 */
import type { Owner, RRset } from './messages.ts'

/** Owner (lower case, no final dot) to its RRsets; an owner without any exists and has no data. */
export type ZoneMap = Iterable<Owner> & {
  readonly size: number
  has(name: string): boolean
  get(name: string): readonly RRset[] | undefined
  keys(): IterableIterator<string>
}

/**
 * A zone as it shall be, or what is different about it now. A `live` one
 * (zone-view.ts) goes on changing with what it is made of; each patch says
 * `of` which live zone it tells, for that one has it already.
 */
export type ZoneChange =
  | { readonly kind: 'full'; readonly zone: ZoneMap; readonly live?: true }
  | {
      readonly kind: 'patch'
      readonly set: readonly Owner[]
      readonly drop: readonly string[]
      readonly of?: ZoneMap
    }

/** Longest name in presentation form, no final dot: 255 octets on the wire (RFC 1035 §2.3.4). */
export const MAX_NAME = 253

/** Longest label. */
export const MAX_LABEL = 63

/** Whether this may be an owner or a target: letters, digits, dashes and underscores in labels of proper length. */
export const isName = (name: string): boolean =>
  name.length <= MAX_NAME &&
  name.split('.').every(part => part.length <= MAX_LABEL && /^[a-z0-9_-]+$/.test(part))

/** TTL of every record in the local zones, as the originals had it. */
export const TTL = 5
