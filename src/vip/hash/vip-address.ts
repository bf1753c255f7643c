/**
 * Which address a named VIP has: a hash of its name, so that every node (and
 * every cluster that ran the original) comes to the same one without asking.
 *
 * Collisions: the original probed in the order names happened to arrive, so
 * two nodes could disagree. Here names are placed in their sorted order, so
 * equal sets of names give equal addresses everywhere.
 */
import { createHash } from 'node:crypto'
import { ipToNumber, numberToIp } from '../../base/ip.ts'
import { phash2 } from './phash2.ts'

/** First and last address that named VIPs may take, in canonical spelling. */
export type AddressRange = { readonly min: string; readonly max: string }

/** What DC/OS configures; the code's own default ended one address earlier. */
export const DEFAULT_RANGE_V4: AddressRange = { min: '11.0.0.0', max: '11.255.255.255' }
export const DEFAULT_RANGE_V6: AddressRange = {
  min: 'fd01:c::',
  max: 'fd01:c::ffff:ffff:ffff:ffff',
}

const sha1 = (name: string): bigint =>
  BigInt(`0x${createHash('sha1').update(name, 'utf8').digest('hex')}`)

/**
 * Where the search for this name's address starts, as an offset from `min`.
 * The size is max − min, as the original had it: the last address is reached
 * by probing only.
 */
const startOf = (name: string, size: bigint, family: 4 | 6): bigint =>
  (family === 4 ? BigInt(phash2(Buffer.from(name, 'utf8'))) : sha1(name)) % size

/**
 * An address for each name, by name. Names beyond the size of the range get
 * none and are missing from the result.
 */
export const allocateAddresses = (
  names: Iterable<string>,
  family: 4 | 6,
  range: AddressRange = family === 4 ? DEFAULT_RANGE_V4 : DEFAULT_RANGE_V6,
): Map<string, string> => {
  const min = ipToNumber(range.min)
  const size = ipToNumber(range.max) - min
  const placed = new Map<string, string>()
  if (size <= 0n) return placed
  const taken = new Set<bigint>()
  for (const name of [...new Set(names)].sort()) {
    // size + 1 addresses: min to max, both included
    if (BigInt(taken.size) > size) break
    let at = startOf(name, size, family)
    while (taken.has(at)) at = at >= size ? 0n : at + 1n
    taken.add(at)
    placed.set(name, numberToIp(min + at, family))
  }
  return placed
}
