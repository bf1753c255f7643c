/**
 * What a record of Mesos-DNS is here, and the one place that refuses what
 * would be no name. Nothing knows a TTL, a message or a socket yet; those
 * come in zone.ts.
 */
import { addressType, canonicalIp } from '../../base/ip.ts'
import { label952, mesosDnsLabel } from '../dcos-names/label.ts'
import { flat, type RecordType } from '../dcos-names/owners.ts'

/** Where a task's addresses come from: its agent, its network_infos, or a status label. */
export type IpSource = 'host' | 'netinfo' | 'mesos' | 'docker'
export const IP_SOURCES: readonly IpSource[] = ['host', 'netinfo', 'mesos', 'docker']

/**
 * One record. `name` is lower case without the final dot; `data` is an address
 * in canonical spelling, or rdata of SRV, the target without final dot (`srvData`).
 */
export type MesosRecord = {
  readonly name: string
  readonly type: RecordType
  readonly data: string
}

/** SRV rdata as the zone serves it: made here once; made of parts at every load it was 32 MB of garbage for 10,000 tasks. */
export const srvData = (weight: number, target: string, port: number): string =>
  flat('0 ', String(weight), ' ', String(port), ' ', target)

/** Where such rdata points to. */
export const srvTarget = (data: string): { readonly target: string; readonly port: string } => {
  const [, , port = '', target = ''] = data.split(' ')
  return { target, port }
}

/** A name that could not be made, and why; for the log and the counters. */
export type Problem = { readonly subject: string; readonly reason: string }

/** The records of one thing. A record may come twice. */
export type Made = {
  readonly records: readonly MesosRecord[]
  readonly problems: readonly Problem[]
}

export type RecordOptions = {
  /** Apex of the zone, lower case, no final dot. */
  readonly domain: string
  /** A task's addresses are those of the first source that has any. */
  readonly ipSources: readonly IpSource[]
  /** Labels of RFC 952 (24 octets, a letter first) instead of RFC 1123. */
  readonly enforceRfc952: boolean
  /** Weight of every SRV record; the priority is 0. */
  readonly srvWeight: number
  /** Name of this server, no final dot, and the addresses it is reached at. */
  readonly soaMname: string
  readonly listenerAddresses: readonly string[]
}

/** Addresses of a host that is no literal, looked up before; [] if it has none. */
export type AddressesOf = (host: string) => readonly string[]

/** Longest name in presentation form, RFC 1035 §3.1. */
export const MAX_NAME = 253
export const MAX_LABEL = 63

/** Problems of one thing that are told; the rest are more of the same. */
export const MAX_PROBLEMS = 10

/** How one label is made under these options. */
export const speller = (options: RecordOptions): ((s: string) => string) =>
  options.enforceRfc952 ? label952 : mesosDnsLabel

/** Collects the records and problems of one thing. */
export class Maker {
  readonly records: MesosRecord[] = []
  readonly problems: Problem[] = []
  readonly #subject: string
  readonly #srvWeight: number

  constructor(subject: string, { srvWeight }: RecordOptions) {
    this.#subject = subject
    this.#srvWeight = srvWeight
  }

  problem(reason: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push({ subject: this.#subject, reason })
  }

  /** `name` is made of labels that fit; only the whole may still be too long. */
  add(name: string, type: RecordType, data: string): void {
    if (name.length > MAX_NAME) this.problem(`${name.slice(0, 40)}… is longer than a name can be`)
    else this.records.push({ name, type, data })
  }

  addresses(name: string, ips: readonly string[]): void {
    for (const ip of ips) this.add(name, addressType(ip), ip)
  }

  service(name: string, target: string, port: number): void {
    this.add(name, 'SRV', srvData(this.#srvWeight, target, port))
  }
}

/** The canonical spelling, '' of what is no address. IPv4 in IPv6 clothes is IPv4, as in Go's net.IP. */
export const plainIp = (text: string): string => {
  const ip = canonicalIp(text)
  if (!ip.startsWith('::ffff:')) return ip
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(ip)
  if (!mapped) return ip
  const [high, low] = [parseInt(mapped[1] ?? '', 16), parseInt(mapped[2] ?? '', 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** Those that are addresses, in canonical spelling and in their order. */
export const plainIps = (texts: readonly string[]): string[] =>
  texts.map(plainIp).filter(ip => ip !== '')

/** Addresses of a host that may be a literal or a name; [] of ''. */
export const hostAddresses = (host: string, addressesOf: AddressesOf): readonly string[] => {
  if (host === '') return []
  const ip = plainIp(host)
  return ip === '' ? plainIps(addressesOf(host)) : [ip]
}
