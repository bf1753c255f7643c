/**
 * Finds the address at which other hosts reach this one, IPv4 before IPv6: the first that is neither loopback nor on
 * a dummy interface. The forwarder's own addresses are on such an interface; they are the same on every host. '' if
 * there is none, for example before the network is up.
 */
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

/** IFF_POINTOPOINT and IFF_NOARP of Linux. */
const POINT_TO_POINT = 0x10
const NO_ARP = 0x80

/** Excludes IPv6 link-local addresses, which are valid on their link only, and loopback. */
const isGlobal = (address: string): boolean => !/^(?:fe[89ab]|::1$)/i.test(address)

export const ownAddress = (
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
  flagsOf: (name: string) => number = linkFlags,
): string => {
  for (const wanted of ['IPv4', 'IPv6'] as const) {
    for (const [name, list] of Object.entries(interfaces)) {
      const found = list?.find(
        ({ family, internal, address }) => !internal && family === wanted && isGlobal(address),
      )
      if (found && !leadsNowhere(flagsOf(name))) return found.address
    }
  }
  return ''
}

/** A dummy interface: no neighbour discovery, and not point-to-point. */
const leadsNowhere = (flags: number): boolean => (flags & (NO_ARP | POINT_TO_POINT)) === NO_ARP

/** 0 if the system does not report them. */
const linkFlags = (name: string): number => {
  try {
    // 'eth0:1' is another address of eth0
    return Number(readFileSync(`/sys/class/net/${name.split(':')[0]}/flags`, 'latin1'))
  } catch {
    return 0
  }
}

/**
 * The IPv6 address of the interface that has `ip4`, otherwise of the first usable interface; '' if there is none.
 */
export const ownAddress6 = (
  ip4: string,
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
  flagsOf: (name: string) => number = linkFlags,
): string => {
  const lists = Object.entries(interfaces).sort(
    ([, a], [, b]) => Number(has(b, ip4)) - Number(has(a, ip4)),
  )
  for (const [name, list] of lists) {
    const found = list?.find(
      ({ family, internal, address }) => !internal && family === 'IPv6' && isGlobal(address),
    )
    if (found && !leadsNowhere(flagsOf(name))) return found.address
  }
  return ''
}

const has = (list: { readonly address: string }[] | undefined, address: string): boolean =>
  list?.some(one => one.address === address) ?? false
