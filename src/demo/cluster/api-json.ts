/** The operator API v1 of masters and agents: ids in `{value}`, resources a list. */
import {
  container,
  discovery,
  frameworkOf,
  health,
  status,
  value,
  VERSION,
  type Json,
} from './task-json.ts'
import type {
  World,
  WorldAgent,
  WorldEvent,
  WorldFramework,
  WorldStatus,
  WorldTask,
} from './world.ts'

const range = (port: number): Json => ({ begin: port, end: port })

const apiTask = (world: World, task: WorldTask): Json => ({
  name: task.app.name,
  task_id: value(task.id),
  framework_id: value(frameworkOf(world, task)),
  agent_id: value(task.agent.id),
  state: task.state,
  resources: [
    { name: 'cpus', type: 'SCALAR', scalar: { value: 0.1 } },
    { name: 'ports', type: 'RANGES', ranges: { range: task.hostPorts.map(range) } },
  ],
  statuses: task.statuses.map(one => apiStatus(task, one)),
  ...discovery(task),
  ...container(task),
  ...health(task),
})

const apiStatus = (task: WorldTask, one: WorldStatus): Json => ({
  task_id: value(task.id),
  agent_id: value(task.agent.id),
  ...status(task, one),
})

const agentInfo = ({ id, address, port }: WorldAgent): Json => ({
  id: value(id),
  hostname: address,
  port,
  attributes: [],
  resources: [],
})

const apiAgent = (agent: WorldAgent): Json => ({
  agent_info: agentInfo(agent),
  active: true,
  version: VERSION,
  pid: `slave(1)@${agent.address}:${agent.port}`,
})

const apiFramework = ({ id, name, pid }: WorldFramework): Json => {
  const hostname = pid.slice(pid.indexOf('@') + 1).split(':')[0]
  return {
    framework_info: {
      id: value(id),
      name,
      user: 'root',
      hostname,
      webui_url: `http://${hostname}:8080`,
    },
    active: true,
    connected: true,
  }
}

/** First event of a SUBSCRIBE stream. */
export const subscribedJson = (
  world: World,
  missing: ReadonlySet<string>,
  heartbeatSeconds: number,
): Json => ({
  type: 'SUBSCRIBED',
  subscribed: {
    heartbeat_interval_seconds: heartbeatSeconds,
    get_state: {
      get_tasks: {
        tasks: world.tasks
          .filter(task => !missing.has(task.agent.id))
          .map(task => apiTask(world, task)),
      },
      get_frameworks: { frameworks: world.frameworks.map(apiFramework) },
      get_agents: {
        agents: world.agents.filter(({ id }) => !missing.has(id)).map(apiAgent),
        recovered_agents: world.agents.filter(({ id }) => missing.has(id)).map(agentInfo),
      },
    },
  },
})

/** One more event of the stream. */
export const eventJson = (world: World, { kind, task }: WorldEvent): Json => {
  if (kind === 'added') return { type: 'TASK_ADDED', task_added: { task: apiTask(world, task) } }
  const last = task.statuses.at(-1)
  return {
    type: 'TASK_UPDATED',
    task_updated: {
      framework_id: value(frameworkOf(world, task)),
      state: task.state,
      status: last === undefined ? {} : apiStatus(task, last),
    },
  }
}

/** An agent has registered again, with all it runs. */
export const agentAddedJson = (world: World, agent: WorldAgent): readonly Json[] => [
  { type: 'AGENT_ADDED', agent_added: { agent: apiAgent(agent) } },
  ...world.tasks
    .filter(task => task.agent.id === agent.id)
    .map(task => ({ type: 'TASK_ADDED', task_added: { task: apiTask(world, task) } })),
]

/** An agent's answers; undefined to a call it does not know. */
export const agentAnswerJson = (
  world: World,
  agent: WorldAgent,
  type: unknown,
): Json | undefined => {
  const tasks = {
    launched_tasks: world.tasks
      .filter(task => task.agent.id === agent.id)
      .map(task => apiTask(world, task)),
  }
  switch (type) {
    case 'GET_AGENT':
      return { type, get_agent: { agent_info: agentInfo(agent) } }
    case 'GET_TASKS':
      return { type, get_tasks: tasks }
    case 'GET_STATE':
      return {
        type,
        get_state: {
          get_tasks: tasks,
          get_executors: {},
          get_frameworks: { frameworks: world.frameworks.map(apiFramework) },
        },
      }
    default:
      return undefined
  }
}
