/**
 * Parses the Mesos operator API v1: the messages of a master's SUBSCRIBE stream, and an agent's answers to GET_STATE
 * and GET_AGENT. reducer.ts applies the resulting events to the state.
 */
import { fail } from '../../base/error.ts'
import { canonicalIp, hostPort } from '../../base/ip.ts'
import { id, isObject, list, number, object, port, text, type Json } from './json.ts'
import {
  pidEndpoint,
  taskKey,
  type Agent,
  type Framework,
  type MesosState,
  type PortMapping,
  type Task,
  type TaskStatus,
} from './model.ts'
import {
  agentFromJson,
  frameworkFromEntry,
  mappingsFromStatus,
  statusFromJson,
  taskFromJson,
} from './task-json.ts'

/** Mesos's default if SUBSCRIBED does not include an interval. */
export const HEARTBEAT_MS = 15_000

export type MesosEvent =
  /** The whole state, from a new stream or from a poll of `/state`. */
  | {
      readonly type: 'load'
      readonly state: MesosState
      /** Agents and their tasks that the master knows from its log, and that have not registered again. */
      readonly recovered: ReadonlySet<string>
    }
  | { readonly type: 'task'; readonly task: Task }
  | {
      readonly type: 'status'
      readonly frameworkId: string
      readonly taskId: string
      /** The task's state, which Mesos sends beside the status; '' if it is missing. */
      readonly state: string
      readonly status: TaskStatus
      readonly portMappings: readonly PortMapping[]
    }
  | { readonly type: 'framework'; readonly framework: Framework }
  | { readonly type: 'frameworkRemoved'; readonly frameworkId: string }
  | { readonly type: 'agent'; readonly agent: Agent }
  | { readonly type: 'agentRemoved'; readonly agentId: string }

/** One message of the stream. */
export type StreamMessage =
  | {
      readonly kind: 'event'
      readonly event: MesosEvent
      readonly heartbeatMs: number
      readonly bad: number
    }
  | { readonly kind: 'heartbeat' }
  /** A type of event that is not used here. */
  | { readonly kind: 'other' }
  /** A malformed event. */
  | { readonly kind: 'bad'; readonly what: string }

/** Items of a list that `read` accepts, by key, and the number of refused ones. */
const collect = <T>(
  items: readonly unknown[],
  read: (item: unknown) => T | undefined,
  key: (value: T) => string,
): { map: Map<string, T>; bad: number } => {
  const map = new Map<string, T>()
  let bad = 0
  for (const item of items) {
    const value = read(item)
    if (value === undefined) bad++
    else map.set(key(value), value)
  }
  return { map, bad }
}

/**
 * Parses a `get_state` object of a master or an agent. Pending and finished tasks have no addresses and are left
 * out.
 */
const stateFromGetState = (
  value: unknown,
  leader: string,
): { state: MesosState; bad: number; recovered: Set<string> } => {
  const { get_tasks: tasksOf, get_frameworks: frameworksOf, get_agents: agentsOf } = object(value)
  // a master sends `tasks`, an agent `launched_tasks`
  const { tasks: running, launched_tasks: launched } = object(tasksOf)
  const tasks = collect(
    [...list(running), ...list(launched)],
    item => taskFromJson(item),
    task => taskKey(task.frameworkId, task.id),
  )
  const frameworks = collect(list(object(frameworksOf).frameworks), frameworkFromEntry, f => f.id)
  const agents = collect(list(object(agentsOf).agents), agentFromJson, agent => agent.id)
  const recovered = new Set<string>()
  for (const item of list(object(agentsOf).recovered_agents)) {
    const agent = agentFromJson(item)
    if (agent) recovered.add(agent.id)
  }
  return {
    state: { leader, frameworks: frameworks.map, agents: agents.map, tasks: tasks.map },
    bad: tasks.bad + frameworks.bad + agents.bad,
    recovered,
  }
}

const event = (of: MesosEvent, heartbeatMs = HEARTBEAT_MS, bad = 0): StreamMessage => ({
  kind: 'event',
  event: of,
  heartbeatMs,
  bad,
})

const wrong = (type: string): StreamMessage => ({ kind: 'bad', what: type })

const subscribed = (value: Json, leader: string): StreamMessage => {
  if (!isObject(value.get_state)) return wrong('SUBSCRIBED')
  const { state, bad, recovered } = stateFromGetState(value.get_state, leader)
  const seconds = number(value.heartbeat_interval_seconds)
  // an interval far outside the usual range is treated as an error and ignored
  const heartbeatMs = seconds >= 1 && seconds <= 300 ? seconds * 1_000 : HEARTBEAT_MS
  return event({ type: 'load', state, recovered }, heartbeatMs, bad)
}

const taskUpdated = (value: Json): StreamMessage => {
  const status = object(value.status)
  const taskId = id(status.task_id)
  const frameworkId = id(value.framework_id)
  if (taskId === '' || frameworkId === '') return wrong('TASK_UPDATED')
  return event({
    type: 'status',
    frameworkId,
    taskId,
    state: text(value.state),
    status: statusFromJson(status),
    portMappings: mappingsFromStatus(status),
  })
}

const framework = (type: string, value: Json): StreamMessage => {
  const of = frameworkFromEntry(value.framework)
  return of === undefined ? wrong(type) : event({ type: 'framework', framework: of })
}

/**
 * Parses one record of the stream. `leader` is the 'ip:port' of the sending master; only the leading master streams.
 */
export const messageFromJson = (json: unknown, leader: string): StreamMessage => {
  const message = object(json)
  const type = text(message.type)
  switch (type) {
    case 'HEARTBEAT':
      return { kind: 'heartbeat' }
    case 'SUBSCRIBED':
      return subscribed(object(message.subscribed), leader)
    case 'TASK_ADDED': {
      const task = taskFromJson(object(message.task_added).task)
      return task === undefined ? wrong(type) : event({ type: 'task', task })
    }
    case 'TASK_UPDATED':
      return taskUpdated(object(message.task_updated))
    case 'FRAMEWORK_ADDED':
      return framework(type, object(message.framework_added))
    case 'FRAMEWORK_UPDATED':
      return framework(type, object(message.framework_updated))
    case 'FRAMEWORK_REMOVED': {
      const frameworkId = id(object(object(message.framework_removed).framework_info).id)
      return frameworkId === '' ? wrong(type) : event({ type: 'frameworkRemoved', frameworkId })
    }
    case 'AGENT_ADDED': {
      const agent = agentFromJson(object(message.agent_added).agent)
      return agent === undefined ? wrong(type) : event({ type: 'agent', agent })
    }
    case 'AGENT_REMOVED': {
      const agentId = id(object(message.agent_removed).agent_id)
      return agentId === '' ? wrong(type) : event({ type: 'agentRemoved', agentId })
    }
    case '':
      return wrong('an event without a type')
    default:
      return { kind: 'other' }
  }
}

/** Parses an agent's answer to GET_STATE: its tasks and their frameworks. Throws EDATA if it is malformed. */
export const agentStateFromJson = (json: unknown): { state: MesosState; bad: number } => {
  const { get_state: value } = object(json)
  if (!isObject(value) || !isObject(value.get_tasks)) {
    throw fail('the answer is no GET_STATE of a Mesos agent', 'EDATA')
  }
  const { state, bad } = stateFromGetState(value, '')
  return { state, bad }
}

/**
 * Parses an agent's answer to GET_TASKS, for agents that do not permit GET_STATE. Throws EDATA if it is malformed.
 */
export const agentTasksFromJson = (json: unknown): { state: MesosState; bad: number } => {
  const { get_tasks: value } = object(json)
  if (!isObject(value)) throw fail('the answer is no GET_TASKS of a Mesos agent', 'EDATA')
  const { state, bad } = stateFromGetState({ get_tasks: value }, '')
  return { state, bad }
}

/** Parses an agent's answer to GET_AGENT. Throws EDATA if it is malformed. */
export const agentInfoFromJson = (json: unknown): Agent => {
  const agent = agentFromJson(object(json).get_agent)
  if (agent === undefined) throw fail('the answer is no GET_AGENT of a Mesos agent', 'EDATA')
  return agent
}

/** Parses a master's answer to GET_MASTER: its 'ip:port'; '' if it is missing. Never throws. */
export const masterFromJson = (json: unknown): string => {
  const { address, pid } = object(object(object(json).get_master).master_info)
  const { ip: said, port: n } = object(address)
  const [ip, at] = [canonicalIp(text(said)), port(n)]
  if (ip !== '' && at !== 0) return hostPort(ip, at)
  const endpoint = pidEndpoint(text(pid))
  return endpoint === undefined ? '' : hostPort(endpoint.host, endpoint.port)
}
