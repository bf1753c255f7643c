/**
 * What one owner may hold. The pieces of zones have a budget of their own: a
 * zone of a large cluster takes megabytes, and neither it nor the VIPs of
 * the node that publishes it may crowd the other out.
 */
import { type Cap, kindCode, type Limits } from './types.ts'

/** What an owner holds, tombstones' keys included in the octets. */
export type Held = {
  /** Entries of all kinds. */
  count: number
  /** Octets of keys and values of all kinds. */
  bytes: number
  /** Of those, what is of kind `zone`. */
  zoneCount: number
  zoneBytes: number
}

/** The octet of the kind that has the other budget. */
export const ZONE_KIND = kindCode('zone')

/**
 * The cap that forbids an owner this much more, undefined if none does.
 * @param kind the key's kind octet
 * @param entries 1 for a new entry, 0 for a new value of one
 * @param bytes octets more than before; one that shrinks is never refused
 * @param slack how often the octets may be had
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
