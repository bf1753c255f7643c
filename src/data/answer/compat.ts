/**
 * Decides what Mesos-DNS answers, including its errors, because clients rely on them. Pure; compat-wire.ts writes
 * the message. It differs from our other local zones: SOA and NS are in the authority section under the asked name,
 * whether it exists or not; an SRV query without result gives an empty answer; names that are only parents of others
 * do not exist; owners of addresses are in lower case, and `.*` inside a name is ignored.
 */
import type { RRset, Seconds, ZoneApex } from '../../boundary/messages.ts'
import { RCODE, TYPE } from '../../wire/codes.ts'

/** The zone to answer from; our local zones have this interface. */
export type CompatZone = {
  /** Lower case, no final dot. */
  readonly apex: string
  /** Its `ttl` is used for the SOA and NS records, its `minimum` for MINIMUM. */
  readonly soa: ZoneApex
  readonly ns: string
  readonly serial: number
  /** The records of a name in lower case without final dot. */
  find(name: string): readonly RRset[] | undefined
}

/** One record with rdata in presentation form. */
export type CompatRecord = {
  readonly name: string
  readonly type: 'A' | 'AAAA' | 'SRV' | 'SOA' | 'NS'
  readonly ttl: Seconds
  readonly data: string
}

/** The sections of the answer in order. */
export type CompatAnswer = {
  readonly rcode: number
  readonly answer: readonly CompatRecord[]
  readonly authority: readonly CompatRecord[]
  readonly additional: readonly CompatRecord[]
}

/** 0 ≤ number < 1. */
export type Random = () => number

type Address = 'A' | 'AAAA'

const rrset = (zone: CompatZone, name: string, type: string): RRset | undefined =>
  zone.find(name)?.find(of => of.type === type)

const shuffled = (records: CompatRecord[], random: Random): CompatRecord[] => {
  for (let i = records.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const moved = records[i]!
    records[i] = records[j]!
    records[j] = moved
  }
  return records
}

/** The name that is looked up. */
export const lookedUp = (qname: string): string => qname.replaceAll('.*', '').toLowerCase()

/**
 * The answer to a question at or below the apex. `qname` is in the client's spelling without final dot; class and
 * opcode are ignored.
 */
export const compatAnswer = (
  qname: string,
  qtype: number,
  zone: CompatZone,
  random: Random,
): CompatAnswer => {
  const name = lookedUp(qname)
  const answer: CompatRecord[] = []
  const authority: CompatRecord[] = []
  const additional: CompatRecord[] = []
  const { soa, ns, serial } = zone

  const addresses = (type: Address): void => {
    const set = rrset(zone, name, type)
    for (const data of set?.data ?? []) answer.push({ name, type, ttl: set!.ttl, data })
  }
  /** One address of each family per target, chosen at random. */
  const glue = (target: string): void => {
    if (additional.some(record => record.name === target)) return
    for (const type of ['A', 'AAAA'] as const) {
      const set = rrset(zone, target, type)
      if (set === undefined || set.data.length === 0) continue
      const data = set.data[Math.floor(random() * set.data.length)]!
      additional.push({ name: target, type, ttl: set.ttl, data })
    }
  }
  const services = (): void => {
    const set = rrset(zone, name, 'SRV')
    for (const data of set?.data ?? []) {
      answer.push({ name: qname, type: 'SRV', ttl: set!.ttl, data })
      glue(data.slice(data.lastIndexOf(' ') + 1))
    }
  }
  const addSoa = (): void => {
    const { mname, rname, refresh, retry, expire, minimum } = soa
    const data = `${mname} ${rname} ${serial} ${refresh} ${retry} ${expire} ${minimum}`
    authority.push({ name: qname, type: 'SOA', ttl: soa.ttl, data })
  }
  const addNs = (): void => {
    authority.push({ name: qname, type: 'NS', ttl: soa.ttl, data: ns })
  }

  if (qtype === TYPE.SRV || qtype === TYPE.ANY) services()
  if (qtype === TYPE.A || qtype === TYPE.ANY) addresses('A')
  if (qtype === TYPE.AAAA || qtype === TYPE.ANY) addresses('AAAA')
  if (qtype === TYPE.SOA || qtype === TYPE.ANY) addSoa()
  if (qtype === TYPE.NS || qtype === TYPE.ANY) addNs()
  shuffled(answer, random)

  const silent = qtype === TYPE.SOA || qtype === TYPE.NS || qtype === TYPE.SRV
  if (answer.length > 0 || silent) return { rcode: RCODE.NOERROR, answer, authority, additional }
  addSoa()
  const rcode = (zone.find(name) ?? []).length > 0 ? RCODE.NOERROR : RCODE.NXDOMAIN
  return { rcode, answer, authority, additional }
}
