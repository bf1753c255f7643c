/** The form of Mesos-DNS's records, and the check that refuses invalid names. TTLs are added in zone.ts. */
import { addressType, canonicalIp } from '../../base/ip.ts'
import { label952, mesosDnsLabel } from '../dcos-names/label.ts'
import { flat, type RecordType } from '../dcos-names/owners.ts'

/** Where a task's addresses come from: its agent, its network_infos, or a label of its status. */
export type IpSource = 'host' | 'netinfo' | 'mesos' | 'docker'
export const IP_SOURCES: readonly IpSource[] = ['host', 'netinfo', 'mesos', 'docker']

/**
 * One record. `name` is lower case without final dot. `data` is an address in canonical spelling, or SRV rdata with
 * a target without final dot (`srvData`).
 */
export type MesosRecord = {
  readonly name: string
  readonly type: RecordType
  readonly data: string
}

/**
 * SRV rdata as text in the zone. It is created once per record, because creating it at every load produced 32 MB of
 * garbage for 10,000 tasks.
 */
export const srvData = (weight: number, target: string, port: number): string =>
  flat('0 ', String(weight), ' ', String(port), ' ', target)

/** The target and port in SRV rdata. */
export const srvTarget = (data: string): { readonly target: string; readonly port: string } => {
  const [, , port = '', target = ''] = data.split(' ')
  return { target, port }
}

/** A name that could not be created, and why; for the log and the counters. */
export type Problem = { readonly subject: string; readonly reason: string }

/** The records of one source. A record may occur twice. */
export type SourceRecords = {
  readonly records: readonly MesosRecord[]
  readonly problems: readonly Problem[]
}

export type RecordOptions = {
  /** Apex of the zone, lower case, no final dot. */
  readonly domain: string
  /** A task's addresses are those of the first of these sources that has any. */
  readonly ipSources: readonly IpSource[]
  /** Labels of RFC 952 (24 octets, a letter first) instead of RFC 1123. */
  readonly enforceRfc952: boolean
  /** Exactly the names of Mesos-DNS, also where they help nobody. */
  readonly compat: boolean
  /** Weight of every SRV record; the priority is 0. */
  readonly srvWeight: number
  /** Name of this server, no final dot, and the addresses it is reached at. */
  readonly soaMname: string
  readonly listenerAddresses: readonly string[]
}

/** Addresses of a host name, from earlier look-ups; [] if there are none. */
export type AddressesOf = (host: string) => readonly string[]

/** Longest name in presentation form, RFC 1035 §3.1. */
export const MAX_NAME = 253
export const MAX_LABEL = 63

/** Limit of reported problems of one source; further ones are similar. */
export const MAX_PROBLEMS = 10

/** The label conversion for these options. */
export const speller = (options: RecordOptions): ((s: string) => string) =>
  options.enforceRfc952 ? label952 : mesosDnsLabel

/** Collects the records and problems of one source. */
export class RecordCollector {
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

  /** The labels of `name` are valid and have no escapes; only its total length must still be checked. */
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

/**
 * The canonical spelling; '' if it is not an address. An IPv4-mapped IPv6 address becomes IPv4, as in Go's net.IP.
 */
export const plainIp = (text: string): string => {
  const ip = canonicalIp(text)
  if (!ip.startsWith('::ffff:')) return ip
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(ip)
  if (!mapped) return ip
  const [high, low] = [parseInt(mapped[1] ?? '', 16), parseInt(mapped[2] ?? '', 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

/** The valid addresses, canonical and in order. */
export const plainIps = (texts: readonly string[]): string[] =>
  texts.map(plainIp).filter(ip => ip !== '')

/** Addresses of a host that is a literal or a name; [] for ''. */
export const hostAddresses = (host: string, addressesOf: AddressesOf): readonly string[] => {
  if (host === '') return []
  const ip = plainIp(host)
  return ip === '' ? plainIps(addressesOf(host)) : [ip]
}
