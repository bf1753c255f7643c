/**
 * Applies events to the state. Pure: the old state is never changed, because other code may still use it. Events
 * that arrive together are applied together, so that the maps are copied once (a copy of 10,000 tasks takes about a
 * millisecond).
 */
import { taskKey, type MesosState, type Task } from './model.ts'
import type { MesosEvent } from './operator-api.ts'
import { joinMappings } from './task-json.ts'

/** The parts of the state whose records may have changed. */
export type Changed = {
  /** True after a load. The sets then hold what changed after it. */
  readonly all: boolean
  /** By `taskKey`: tasks added, changed or removed, or whose framework or agent changed. */
  readonly tasks: ReadonlySet<string>
  readonly frameworks: ReadonlySet<string>
  readonly agents: ReadonlySet<string>
}

const NONE: ReadonlySet<string> = new Set()

/** No change. */
export const unchanged: Changed = { all: false, tasks: NONE, frameworks: NONE, agents: NONE }

/** Combines two successive changes. */
export const joinChanged = (a: Changed, b: Changed): Changed => {
  const both = (x: ReadonlySet<string>, y: ReadonlySet<string>): ReadonlySet<string> =>
    x.size === 0 ? y : y.size === 0 ? x : new Set([...x, ...y])
  return {
    all: a.all || b.all,
    tasks: both(a.tasks, b.tasks),
    frameworks: both(a.frameworks, b.frameworks),
    agents: both(a.agents, b.agents),
  }
}

export type Known = {
  readonly state: MesosState
  /** Agents that a new leader knows from its log and that have not registered again (hold.ts waits for them). */
  readonly recovered: ReadonlySet<string>
}

/** A task in one of these states has ended and leaves the state. */
const TERMINAL = new Set([
  'TASK_FINISHED',
  'TASK_FAILED',
  'TASK_KILLED',
  'TASK_LOST',
  'TASK_ERROR',
  'TASK_DROPPED',
  'TASK_GONE',
  'TASK_GONE_BY_OPERATOR',
])

/** A map that is copied on the first write. */
class Draft<T> {
  #map: ReadonlyMap<string, T>
  #own: Map<string, T> | undefined
  readonly changed = new Set<string>()

  constructor(map: ReadonlyMap<string, T>) {
    this.#map = map
  }

  get map(): ReadonlyMap<string, T> {
    return this.#own ?? this.#map
  }

  replace(map: ReadonlyMap<string, T>): void {
    this.#map = map
    this.#own = undefined
    this.changed.clear()
  }

  set(key: string, value: T): void {
    this.#own ??= new Map(this.#map)
    this.#own.set(key, value)
    this.changed.add(key)
  }

  delete(key: string): void {
    if (!this.map.has(key)) return
    this.#own ??= new Map(this.#map)
    this.#own.delete(key)
    this.changed.add(key)
  }
}

/** The task after a status update. The task's own state is used rather than that of the status (DCOS_OSS-3539). */
const updated = (task: Task, event: MesosEvent & { type: 'status' }): Task => {
  const state = event.state || event.status.state || task.state
  // a health update without container_status does not remove the addresses
  const addresses =
    event.status.addresses.length > 0 ? event.status.addresses : (task.running?.addresses ?? [])
  const status = { ...event.status, addresses }
  return {
    ...task,
    state,
    latest: status,
    running: status.state === 'TASK_RUNNING' ? status : task.running,
    portMappings: joinMappings(task.portMappings, event.portMappings),
  }
}

/**
 * The state after these events, and what they changed. Events about unknown objects, for example from the time of
 * another leader, are ignored.
 */
export const reduce = (
  known: Known,
  events: readonly MesosEvent[],
): Known & { readonly changed: Changed } => {
  let { leader } = known.state
  let { recovered } = known
  let all = false
  const tasks = new Draft(known.state.tasks)
  const frameworks = new Draft(known.state.frameworks)
  const agents = new Draft(known.state.agents)

  const touchTasks = (of: (task: Task) => boolean): void => {
    for (const [key, task] of tasks.map) if (of(task)) tasks.changed.add(key)
  }

  const apply = (event: MesosEvent): void => {
    switch (event.type) {
      case 'load':
        leader = event.state.leader
        tasks.replace(event.state.tasks)
        frameworks.replace(event.state.frameworks)
        agents.replace(event.state.agents)
        recovered = event.recovered
        all = true
        return
      case 'task': {
        const { task } = event
        const key = taskKey(task.frameworkId, task.id)
        if (TERMINAL.has(task.state)) tasks.delete(key)
        else tasks.set(key, task)
        return
      }
      case 'status': {
        const key = taskKey(event.frameworkId, event.taskId)
        const task = tasks.map.get(key)
        if (task === undefined) return
        const next = updated(task, event)
        if (TERMINAL.has(next.state)) tasks.delete(key)
        else tasks.set(key, next)
        return
      }
      case 'framework': {
        const { framework } = event
        const before = frameworks.map.get(framework.id)
        frameworks.set(framework.id, framework)
        // task names contain the framework's name, and a task may arrive before its framework
        if (before?.name !== framework.name) touchTasks(task => task.frameworkId === framework.id)
        return
      }
      case 'frameworkRemoved':
        frameworks.delete(event.frameworkId)
        for (const [key, task] of tasks.map) {
          if (task.frameworkId === event.frameworkId) tasks.delete(key)
        }
        return
      case 'agent': {
        const { agent } = event
        const before = agents.map.get(agent.id)
        agents.set(agent.id, agent)
        if (recovered.has(agent.id)) {
          const left = new Set(recovered)
          left.delete(agent.id)
          recovered = left
        }
        if (before?.hostname !== agent.hostname || before.pid !== agent.pid) {
          touchTasks(task => task.agentId === agent.id)
        }
        return
      }
      case 'agentRemoved':
        agents.delete(event.agentId)
        // its tasks stay in the state without records until Mesos reports what happened to each
        touchTasks(task => task.agentId === event.agentId)
        return
    }
  }

  for (const event of events) apply(event)
  return {
    state: { leader, frameworks: frameworks.map, agents: agents.map, tasks: tasks.map },
    recovered,
    changed: {
      all,
      tasks: tasks.changed,
      frameworks: frameworks.changed,
      agents: agents.changed,
    },
  }
}
