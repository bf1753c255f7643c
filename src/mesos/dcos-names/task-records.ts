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
import { addressType, canonicalIp } from '../../base/ip.ts'
import { MAX_LABEL, MAX_NAME } from '../../boundary/zone.ts'
import { pidEndpoint, type Agent, type DiscoveryPort, type Task } from '../api/model.ts'
import { flat, Owner, type Sink } from './owners.ts'
import type { Kind, NameBook, TaskNames } from './task-names.ts'
import { taskHash } from './zbase32.ts'

const KINDS = ['agentip', 'containerip', 'autoip'] as const

/**
 * The agent's address: its host name if that is a literal, as in dcos-net, otherwise the address that Mesos bound.
 * '' if neither is a literal.
 */
export const agentAddress = (agent: Agent): string =>
  canonicalIp(agent.hostname) || canonicalIp(pidEndpoint(agent.pid)?.host ?? '')

const NONE: readonly string[] = Object.freeze([])

/** Only running tasks have records; a task that is being killed has lost them. */
export const isNamed = (task: Task): boolean => task.state === 'TASK_RUNNING'

const TCP = ['tcp'] as const
const BOTH = ['tcp', 'udp'] as const

/** Protocols of a discovery port: 'udp,tcp' are two, none is both, as in Mesos-DNS. */
const protocolsOf = ({ protocol }: DiscoveryPort): readonly ('tcp' | 'udp')[] => {
  if (protocol === 'tcp') return TCP
  if (protocol === '') return BOTH
  const parts = protocol.toLowerCase().split(/[,\s]+/)
  return BOTH.filter(p => parts.includes(p))
}

const scopeOf = (port: DiscoveryPort): 'host' | 'container' =>
  port.labels.some(l => l.key === 'network-scope' && l.value === 'host') ? 'host' : 'container'

/** The port on the host and the port in the container; 0 where it does not exist. */
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
 * Passes all records of this task to `sink`, the same ones each time. `host` is its agent's address
 * (`agentAddress`), '' for none. There are none if the task is not running or if nothing is left of its name after
 * normalisation; names that are too long for DNS are left out.
 */
export const taskRecords = (
  task: Task,
  framework: string,
  host: string,
  book: NameBook,
  sink: Sink,
): void => {
  if (!isNamed(task)) return
  const names = book.names(framework, task.discovery?.name || task.name)
  if (names.label === '') return
  const container = (task.running ?? task.latest)?.addresses ?? NONE
  const agent = host === '' ? NONE : [host]
  const onAgent = task.portMappings.length > 0 || container.length === 0
  const addresses: { readonly [kind in Kind]: readonly string[] } = {
    agentip: agent,
    containerip: container,
    autoip: onAgent ? agent : container,
  }
  for (const kind of KINDS) {
    const { owner } = names.kinds[kind]
    if (owner) for (const ip of addresses[kind]) sink(owner, addressType(ip), ip)
  }
  const ports = task.discovery?.ports ?? []
  if (ports.some(port => port.number > 0)) {
    const onHost = container.length === 0 || container.includes(host)
    addServices(task, onHost, names, addresses, book, sink)
  }
}

/** The task's own names, and the services that point to them. */
const addServices = (
  task: Task,
  onHost: boolean,
  names: TaskNames,
  addresses: { readonly [kind in Kind]: readonly string[] },
  book: NameBook,
  sink: Sink,
): void => {
  const instance = instanceLabel(names.label, task, book)
  const targets: { kind: Kind; target: string }[] = []
  for (const kind of KINDS) {
    const target = flat(instance, '.', names.kinds[kind].parent)
    if (addresses[kind].length === 0 || target.length > MAX_NAME) continue
    const own = new Owner(target)
    for (const ip of addresses[kind]) sink(own, addressType(ip), ip)
    targets.push({ kind, target })
  }
  for (const port of task.discovery?.ports ?? []) {
    if (port.number === 0) continue
    for (const protocol of protocolsOf(port)) {
      const { host, container, mapped } = portNumbers(task, port, protocol, onHost)
      const services = book.services(names, port.name, protocol)
      for (const { kind, target } of targets) {
        const n = kind === 'agentip' || (kind === 'autoip' && mapped) ? host : container
        if (n === 0) continue
        const data = flat('0 1 ', String(n), ' ', target)
        for (const owner of services[kind]) sink(owner, 'SRV', data)
      }
    }
  }
}

/** `<task>-<hash>-<agent>` as one label; if it is too long, the task's part is cut. */
const instanceLabel = (taskLabel: string, task: Task, book: NameBook): string => {
  const tail = `-${taskHash(task.id)}${book.agent(task.agentId)}`
  return `${taskLabel.slice(0, MAX_LABEL - tail.length)}${tail}`
}

/** Passes the records of `master` and `leader` to `sink`: all masters, and the leading one ('ip:port'). */
export const masterRecords = (
  leader: string,
  masters: readonly string[],
  apex: string,
  sink: Sink,
): void => {
  const put = (name: string, ip: string): void => {
    if (ip !== '') sink(new Owner(`${name}.${apex}`), addressType(ip), ip)
  }
  for (const address of masters) put('master', canonicalIp(address))
  put('leader', canonicalIp(pidEndpoint(leader)?.host ?? ''))
}
