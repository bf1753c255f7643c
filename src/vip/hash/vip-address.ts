/**
 * Chooses the address of a named VIP from a hash of its name, so that every node (and DC/OS) chooses the same one
 * without communication.
 *
 * Collisions: DC/OS probes in the order in which names arrive, so two nodes may disagree. Here names are placed in
 * sorted order, so equal sets of names give equal addresses on all nodes.
 */
import { createHash } from 'node:crypto'
import { ipToNumber, numberToIp } from '../../base/ip.ts'
import { phash2 } from './phash2.ts'

/** First and last address for named VIPs, in canonical spelling. */
export type AddressRange = { readonly min: string; readonly max: string }

/** The range that DC/OS configures; the default in its code ends one address earlier. */
export const DEFAULT_RANGE_V4: AddressRange = { min: '11.0.0.0', max: '11.255.255.255' }
export const DEFAULT_RANGE_V6: AddressRange = {
  min: 'fd01:c::',
  max: 'fd01:c::ffff:ffff:ffff:ffff',
}

const sha1 = (name: string): bigint =>
  BigInt(`0x${createHash('sha1').update(name, 'utf8').digest('hex')}`)

/**
 * The first address to try for this name, as an offset from `min`. The size is max − min as in DC/OS, so the last
 * address is only reached by probing.
 */
const startOf = (name: string, size: bigint, family: 4 | 6): bigint =>
  (family === 4 ? BigInt(phash2(Buffer.from(name, 'utf8'))) : sha1(name)) % size

/** Maps each name to its address. Names beyond the size of the range get none and are missing from the result. */
export const allocateAddresses = (
  names: Iterable<string>,
  family: 4 | 6,
  range: AddressRange = family === 4 ? DEFAULT_RANGE_V4 : DEFAULT_RANGE_V6,
): Map<string, string> => {
  const min = ipToNumber(range.min)
  const size = ipToNumber(range.max) - min
  const placed = new Map<string, string>()
  if (size <= 0n) return placed
  const used = new Set<bigint>()
  for (const name of [...new Set(names)].sort()) {
    // the range has size + 1 addresses: min to max, both included
    if (BigInt(used.size) > size) break
    let at = startOf(name, size, family)
    while (used.has(at)) at = at >= size ? 0n : at + 1n
    used.add(at)
    placed.set(name, numberToIp(min + at, family))
  }
  return placed
}
