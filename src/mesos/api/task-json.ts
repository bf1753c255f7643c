/**
 * Parses a task, framework or agent from the JSON of `/state` (plain ids, labels as an array, ports as a string) or
 * of the operator API (ids in `{value}`, labels in `{labels}`, resources as a list). A malformed field counts as
 * missing; an object without id is dropped.
 */
import { canonicalIp } from '../../base/ip.ts'
import { id, isObject, list, number, object, port, text, type Json } from './json.ts'
import type {
  Agent,
  Discovery,
  DiscoveryPort,
  Framework,
  Label,
  PortMapping,
  Task,
  TaskStatus,
} from './model.ts'

/** Limit of ranges read from one ports resource; agents offer a handful. */
const MAX_RANGES = 1_000

type Ranges = Task['ports']

const NO_LABELS: readonly Label[] = Object.freeze([])

/** `[{key, value}]` or `{labels: [{key, value}]}`; labels without key are dropped. */
const labelsOf = (value: unknown): readonly Label[] => {
  const items = Array.isArray(value) ? list(value) : list(object(value).labels)
  if (items.length === 0) return NO_LABELS
  const labels: Label[] = []
  for (const item of items) {
    const { key, value: of } = object(item)
    if (typeof key === 'string') labels.push({ key, value: text(of) })
  }
  return labels
}

/** '[31000-31001, 31005-31005]' */
const rangesOfText = (value: string): Ranges => {
  const ranges: [number, number][] = []
  for (const match of value.matchAll(/(\d{1,5})-(\d{1,5})/g)) {
    const [begin, end] = [Number(match[1]), Number(match[2])]
    if (begin <= end && end < 65_536) ranges.push([begin, end])
    if (ranges.length >= MAX_RANGES) break
  }
  return ranges
}

/** `[{name: 'ports', ranges: {range: [{begin, end}]}}]` */
const rangesOfList = (resources: readonly unknown[]): Ranges => {
  const ranges: [number, number][] = []
  for (const resource of resources) {
    const { name, ranges: of } = object(resource)
    if (name !== 'ports') continue
    for (const range of list(object(of).range).slice(0, MAX_RANGES)) {
      const { begin, end } = object(range)
      const [from, to] = [number(begin), number(end)]
      if (
        Number.isInteger(from) &&
        Number.isInteger(to) &&
        from >= 0 &&
        from <= to &&
        to < 65_536
      ) {
        ranges.push([from, to])
      }
    }
  }
  return ranges
}

const portsOf = (resources: unknown): Ranges =>
  Array.isArray(resources)
    ? rangesOfList(list(resources))
    : rangesOfText(text(object(resources).ports))

const discoveryPorts = (value: unknown): DiscoveryPort[] => {
  const ports: DiscoveryPort[] = []
  for (const item of list(object(value).ports)) {
    if (!isObject(item)) continue
    const { number: n, name, protocol, labels } = item
    // 0 is kept, because Mesos-DNS publishes it
    ports.push({
      number: port(n),
      name: text(name),
      protocol: text(protocol),
      labels: labelsOf(labels),
    })
  }
  return ports
}

const discoveryOf = (value: unknown): Discovery | undefined =>
  isObject(value) ? { name: text(value.name), ports: discoveryPorts(value.ports) } : undefined

const networkInfos = (status: unknown): readonly unknown[] =>
  list(object(object(status).container_status).network_infos)

const addressesOf = (infos: readonly unknown[]): string[] => {
  const addresses: string[] = []
  const add = (value: unknown): void => {
    const ip = canonicalIp(text(value))
    if (ip !== '') addresses.push(ip)
  }
  for (const info of infos) {
    const { ip_addresses: many, ip_address: one } = object(info)
    const items = list(many)
    for (const item of items) add(object(item).ip_address)
    // the form of Mesos 0.25
    if (items.length === 0) add(one)
  }
  return addresses
}

/** Parses one status update, from a task or from TASK_UPDATED. */
export const statusFromJson = (value: unknown): TaskStatus => {
  const status = object(value)
  return {
    state: text(status.state),
    timestamp: number(status.timestamp),
    healthy: typeof status.healthy === 'boolean' ? status.healthy : undefined,
    addresses: addressesOf(networkInfos(status)),
    labels: labelsOf(status.labels),
  }
}

/** Port mappings in a Docker container's or a network_info's list. */
const mappingsIn = (value: unknown): PortMapping[] => {
  const mappings: PortMapping[] = []
  for (const item of list(value)) {
    const { host_port: host, container_port: container, protocol } = object(item)
    const [hostPort, containerPort] = [port(host), port(container)]
    if (hostPort === 0 || containerPort === 0) continue
    mappings.push({ hostPort, containerPort, protocol: text(protocol).toLowerCase() || 'tcp' })
  }
  return mappings
}

/** The port mappings in a status. */
export const mappingsFromStatus = (status: unknown): PortMapping[] =>
  networkInfos(status).flatMap(info => mappingsIn(object(info).port_mappings))

/** The items of `more` that are not in `known`, appended to it. */
export const joinMappings = (
  known: readonly PortMapping[],
  more: readonly PortMapping[],
): readonly PortMapping[] => {
  const fresh = more.filter(
    m =>
      !known.some(
        k =>
          k.hostPort === m.hostPort &&
          k.containerPort === m.containerPort &&
          k.protocol === m.protocol,
      ),
  )
  return fresh.length === 0 ? known : [...known, ...fresh]
}

const containerMappings = (container: Json): PortMapping[] => [
  ...mappingsIn(object(container.docker).port_mappings),
  ...list(container.network_infos).flatMap(info => mappingsIn(object(info).port_mappings)),
]

/** The status with the later timestamp; of equal ones the second, which is later in the list. */
const later = (a: TaskStatus | undefined, b: TaskStatus): TaskStatus =>
  a === undefined || b.timestamp >= a.timestamp ? b : a

/** undefined without id, agent or framework. */
export const taskFromJson = (value: unknown, inFramework = ''): Task | undefined => {
  const task = object(value)
  const taskId = id(task.id ?? task.task_id)
  const frameworkId = id(task.framework_id) || inFramework
  const agentId = id(task.slave_id ?? task.agent_id)
  if (taskId === '' || frameworkId === '' || agentId === '') return undefined
  const container = object(task.container)
  let running: TaskStatus | undefined
  let latest: TaskStatus | undefined
  let mappings: readonly PortMapping[] = containerMappings(container)
  for (const item of list(task.statuses)) {
    const status = statusFromJson(item)
    latest = later(latest, status)
    if (status.state === 'TASK_RUNNING') running = later(running, status)
    mappings = joinMappings(mappings, mappingsFromStatus(item))
  }
  return {
    id: taskId,
    name: text(task.name),
    frameworkId,
    agentId,
    state: text(task.state),
    running,
    latest,
    labels: labelsOf(task.labels),
    ports: portsOf(task.resources),
    discovery: discoveryOf(task.discovery),
    portMappings: mappings,
    containerType: text(container.type),
    hasHealthCheck: isObject(task.health_check),
  }
}

/** From `/state`; undefined without id. */
export const frameworkFromJson = (value: unknown): Framework | undefined => {
  const framework = object(value)
  const frameworkId = id(framework.id)
  if (frameworkId === '') return undefined
  return {
    id: frameworkId,
    name: text(framework.name),
    hostname: text(framework.hostname),
    pid: text(framework.pid),
    webui: text(framework.webui_url),
    active: framework.active !== false,
  }
}

/** From the operator API, whose FrameworkInfo has no PID. undefined without id. */
export const frameworkFromEntry = (value: unknown): Framework | undefined => {
  const entry = object(value)
  const framework = frameworkFromJson(entry.framework_info)
  return framework && { ...framework, pid: undefined, active: entry.active !== false }
}

/** From `/state`, or from an operator API agent with `agent_info`. undefined without id. */
export const agentFromJson = (value: unknown): Agent | undefined => {
  const agent = object(value)
  const info = isObject(agent.agent_info) ? agent.agent_info : agent
  const agentId = id(info.id)
  if (agentId === '') return undefined
  return {
    id: agentId,
    hostname: text(info.hostname),
    pid: text(agent.pid),
    active: typeof agent.active === 'boolean' ? agent.active : true,
  }
}
