/**
 * The records of one task in `dcos.thisdcos.directory`.
 *
 *   <task>.<framework>.{agentip,containerip,autoip}            A, AAAA
 *   <task>-<hash>-<agent>.<framework>.{agentip,…}              A, AAAA of this task alone
 *   _<task>._<proto>.<framework>.{agentip,…}                   SRV 0 1 <port> <the name above>
 *   _<port name>._<task>._<proto>.<framework>.{agentip,…}      the same, for named ports
 *
 * The first line is dcos-net's, byte for byte. The others are new: SRV names
 * as Mesos-DNS forms them, for the ports of a DiscoveryInfo, with a target of
 * the task's own, because ports of several tasks under one target would mix.
 * `<hash>` and `<agent>` are those of Mesos-DNS' canonical names. Which port:
 *
 *   agentip      the host port: mapped, or the port itself on the host's network;
 *                a port that the host does not have gives no SRV
 *   containerip  the port within the container
 *   autoip       the host port if mapped, else the port within the container
 */
import { addressType, canonicalIp } from '../ip.ts'
import { MAX_LABEL, MAX_NAME } from '../zone.ts'
import { label } from './label.ts'
import {
  pidEndpoint,
  type Agent,
  type DiscoveryPort,
  type Framework,
  type MesosState,
  type Task,
} from './model.ts'
import type { Kind, NameBook, TaskNames } from './task-names.ts'
import { taskHash } from './zbase32.ts'

const KINDS = ['agentip', 'containerip', 'autoip'] as const

/**
 * One record's share of a zone: its owner, and type and rdata in presentation
 * form as one string, 'A 192.0.2.1', which is how they are counted.
 */
export type Share = readonly [owner: string, record: string]

/**
 * The agent's own address: its host name where that is a literal, as dcos-net
 * took it, else the address Mesos bound. '' if neither is a literal.
 */
export const agentAddress = (agent: Agent): string =>
  canonicalIp(agent.hostname) || canonicalIp(pidEndpoint(agent.pid)?.host ?? '')

const addressRecord = (ip: string): string => `${addressType(ip)} ${ip}`

/** Only running tasks have records; killing ones have lost theirs (facts 3.2). */
export const isNamed = (task: Task): boolean => task.state === 'TASK_RUNNING'

const TCP = ['tcp'] as const
const BOTH = ['tcp', 'udp'] as const

/** Protocols of a discovery port: 'udp,tcp' is two, none is both, as in Mesos-DNS. */
const protocolsOf = ({ protocol }: DiscoveryPort): readonly ('tcp' | 'udp')[] => {
  if (protocol === 'tcp') return TCP
  if (protocol === '') return BOTH
  const parts = protocol.toLowerCase().split(/[,\s]+/)
  return BOTH.filter(p => parts.includes(p))
}

const scopeOf = (port: DiscoveryPort): 'host' | 'container' =>
  port.labels.some(l => l.key === 'network-scope' && l.value === 'host') ? 'host' : 'container'

/** The port as the host has it and as the container has it; 0 where it does not exist. */
const portNumbers = (
  task: Task,
  port: DiscoveryPort,
  protocol: string,
  onHost: boolean,
): { host: number; container: number; mapped: boolean } => {
  const own = task.portMappings.filter(m => m.protocol === protocol)
  if (scopeOf(port) === 'host') {
    const mapping = own.find(m => m.hostPort === port.number)
    return {
      host: port.number,
      container: mapping?.containerPort ?? port.number,
      mapped: mapping !== undefined,
    }
  }
  const mapping = own.find(m => m.containerPort === port.number)
  if (mapping) return { host: mapping.hostPort, container: port.number, mapped: true }
  return { host: onHost ? port.number : 0, container: port.number, mapped: false }
}

/**
 * Everything this task adds to the zone. Nothing if it does not run, if its
 * agent or framework is not known, or if nothing is left of its name after
 * normalisation; names too long for DNS are left out.
 */
export const taskShares = (
  task: Task,
  framework: Framework | undefined,
  agent: Agent | undefined,
  book: NameBook,
): Share[] => {
  const shares: Share[] = []
  if (!isNamed(task) || !framework || !agent) return shares
  const names = book.names(framework.name, task.discovery?.name || task.name)
  if (names.label === '') return shares
  const host = agentAddress(agent)
  const container = (task.running ?? task.latest)?.addresses ?? []
  const agentRecords = host === '' ? [] : [addressRecord(host)]
  const containerRecords = container.map(addressRecord)
  const onAgent = task.portMappings.length > 0 || container.length === 0
  const records: { readonly [kind in Kind]: readonly string[] } = {
    agentip: agentRecords,
    containerip: containerRecords,
    autoip: onAgent ? agentRecords : containerRecords,
  }
  for (const kind of KINDS) {
    const { owner } = names.kinds[kind]
    if (owner !== '') for (const record of records[kind]) shares.push([owner, record])
  }
  const ports = task.discovery?.ports ?? []
  if (ports.some(port => port.number > 0)) {
    const onHost = container.length === 0 || container.includes(host)
    addServices(shares, task, agent, onHost, names, records, book)
  }
  return shares
}

/** The task's own names and, pointing to them, its ports. */
const addServices = (
  shares: Share[],
  task: Task,
  agent: Agent,
  onHost: boolean,
  names: TaskNames,
  records: { readonly [kind in Kind]: readonly string[] },
  book: NameBook,
): void => {
  const instance = instanceLabel(names.label, task, agent)
  for (const kind of KINDS) {
    const target = `${instance}.${names.kinds[kind].parent}`
    if (records[kind].length === 0 || target.length > MAX_NAME) continue
    for (const record of records[kind]) shares.push([target, record])
    for (const port of task.discovery?.ports ?? []) {
      if (port.number === 0) continue
      for (const protocol of protocolsOf(port)) {
        const { host, container, mapped } = portNumbers(task, port, protocol, onHost)
        const n = kind === 'agentip' || (kind === 'autoip' && mapped) ? host : container
        if (n === 0) continue
        const record = `SRV 0 1 ${n} ${target}`
        for (const owner of book.services(names, port.name, protocol)[kind])
          shares.push([owner, record])
      }
    }
  }
}

/** `<task>-<hash>-<agent>` as one label: the task's part gives way where the three are too long. */
const instanceLabel = (taskLabel: string, task: Task, agent: Agent): string => {
  const end = label(agent.id.slice(agent.id.lastIndexOf('-') + 1)).slice(0, 20)
  const tail = `-${taskHash(task.id)}${end === '' ? '' : `-${end}`}`
  return `${taskLabel.slice(0, MAX_LABEL - tail.length)}${tail}`
}

/** `master` and `leader` of the zone: all masters, and the leading one. */
export const masterShares = (
  state: MesosState,
  masters: readonly string[],
  apex: string,
): Share[] => {
  const shares: Share[] = []
  for (const address of masters) {
    const ip = canonicalIp(address)
    if (ip !== '') shares.push([`master.${apex}`, addressRecord(ip)])
  }
  const leader = canonicalIp(pidEndpoint(state.leader)?.host ?? '')
  if (leader !== '') shares.push([`leader.${apex}`, addressRecord(leader)])
  return shares
}
