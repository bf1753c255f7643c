/**
 * What we know from Mesos, in one plain shape, wherever it came from: a
 * master's `/state`, the operator API's stream, or an agent's own API. Only
 * what names, addresses and VIPs are made of is kept. Values are as Mesos
 * wrote them; the record generators normalise.
 */

/** A Mesos label; keys may repeat, order is kept. */
export type Label = { readonly key: string; readonly value: string }

export type Framework = {
  readonly id: string
  readonly name: string
  /** Host the scheduler registered with; '' if it gave none. May be a name. */
  readonly hostname: string
  /** libprocess PID, 'scheduler-…@10.0.0.5:15201'; '' for HTTP schedulers and from the operator API. */
  readonly pid: string
  readonly active: boolean
}

export type Agent = {
  readonly id: string
  /** As registered: an IP literal or a name. */
  readonly hostname: string
  /** libprocess PID, 'slave(1)@10.0.0.11:5051'; '' if not told. */
  readonly pid: string
  readonly active: boolean
}

/** One status update of a task. */
export type TaskStatus = {
  readonly state: string
  /** Seconds since the epoch, with a fraction; 0 if not told. */
  readonly timestamp: number
  /** Result of the Mesos health check; undefined before the first, and without one. */
  readonly healthy: boolean | undefined
  /** Addresses of all network_infos in their order (also the old one-address form), v4 and v6 mixed. */
  readonly addresses: readonly string[]
  /** Carries Docker.NetworkSettings.IPAddress and its MesosContainerizer sibling. */
  readonly labels: readonly Label[]
}

export type DiscoveryPort = {
  readonly number: number
  /** '' if unnamed. */
  readonly name: string
  /** As written ('tcp', 'udp', 'udp,tcp'); '' if not told. */
  readonly protocol: string
  readonly labels: readonly Label[]
}

export type Discovery = { readonly name: string; readonly ports: readonly DiscoveryPort[] }

export type PortMapping = {
  readonly hostPort: number
  readonly containerPort: number
  /** Lower case; 'tcp' if not told, as in Mesos. */
  readonly protocol: string
}

export type Task = {
  readonly id: string
  readonly name: string
  readonly frameworkId: string
  readonly agentId: string
  /** 'TASK_RUNNING' and its siblings; the task's own state, not a status'. */
  readonly state: string
  /** Newest TASK_RUNNING status by timestamp: where addresses come from. */
  readonly running: TaskStatus | undefined
  /** Newest status of any state. */
  readonly latest: TaskStatus | undefined
  readonly labels: readonly Label[]
  /** Ranges of the `ports` resource, both ends included, in their order. */
  readonly ports: readonly (readonly [begin: number, end: number])[]
  readonly discovery: Discovery | undefined
  /** From the container (Docker) and from the network_infos (Mesos), each once. */
  readonly portMappings: readonly PortMapping[]
  /** 'MESOS' or 'DOCKER'; '' without a container. */
  readonly containerType: string
  /** True if the task defines a Mesos health check. */
  readonly hasHealthCheck: boolean
}

/** Everything, as of one load or one event. Never changed in place once published. */
export type MesosState = {
  /** 'ip:port' of the leading master; '' if unknown. */
  readonly leader: string
  readonly frameworks: ReadonlyMap<string, Framework>
  readonly agents: ReadonlyMap<string, Agent>
  /** Keyed by `taskKey`. */
  readonly tasks: ReadonlyMap<string, Task>
}

/** A task id is unique within its framework only. */
export const taskKey = (frameworkId: string, taskId: string): string => `${frameworkId} ${taskId}`

export const emptyState: MesosState = {
  leader: '',
  frameworks: new Map(),
  agents: new Map(),
  tasks: new Map(),
}

/**
 * Host and port of a libprocess PID ('id@host:port', '[v6]:port' included) or
 * of a bare 'host:port'; undefined if it is neither (Mesos gives '' for HTTP
 * schedulers).
 */
export const pidEndpoint = (pid: string): { host: string; port: number } | undefined => {
  const at = pid.slice(pid.lastIndexOf('@') + 1)
  const colon = at.lastIndexOf(':')
  if (colon <= 0) return undefined
  const digits = at.slice(colon + 1)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : 0
  const raw = at.slice(0, colon)
  const host = raw.startsWith('[') && raw.endsWith(']') ? raw.slice(1, -1) : raw
  return host === '' || port < 1 || port > 65535 ? undefined : { host, port }
}

/**
 * Where an agent is: its PID's host, which Mesos bound and which is a
 * literal, else its host name, which may be a name to look up.
 */
export const agentHost = (agent: Agent): string => pidEndpoint(agent.pid)?.host ?? agent.hostname
