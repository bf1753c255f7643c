/**
 * The address that other hosts reach this one by: the first that is neither
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
  for (const [name, list] of Object.entries(interfaces)) {
    const found = list?.find(({ family, internal }) => !internal && family === 'IPv4')
    if (found && !leadsNowhere(flagsOf(name))) return found.address
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
