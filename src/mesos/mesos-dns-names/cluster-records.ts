/** The records that belong to no task: masters, leader, agents, schedulers, and this server. */
import { domainFrag } from '../dcos-names/label.ts'
import { agentHost, pidEndpoint, schedulerEndpoint, type MesosState } from '../api/model.ts'
import {
  hostAddresses,
  RecordCollector,
  plainIp,
  plainIps,
  speller,
  type AddressesOf,
  type SourceRecords,
  type RecordOptions,
} from './record.ts'

/** Default port of an agent whose PID is missing. */
const AGENT_PORT = 5051

const frameworkRecords = (
  out: RecordCollector,
  state: MesosState,
  options: RecordOptions,
  addressesOf: AddressesOf,
): void => {
  const spell = speller(options)
  for (const framework of state.frameworks.values()) {
    const fw = domainFrag(framework.name, spell)
    if (fw === '') {
      out.problem(`the framework ${framework.id} has no usable name`)
      continue
    }
    const { host, port } = schedulerEndpoint(framework, options.compat)
    const ips = hostAddresses(host, addressesOf)
    if (ips.length === 0) continue
    const name = `${fw}.${options.domain}`
    out.addresses(name, ips)
    if (port !== 0) out.service(`_framework._tcp.${name}`, name, port)
  }
}

const agentRecords = (
  out: RecordCollector,
  state: MesosState,
  { domain }: RecordOptions,
  addressesOf: AddressesOf,
): void => {
  const name = `slave.${domain}`
  for (const agent of state.agents.values()) {
    const ips = hostAddresses(agentHost(agent), addressesOf)
    if (ips.length === 0) continue
    out.addresses(name, ips)
    out.service(`_slave._tcp.${domain}`, name, pidEndpoint(agent.pid)?.port ?? AGENT_PORT)
  }
}

/** The host in 'host:port' or in a plain address. */
const hostOf = (master: string): string =>
  plainIp(master) === '' ? (pidEndpoint(master)?.host ?? master) : master

/**
 * `leader`, `master` and `masterN`, with N in the order of the list. A leader that is not in the list gets the next
 * number; a duplicate address gets none.
 */
const masterRecords = (
  out: RecordCollector,
  leader: string,
  masters: readonly string[],
  { domain }: RecordOptions,
  addressesOf: AddressesOf,
): void => {
  const addresses = (master: string): readonly string[] =>
    hostAddresses(hostOf(master), addressesOf)
  const at = pidEndpoint(leader)
  const leading = at === undefined ? [] : addresses(leader)
  if (at !== undefined && leading.length > 0) {
    out.addresses(`leader.${domain}`, leading)
    out.addresses(`master.${domain}`, leading)
    for (const proto of ['_tcp', '_udp']) {
      out.service(`_leader.${proto}.${domain}`, `leader.${domain}`, at.port)
    }
  }
  const known = new Set(leading)
  // an entry without port is the leader if its address matches
  const leads = (master: string): boolean =>
    master === leader ||
    (master === hostOf(master) && addresses(master).some(ip => leading.includes(ip)))
  const listed = [...new Set(masters.map(master => (leads(master) ? leader : master)))]
  // a leader that is in the list keeps its number
  if (leading.length > 0 && !listed.includes(leader)) listed.push(leader)
  let number = 0
  for (const master of listed) {
    const ips = master === leader ? leading : addresses(master).filter(ip => !known.has(ip))
    if (ips.length === 0) continue
    if (master !== leader) out.addresses(`master.${domain}`, ips)
    for (const ip of ips) known.add(ip)
    out.addresses(`master${number++}.${domain}`, ips)
  }
}

/**
 * All these records. `masters` is the list in order, as configured or from ZooKeeper; each is 'address:port' or an
 * address.
 */
export const clusterRecords = (
  state: MesosState,
  masters: readonly string[],
  options: RecordOptions,
  addressesOf: AddressesOf,
): SourceRecords => {
  const out = new RecordCollector('the cluster', options)
  frameworkRecords(out, state, options, addressesOf)
  agentRecords(out, state, options, addressesOf)
  out.addresses(options.soaMname, plainIps(options.listenerAddresses))
  masterRecords(out, state.leader, masters, options, addressesOf)
  return out
}

/** Host names whose addresses the records need: those of agents, schedulers and masters that are not literals. */
export const hostsToLookUp = (
  state: MesosState,
  masters: readonly string[],
): ReadonlySet<string> => {
  const hosts = new Set<string>()
  const want = (host: string): void => {
    if (host !== '' && plainIps([host]).length === 0) hosts.add(host)
  }
  for (const agent of state.agents.values()) want(agentHost(agent))
  for (const framework of state.frameworks.values()) want(schedulerEndpoint(framework, false).host)
  for (const master of [...masters, state.leader]) want(hostOf(master))
  return hosts
}
