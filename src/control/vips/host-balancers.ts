/**
 * Detects balancers in this host's kernel: the IPVS services and the link of dcos-net, and the route of `spartan
 * balance`, which stays when that process ends.
 */
import { existsSync, readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { canonicalIp, familyOf, ipToNumber } from '../../base/ip.ts'
import type { AddressRange } from '../../vip/hash/vip-address.ts'

export type HostBalancers = {
  /** IPVS has a service in the range of VIPs. */
  readonly ipvs: boolean
  /** The dummy link `minuteman` exists. */
  readonly minuteman: boolean
  /** The range of VIPs is routed to the loopback, as `spartan balance` does. */
  readonly rules: boolean
}

/** '0B000001:1F90' or '[fd01:000c:0000:...]:0050' of /proc/net/ip_vs. */
const ipvsAddress = (text: string): string => {
  const six = /^\[([0-9a-fA-F:]+)\]:/.exec(text)?.[1] ?? ''
  if (six !== '') return canonicalIp(six)
  const hex = /^([0-9A-Fa-f]{8}):/.exec(text)?.[1]
  return hex ? hexAddress(hex) : ''
}

/** '0B000001' → '11.0.0.1' */
const hexAddress = (hex: string): string =>
  [0, 2, 4, 6].map(at => parseInt(hex.slice(at, at + 2), 16)).join('.')

const within = (ip: string, ranges: readonly AddressRange[]): boolean =>
  ranges.some(
    ({ min, max }) =>
      familyOf(ip) === familyOf(min) &&
      ipToNumber(ip) >= ipToNumber(min) &&
      ipToNumber(ip) <= ipToNumber(max),
  )

/** Whether a text of /proc/net/ip_vs lists a service in one of the ranges. */
export const hasIpvsService = (text: string, ranges: readonly AddressRange[]): boolean =>
  text.split('\n').some(line => {
    const [protocol = '', address = ''] = line.trim().split(/\s+/)
    if (protocol !== 'TCP' && protocol !== 'UDP') return false
    const ip = ipvsAddress(address)
    return ip !== '' && within(ip, ranges)
  })

/**
 * Whether /proc/net/route routes part of an IPv4 range to the loopback. Its numbers are in the host's byte order.
 */
export const hasRoute = (text: string, ranges: readonly AddressRange[]): boolean =>
  text.split('\n').some(line => {
    const [link, destination = ''] = line.split('\t')
    if (link !== 'lo' || !/^[0-9A-F]{8}$/.test(destination)) return false
    const ip = hexAddress(destination).split('.').reverse().join('.')
    return isIPv4(ip) && within(ip, ranges)
  })

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

/** Checks this host. */
export const hostBalancers = (ranges: readonly AddressRange[]): HostBalancers => ({
  ipvs: hasIpvsService(textOf('/proc/net/ip_vs'), ranges),
  minuteman: existsSync('/sys/class/net/minuteman'),
  rules: hasRoute(textOf('/proc/net/route'), ranges),
})
