/**
 * The records as what crosses to the data thread: owners with RRsets, and the
 * messages that load the zone or change it. Here records get their TTL, SRV
 * its priority and weight.
 */
import type { Owner, RRset, Seconds, ZoneApex, ZoneMessage } from '../boundary.ts'
import type { NameRecords, ZoneRecords } from './records.ts'

export type ZoneOptions = {
  /** Lower case, no final dot. */
  readonly apex: string
  readonly ttl: Seconds
  /** Weight of every SRV record; the priority is 0. */
  readonly srvWeight: number
  readonly soa: ZoneApex
  /** Name of the server, no final dot. */
  readonly ns: string
}

/** Owners in one `more`: about a millisecond's work for the data thread. */
const PER_MESSAGE = 500
/** Above this share of changed names a zone is loaded anew rather than patched. */
const PATCH_SHARE = 0.5
/** A patch is one message, so that it takes effect at once; a larger one is a load. */
const MAX_PATCH = 2_000

/** 'web.example.org:8080' as 'target port' for the rdata. */
const srvParts = (data: string): { target: string; port: string } => {
  const colon = data.lastIndexOf(':')
  return { target: data.slice(0, colon), port: data.slice(colon + 1) }
}

const srvData = (data: string, weight: number): string => {
  const { target, port } = srvParts(data)
  return `0 ${weight} ${port} ${target}`
}

/** The RRsets of one name. */
export const rrsetsOf = (
  records: NameRecords,
  { ttl, srvWeight }: ZoneOptions,
): readonly RRset[] => {
  const rrsets: RRset[] = []
  if (records.A) rrsets.push({ type: 'A', ttl, data: [...records.A.values] })
  if (records.AAAA) rrsets.push({ type: 'AAAA', ttl, data: [...records.AAAA.values] })
  if (records.SRV) {
    const data = records.SRV.values.map(one => srvData(one, srvWeight))
    rrsets.push({ type: 'SRV', ttl, data })
  }
  return rrsets
}

/** Opens a new copy of the zone, fills it and puts it in place. */
export const loadMessages = function* (
  records: ZoneRecords,
  options: ZoneOptions,
  serial: number,
  number: number,
): Generator<ZoneMessage> {
  const { apex, soa, ns } = options
  yield { type: 'zone', op: 'load', apex, soa, ns, serial }
  let set: Owner[] = []
  for (const [name, of] of records.names) {
    set.push([name, rrsetsOf(of, options)])
    if (set.length < PER_MESSAGE) continue
    yield { type: 'zone', op: 'more', apex, set }
    set = []
  }
  if (set.length > 0) yield { type: 'zone', op: 'more', apex, set }
  yield { type: 'zone', op: 'commit', apex, number, loaded: true }
}

/** What makes the zone in place the one of `records`, which differ in `changed` names. */
export const changeMessages = function* (
  records: ZoneRecords,
  changed: ReadonlySet<string>,
  options: ZoneOptions,
  serial: number,
  number: number,
): Generator<ZoneMessage> {
  if (changed.size > Math.min(MAX_PATCH, records.names.size * PATCH_SHARE)) {
    yield* loadMessages(records, options, serial, number)
    return
  }
  const set: Owner[] = []
  const drop: string[] = []
  for (const name of changed) {
    const of = records.names.get(name)
    if (of === undefined) drop.push(name)
    else set.push([name, rrsetsOf(of, options)])
  }
  yield { type: 'zone', op: 'patch', apex: options.apex, number, serial, set, drop }
}
