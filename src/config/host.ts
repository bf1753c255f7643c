/**
 * Facts about this host that defaults depend on. They are read at start and at each reload; the networks are
 * also read while the daemon runs.
 */
import { hostname, networkInterfaces } from 'node:os'
import { canonicalAddress } from '../base/ip.ts'
import { networkOf } from './address.ts'

/** The host as the configuration sees it. */
export type Host = {
  readonly hostname: string
  /** Networks attached to its interfaces, as CIDR. */
  readonly networks: readonly string[]
  /** Its own addresses, for detecting forwarding loops when the daemon listens on all of them. */
  readonly addresses?: readonly string[]
}

/** The default of `allow`. */
export const defaultAllow = (networks: readonly string[]): readonly string[] => [
  ...new Set(['127.0.0.0/8', '::1/128', ...networks]),
]

type Interfaces = ReturnType<typeof networkInterfaces>

/**
 * Reads these facts from the operating system. Link-local networks are left out, because every interface has
 * the same one.
 */
export const readHost = (
  name: string = hostname(),
  interfaces: Interfaces = networkInterfaces(),
): Host => {
  const networks = new Set<string>()
  const addresses = new Set<string>()
  for (const list of Object.values(interfaces)) {
    for (const { address, cidr } of list ?? []) {
      const bits = Number(cidr?.split('/')[1])
      const plain = canonicalAddress(address)
      if (plain) addresses.add(plain)
      if (!cidr || !plain || !Number.isInteger(bits) || /^fe80:/i.test(address)) continue
      networks.add(networkOf(plain, bits))
    }
  }
  return { hostname: name, networks: [...networks], addresses: [...addresses] }
}
