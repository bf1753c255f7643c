/** A master's `/state`: plain ids, ports as a string, labels as arrays. */
import {
  container,
  discovery,
  frameworkOf,
  health,
  status,
  VERSION,
  type Json,
} from './task-json.ts'
import type { World, WorldAgent, WorldTask } from './world.ts'

const stateTask = (world: World, task: WorldTask): Json => ({
  id: task.id,
  name: task.app.name,
  framework_id: frameworkOf(world, task),
  executor_id: '',
  slave_id: task.agent.id,
  state: task.state,
  resources: {
    cpus: 0.1,
    mem: 64,
    disk: 0,
    gpus: 0,
    ports: `[${task.hostPorts.map(port => `${port}-${port}`).join(', ')}]`,
  },
  statuses: task.statuses.map(one => status(task, one)),
  labels: [],
  ...discovery(task),
  ...container(task),
  ...health(task),
})

const stateAgent = ({ id, address, port }: WorldAgent): Json => ({
  id,
  hostname: address,
  port,
  pid: `slave(1)@${address}:${port}`,
  active: true,
  version: VERSION,
  attributes: {},
})

/** The part of the world that a master knows: only agents that have registered with it. */
export type Sight = {
  /** 'address:port' of this master and of the leader, '' if there is none. */
  readonly self: string
  readonly leader: string
  /** A follower knows only which master leads. */
  readonly leading: boolean
  /** Agents known from the log that have not registered again. */
  readonly missing: ReadonlySet<string>
}

/** The state as this master sees it. */
export const stateJson = (world: World, { self, leader, leading, missing }: Sight): Json => {
  const [address = '', port = ''] = self.split(':')
  const agents = leading ? world.agents : []
  const tasks = leading ? world.tasks.filter(task => !missing.has(task.agent.id)) : []
  return {
    version: VERSION,
    id: `${world.id}-${address}`,
    pid: `master@${self}`,
    hostname: address,
    ...(leader === ''
      ? {}
      : {
          leader: `master@${leader}`,
          leader_info: { hostname: leader.split(':')[0], port: Number(leader.split(':')[1]) },
        }),
    cluster: 'demo',
    flags: { port },
    slaves: agents.filter(({ id }) => !missing.has(id)).map(stateAgent),
    recovered_slaves: agents.filter(({ id }) => missing.has(id)).map(stateAgent),
    frameworks: (leading ? world.frameworks : []).map(framework => ({
      id: framework.id,
      name: framework.name,
      pid: framework.pid,
      hostname: framework.pid.slice(framework.pid.indexOf('@') + 1).split(':')[0],
      active: true,
      connected: true,
      tasks: tasks
        .filter(task => task.app.framework === framework.name)
        .map(task => stateTask(world, task)),
      unreachable_tasks: [],
      completed_tasks: [],
    })),
    completed_frameworks: [],
    orphan_tasks: [],
    unregistered_frameworks: [],
  }
}
