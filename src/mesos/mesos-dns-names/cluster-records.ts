/**
 * The records that belong to no task: masters and the leader, agents,
 * schedulers, and this server itself.
 */
import { domainFrag } from '../dcos-names/label.ts'
import { agentHost, pidEndpoint, type MesosState } from '../api/model.ts'
import {
  hostAddresses,
  Maker,
  plainIp,
  plainIps,
  speller,
  type AddressesOf,
  type Made,
  type RecordOptions,
} from './record.ts'

/** What an agent's port is where its PID does not say. */
const AGENT_PORT = 5051

const frameworkRecords = (
  out: Maker,
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
    const at = pidEndpoint(framework.pid)
    const ips = hostAddresses(at?.host ?? framework.hostname, addressesOf)
    if (ips.length === 0) continue
    const name = `${fw}.${options.domain}`
    out.addresses(name, ips)
    // a scheduler that speaks HTTP listens nowhere
    if (at !== undefined) out.service(`_framework._tcp.${name}`, name, at.port)
  }
}

const agentRecords = (
  out: Maker,
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

/** The host of 'host:port' or of a bare address. */
const hostOf = (master: string): string =>
  plainIp(master) === '' ? (pidEndpoint(master)?.host ?? master) : master

/**
 * `leader`, `master` and `masterN`, N in the order of the list; a leader that
 * is not in it takes the next free number, an address twice takes none.
 */
const masterRecords = (
  out: Maker,
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
  // an entry without a port is the leader if its address is
  const leads = (master: string): boolean =>
    master === leader ||
    (master === hostOf(master) && addresses(master).some(ip => leading.includes(ip)))
  const listed = [...new Set(masters.map(master => (leads(master) ? leader : master)))]
  // one that is in the list already keeps its place there
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
 * All of them. `masters` is the list in its order as configured or as
 * ZooKeeper tells it, 'address:port' or a bare address each.
 */
export const clusterRecords = (
  state: MesosState,
  masters: readonly string[],
  options: RecordOptions,
  addressesOf: AddressesOf,
): Made => {
  const out = new Maker('the cluster', options)
  frameworkRecords(out, state, options, addressesOf)
  agentRecords(out, state, options, addressesOf)
  out.addresses(options.soaMname, plainIps(options.listenerAddresses))
  masterRecords(out, state.leader, masters, options, addressesOf)
  return out
}

/** Names that the records need addresses of: hosts of agents, schedulers and masters that are no literals. */
export const hostsToLookUp = (
  state: MesosState,
  masters: readonly string[],
): ReadonlySet<string> => {
  const hosts = new Set<string>()
  const want = (host: string): void => {
    if (host !== '' && plainIps([host]).length === 0) hosts.add(host)
  }
  for (const agent of state.agents.values()) want(agentHost(agent))
  for (const { pid, hostname } of state.frameworks.values())
    want(pidEndpoint(pid)?.host ?? hostname)
  for (const master of [...masters, state.leader]) want(hostOf(master))
  return hosts
}
