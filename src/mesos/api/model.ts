/**
 * The Mesos data that names, addresses and VIPs are derived from, in one form for all sources: a master's `/state`,
 * the operator API's stream, and an agent's API. Values are as Mesos sends them; the record generators normalise
 * them.
 */

/** A Mesos label; keys may repeat, order is kept. */
export type Label = { readonly key: string; readonly value: string }

export type Framework = {
  readonly id: string
  readonly name: string
  /** Host that the scheduler registered with; '' if there is none. May be a name. */
  readonly hostname: string
  /** libprocess PID, 'scheduler-…@10.0.0.5:15201'; '' for HTTP schedulers, undefined from the operator API. */
  readonly pid: string | undefined
  /** URL of its web interface as registered; '' if there is none. */
  readonly webui: string
  readonly active: boolean
}

export type Agent = {
  readonly id: string
  /** As registered: an IP literal or a name. */
  readonly hostname: string
  /** libprocess PID, 'slave(1)@10.0.0.11:5051'; '' if unknown. */
  readonly pid: string
  readonly active: boolean
}

/** One status update of a task. */
export type TaskStatus = {
  readonly state: string
  /** Seconds since the epoch, with a fraction; 0 if unknown. */
  readonly timestamp: number
  /** Result of the Mesos health check; undefined before the first one, and without a check. */
  readonly healthy: boolean | undefined
  /** Addresses of all network_infos in order (including the old form with one address), v4 and v6 mixed. */
  readonly addresses: readonly string[]
  /** Includes Docker.NetworkSettings.IPAddress and the similar label of MesosContainerizer. */
  readonly labels: readonly Label[]
}

export type DiscoveryPort = {
  readonly number: number
  /** '' if unnamed. */
  readonly name: string
  /** As sent by Mesos ('tcp', 'udp', 'udp,tcp'); '' if unknown. */
  readonly protocol: string
  readonly labels: readonly Label[]
}

export type Discovery = { readonly name: string; readonly ports: readonly DiscoveryPort[] }

export type PortMapping = {
  readonly hostPort: number
  readonly containerPort: number
  /** Lower case; default 'tcp', as in Mesos. */
  readonly protocol: string
}

export type Task = {
  readonly id: string
  readonly name: string
  readonly frameworkId: string
  readonly agentId: string
  /** The task's own state, such as 'TASK_RUNNING'; not that of a status. */
  readonly state: string
  /** Newest TASK_RUNNING status by timestamp. The task's addresses come from it. */
  readonly running: TaskStatus | undefined
  /** Newest status of any state. */
  readonly latest: TaskStatus | undefined
  readonly labels: readonly Label[]
  /** Ranges of the `ports` resource in order, both ends included. */
  readonly ports: readonly (readonly [begin: number, end: number])[]
  readonly discovery: Discovery | undefined
  /** From the container (Docker) and from the network_infos (Mesos), without duplicates. */
  readonly portMappings: readonly PortMapping[]
  /** 'MESOS' or 'DOCKER'; '' without a container. */
  readonly containerType: string
  /** True if the task defines a Mesos health check. */
  readonly hasHealthCheck: boolean
}

/** The whole state after a load or an event. Never changed in place. */
export type MesosState = {
  /** 'ip:port' of the leading master; '' if unknown. */
  readonly leader: string
  readonly frameworks: ReadonlyMap<string, Framework>
  readonly agents: ReadonlyMap<string, Agent>
  /** Keyed by `taskKey`. */
  readonly tasks: ReadonlyMap<string, Task>
}

/** A key for a task, because its id is only unique within its framework. */
export const taskKey = (frameworkId: string, taskId: string): string => `${frameworkId} ${taskId}`

export const emptyState: MesosState = {
  leader: '',
  frameworks: new Map(),
  agents: new Map(),
  tasks: new Map(),
}

/**
 * Host and port of a libprocess PID ('id@host:port', also with '[v6]:port') or of 'host:port'; undefined if the text
 * is neither (Mesos sends '' for HTTP schedulers).
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

/** Host and port of a URL, the port from its scheme if it has none; undefined if the text is no such URL. */
const urlEndpoint = (url: string): { host: string; port: number } | undefined => {
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) return undefined
  const { hostname, port, protocol } = new URL(url)
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return { host, port: Number(port || (protocol === 'https:' ? 443 : 80)) }
}

/**
 * Where a scheduler is reached: the host to look up, '' if unknown, and the port of `_framework._tcp`, 0 for none.
 * Host and port are those of its PID. The operator API has no PIDs, and an HTTP scheduler has none; then the port is
 * that of its web interface. With `exact` only a PID that is unknown is replaced so, because Mesos-DNS publishes no
 * port of an HTTP scheduler.
 */
export const schedulerEndpoint = (
  { pid, hostname, webui }: Framework,
  exact: boolean,
): { readonly host: string; readonly port: number } => {
  const own = pidEndpoint(pid ?? '')
  if (own !== undefined) return own
  const web = exact && pid !== undefined ? undefined : urlEndpoint(webui)
  return { host: hostname === '' ? (web?.host ?? '') : hostname, port: web?.port ?? 0 }
}

/** An agent's host: that of its PID, which is a literal, otherwise its host name, which may need a look-up. */
export const agentHost = (agent: Agent): string => pidEndpoint(agent.pid)?.host ?? agent.hostname
