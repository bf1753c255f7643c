/**
 * The address that other hosts reach this one by, IPv4 before IPv6: the first that is neither
 * loopback nor on an interface that leads nowhere, as the one that the
 * forwarder's own addresses are on: alike on every host, and there before the
 * network is. '' while there is none, as when the daemon starts.
 */
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

/** IFF_POINTOPOINT and IFF_NOARP of Linux. */
const POINT_TO_POINT = 0x10
const NO_ARP = 0x80

export const ownAddress = (
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
  flagsOf: (name: string) => number = linkFlags,
): string => {
  for (const wanted of ['IPv4', 'IPv6'] as const) {
    for (const [name, list] of Object.entries(interfaces)) {
      const found = list?.find(
        ({ family, internal, address }) =>
          // a link-local address means nothing without its link
          !internal && family === wanted && !address.startsWith('fe80:'),
      )
      if (found && !leadsNowhere(flagsOf(name))) return found.address
    }
  }
  return ''
}

/** It asks nobody for neighbours and has no other end: a dummy interface. */
const leadsNowhere = (flags: number): boolean => (flags & (NO_ARP | POINT_TO_POINT)) === NO_ARP

/** 0 where the system does not tell. */
const linkFlags = (name: string): number => {
  try {
    // 'eth0:1' is another address of eth0
    return Number(readFileSync(`/sys/class/net/${name.split(':')[0]}/flags`, 'latin1'))
  } catch {
    return 0
  }
}

/** Link-local addresses, those of the forwarder's own link and loopback reach nobody. */
const isGlobal = (address: string): boolean => !/^(?:fe[89ab]|::1$)/i.test(address)

/**
 * The IPv6 address of the interface that has `ip4`, or of the first that leads
 * anywhere; '' while there is none.
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
