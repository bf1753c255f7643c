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
import { isName } from '../zone.ts'
import { label } from './label.ts'
import { pidEndpoint, type Agent, type DiscoveryPort, type Framework, type MesosState, type Task } from './model.ts'
import { taskHash } from './zbase32.ts'

/** One record's share of a zone: owner, type, rdata in presentation form. */
export type Share = readonly [owner: string, type: 'A' | 'AAAA' | 'SRV', data: string]

/** Caches that make a full rebuild cheap: thousands of tasks share a few names. */
export type Labels = { readonly one: (name: string) => string }

/** Label normalisation with a memory of at most this many names. */
const REMEMBERED = 20_000

/** `label` that remembers; give one to a rebuild or keep one for long, it stays bounded. */
export const rememberedLabels = (): Labels => {
  const known = new Map<string, string>()
  return {
    one: name => {
      const had = known.get(name)
      if (had !== undefined) return had
      const made = label(name)
      if (known.size >= REMEMBERED) known.clear()
      known.set(name, made)
      return made
    },
  }
}

/**
 * The agent's own address: its host name where that is a literal, as dcos-net
 * took it, else the address Mesos bound. '' if neither is a literal.
 */
export const agentAddress = (agent: Agent): string =>
  canonicalIp(agent.hostname) || canonicalIp(pidEndpoint(agent.pid)?.host ?? '')

/** Only running tasks have records; killing ones have lost theirs (facts 3.2). */
export const isNamed = (task: Task): boolean => task.state === 'TASK_RUNNING'

/** Protocols of a discovery port: 'udp,tcp' is two, none is both, as in Mesos-DNS. */
const protocolsOf = ({ protocol }: DiscoveryPort): readonly ('tcp' | 'udp')[] => {
  if (protocol === '') return ['tcp', 'udp']
  const parts = protocol.toLowerCase().split(/[,\s]+/)
  return (['tcp', 'udp'] as const).filter(p => parts.includes(p))
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
    return { host: port.number, container: mapping?.containerPort ?? port.number, mapped: mapping !== undefined }
  }
  const mapping = own.find(m => m.containerPort === port.number)
  if (mapping) return { host: mapping.hostPort, container: port.number, mapped: true }
  return { host: onHost ? port.number : 0, container: port.number, mapped: false }
}

/**
 * Everything this task adds to the zone at `apex`. Nothing if it does not run,
 * if its agent or framework is not known, or if nothing is left of its name
 * after normalisation; names too long for DNS are left out.
 */
export const taskShares = (
  task: Task,
  framework: Framework | undefined,
  agent: Agent | undefined,
  apex: string,
  labels: Labels,
): Share[] => {
  if (!isNamed(task) || !framework || !agent) return []
  const taskLabel = labels.one(task.discovery?.name || task.name)
  const frameworkLabel = labels.one(framework.name)
  if (taskLabel === '' || frameworkLabel === '') return []
  const host = agentAddress(agent)
  const container = (task.running ?? task.latest)?.addresses ?? []
  const agentIps = host === '' ? [] : [host]
  const auto = task.portMappings.length > 0 || container.length === 0 ? agentIps : container

  const shares: Share[] = []
  const add = (owner: string, type: Share[1], data: string): void => {
    if (isName(owner)) shares.push([owner, type, data])
  }
  const ports = task.discovery?.ports.filter(p => p.number > 0) ?? []
  const instance = ports.length === 0 ? '' : instanceLabel(taskLabel, task, agent)
  const onHost = container.length === 0 || container.includes(host)

  for (const [kind, ips] of [['agentip', agentIps], ['containerip', container], ['autoip', auto]] as const) {
    if (ips.length === 0) continue
    const parent = `${frameworkLabel}.${kind}.${apex}`
    for (const ip of ips) add(`${taskLabel}.${parent}`, addressType(ip), ip)
    if (instance === '') continue
    const target = `${instance}.${parent}`
    for (const ip of ips) add(target, addressType(ip), ip)
    for (const port of ports) {
      for (const protocol of protocolsOf(port)) {
        const { host: hostPort, container: inside, mapped } = portNumbers(task, port, protocol, onHost)
        const n = kind === 'agentip' || (kind === 'autoip' && mapped) ? hostPort : inside
        if (n === 0 || !isName(target)) continue
        const data = `0 1 ${n} ${target}`
        add(`_${taskLabel}._${protocol}.${parent}`, 'SRV', data)
        const name = labels.one(port.name)
        if (name !== '') add(`_${name}._${taskLabel}._${protocol}.${parent}`, 'SRV', data)
      }
    }
  }
  return shares
}

/** `<task>-<hash>-<agent>` as one label: the task's part gives way where the three are too long. */
const instanceLabel = (taskLabel: string, task: Task, agent: Agent): string => {
  const end = label(agent.id.slice(agent.id.lastIndexOf('-') + 1)).slice(0, 20)
  const tail = `-${taskHash(task.id)}${end === '' ? '' : `-${end}`}`
  return `${taskLabel.slice(0, 63 - tail.length)}${tail}`
}

/** `master` and `leader` of the zone: all masters, and the leading one. */
export const masterShares = (state: MesosState, masters: readonly string[], apex: string): Share[] => {
  const shares: Share[] = []
  for (const address of masters) {
    const ip = canonicalIp(address)
    if (ip !== '') shares.push([`master.${apex}`, addressType(ip), ip])
  }
  const leader = canonicalIp(pidEndpoint(state.leader)?.host ?? '')
  if (leader !== '') shares.push([`leader.${apex}`, addressType(leader), leader])
  return shares
}
