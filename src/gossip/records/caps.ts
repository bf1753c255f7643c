/**
 * Limits of what one owner may hold. Pieces of zones have a separate limit: a zone of a large cluster takes
 * megabytes, and it must not displace the VIPs of the node that publishes it, nor the reverse.
 */
import { type Cap, kindCode, type Limits } from './types.ts'

/** What an owner holds. The octets include the keys of tombstones. */
export type Held = {
  /** Entries of all kinds. */
  count: number
  /** Octets of keys and values of all kinds. */
  bytes: number
  /** The part of it of kind `zone`. */
  zoneCount: number
  zoneBytes: number
}

/** The octet of the kind with the separate limit. */
export const ZONE_KIND = kindCode('zone')

/**
 * The cap that forbids an owner this growth, undefined if none does.
 * @param kind the key's kind octet
 * @param entries 1 for a new entry, 0 for a new value of one
 * @param bytes additional octets; a shrinking value is never refused
 * @param slack factor by which the octets may exceed the limit
 */
export const capOf = (
  limits: Limits,
  held: Held,
  kind: number,
  entries: 0 | 1,
  bytes: number,
  slack: 1 | 2 = 1,
): Cap | undefined => {
  if (kind === ZONE_KIND) {
    const over =
      held.zoneCount + entries > limits.zoneEntries ||
      (bytes > 0 && held.zoneBytes + bytes > slack * limits.zoneBytes)
    return over ? 'zone-cap' : undefined
  }
  const over =
    held.count - held.zoneCount + entries > limits.ownerEntries ||
    (bytes > 0 && held.bytes - held.zoneBytes + bytes > slack * limits.ownerBytes)
  return over ? 'owner-cap' : undefined
}
