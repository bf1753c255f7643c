/**
 * Determines which VIPs the tasks of one agent declare, and their backends: from labels of discovery ports, and from
 * a task's `vip_port<N>` labels for its Nth port resource. An invalid label is skipped and reported.
 */
import { canonicalIp, familyOf } from '../base/ip.ts'
import { taskKey, type Label, type MesosState, type Task } from '../mesos/api/model.ts'
import { isVipKey, parseVip, parseVipUrl, vipPortIndex } from './label.ts'
import { VipCollector, type Backend, type Protocol, type VipRecord } from './record.ts'

/** A label that was skipped, for the log and the status page. */
export type BadLabel = {
  readonly taskId: string
  readonly task: string
  readonly framework: string
  /** 'VIP_0=/redis', shortened. */
  readonly label: string
  readonly why: string
}

export type TaskVipsOptions = {
  /** The agent's own address, where mapped ports are reached. */
  readonly agentIp: string
  /** Whether backends may have IPv6 addresses. */
  readonly ipv6: boolean
}

/** A port that may declare a VIP, named as in the discovery info, with its labels. */
type DeclaredPort = {
  readonly protocol: Protocol
  readonly number: number
  readonly host: boolean
  readonly vips: readonly { readonly label: Label; readonly value: string }[]
}

/** Longest part of a label that is shown. */
const SHOWN = 80
/** Limit of remembered bad labels; a broken deployment may have thousands. */
const MAX_BAD = 1_000

const shown = ({ key, value }: Label): string => {
  const whole = `${key}=${value}`
  return whole.length > SHOWN ? `${whole.slice(0, SHOWN)}…` : whole
}

/** Draining tasks keep their backends at weight 0, so that open connections can finish. */
const isServing = (task: Task): boolean =>
  task.state === 'TASK_RUNNING' || task.state === 'TASK_KILLING'

/**
 * A health check without a result counts as failed, so that no traffic arrives before the task is ready
 * (DCOS_OSS-1954).
 */
const weightOf = (task: Task): 0 | 1 => {
  if (task.state !== 'TASK_RUNNING') return 0
  const healthy = task.running?.healthy
  return healthy === true || (healthy === undefined && !task.hasHealthCheck) ? 1 : 0
}

const protocolsOf = (protocol: string): Protocol[] => {
  const parts = protocol.toLowerCase().split(/[,\s]+/)
  return (['tcp', 'udp'] as const).filter(p => parts.includes(p))
}

/** The Nth single port of the port ranges; 0 if there are fewer. */
const nthPort = (ports: Task['ports'], n: number): number => {
  let left = n
  for (const [begin, end] of ports) {
    if (left <= end - begin) return begin + left
    left -= end - begin + 1
  }
  return 0
}

const declaredPorts = (task: Task, bad: (label: Label, why: string) => void): DeclaredPort[] => {
  const declared: DeclaredPort[] = []
  for (const port of task.discovery?.ports ?? []) {
    if (port.number === 0) continue
    const vips = port.labels
      .filter(l => isVipKey(l.key))
      .map(label => ({ label, value: label.value }))
    if (vips.length === 0) continue
    const host = port.labels.some(l => l.key === 'network-scope' && l.value === 'host')
    const protocols = protocolsOf(port.protocol)
    if (protocols.length === 0)
      for (const { label } of vips) bad(label, `its port is neither tcp nor udp`)
    for (const protocol of protocols) declared.push({ protocol, number: port.number, host, vips })
  }
  for (const label of task.labels) {
    const index = vipPortIndex(label.key)
    if (index < 0) continue
    const url = parseVipUrl(label.value)
    if (!url) {
      bad(label, 'it does not begin with tcp:// or udp://')
      continue
    }
    const number = nthPort(task.ports, index)
    if (number === 0) {
      bad(label, `the task has no port ${index}`)
      continue
    }
    // the network-scope of the discovery port with the same number applies to this label, too
    const port = task.discovery?.ports.find(
      p => p.number === number && protocolsOf(p.protocol).includes(url.protocol),
    )
    const host = port?.labels.some(l => l.key === 'network-scope' && l.value === 'host') ?? true
    declared.push({ protocol: url.protocol, number, host, vips: [{ label, value: url.rest }] })
  }
  return declared
}

/** A mapped host port, and the container's address and port behind it. */
export type MappedPort = {
  readonly protocol: Protocol
  readonly ip: string
  readonly port: number
  readonly container: { readonly ip: string; readonly port: number }
}

/** The tasks' mapped ports and the containers behind them. This host itself reaches the containers only there. */
export const mappedPorts = (state: MesosState, agent: string): MappedPort[] => {
  const ip = canonicalIp(agent)
  const ports: MappedPort[] = []
  for (const task of state.tasks.values()) {
    if (!isServing(task) || ip === '') continue
    const addresses = (task.running ?? task.latest)?.addresses ?? []
    const inside = addresses.find(a => familyOf(a) === familyOf(ip) && a !== ip)
    if (inside === undefined) continue
    for (const { protocol, hostPort, containerPort } of task.portMappings) {
      if (protocol !== 'tcp' && protocol !== 'udp') continue
      ports.push({ protocol, ip, port: hostPort, container: { ip: inside, port: containerPort } })
    }
  }
  return ports
}

/** Where a declared port of the task is reached. */
const endpoints = (
  task: Task,
  port: DeclaredPort,
  agentIp: string,
): { ip: string; port: number }[] => {
  const mapping = task.portMappings.find(
    m => m.protocol === port.protocol && (port.host ? m.hostPort : m.containerPort) === port.number,
  )
  if (mapping && agentIp !== '') return [{ ip: agentIp, port: mapping.hostPort }]
  const addresses = (task.running ?? task.latest)?.addresses ?? []
  const ips = addresses.length > 0 ? addresses : agentIp === '' ? [] : [agentIp]
  return ips.map(ip => ({ ip, port: mapping?.containerPort ?? port.number }))
}

/** The VIP records of all tasks in an agent's state, and the labels that were skipped. */
export const vipsOfState = (
  state: MesosState,
  options: TaskVipsOptions,
): { records: VipRecord[]; bad: BadLabel[] } => {
  const agentIp = canonicalIp(options.agentIp)
  const collector = new VipCollector()
  const bad: BadLabel[] = []
  for (const task of state.tasks.values()) {
    if (!isServing(task)) continue
    const framework = state.frameworks.get(task.frameworkId)?.name ?? ''
    const complain = (label: Label, why: string): void => {
      if (bad.length >= MAX_BAD) return
      bad.push({
        taskId: taskKey(task.frameworkId, task.id),
        task: task.name,
        framework,
        label: shown(label),
        why,
      })
    }
    const weight = weightOf(task)
    for (const port of declaredPorts(task, complain)) {
      const backends: Backend[] = endpoints(task, port, agentIp)
        .filter(({ ip }) => options.ipv6 || familyOf(ip) === 4)
        .map(({ ip, port: n }) => ({ ip, port: n, weight }))
      for (const { label, value } of port.vips) {
        const vip = parseVip(value, framework)
        if ('wrong' in vip) {
          complain(label, vip.wrong)
          continue
        }
        const family = familyOf(vip.ip)
        const fitting = family === 0 ? backends : backends.filter(b => familyOf(b.ip) === family)
        if (fitting.length > 0) collector.add({ protocol: port.protocol, ...vip }, fitting)
      }
    }
  }
  return { records: collector.records(), bad }
}
