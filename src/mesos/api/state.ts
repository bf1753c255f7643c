/**
 * Parses a master's `/state`. An unusable task, framework or agent is left out and counted, so that it does not
 * invalidate the others. A document that is not a state at all is refused, so that the caller keeps its last one.
 */
import { fail } from '../../base/error.ts'
import { list, isObject, text } from './json.ts'
import {
  pidEndpoint,
  taskKey,
  type Agent,
  type Framework,
  type MesosState,
  type Task,
} from './model.ts'
import { agentFromJson, frameworkFromJson, taskFromJson } from './task-json.ts'

export type ParsedState = {
  readonly state: MesosState
  /** 'ip:port' of the master that answered; '' if unknown. A follower has no tasks. */
  readonly self: string
  /** Agents that the master knows from its log and that have not registered again. */
  readonly recovered: ReadonlySet<string>
  /** Number of unusable items. */
  readonly bad: number
}

/** Converts 'master@10.0.0.5:5050' to '10.0.0.5:5050'; '' for any other value. */
const leaderOf = (pid: unknown): string => {
  const at = text(pid)
  return pidEndpoint(at) === undefined ? '' : at.slice(at.lastIndexOf('@') + 1)
}

/** Throws EDATA if it is not a master's state. */
export const parseState = (json: unknown): ParsedState => {
  if (!isObject(json) || !Array.isArray(json.frameworks) || !Array.isArray(json.slaves)) {
    throw fail('the answer is no state of a Mesos master', 'EDATA')
  }
  const frameworks = new Map<string, Framework>()
  const agents = new Map<string, Agent>()
  const tasks = new Map<string, Task>()
  let bad = 0
  for (const item of list(json.slaves)) {
    const agent = agentFromJson(item)
    if (agent) agents.set(agent.id, agent)
    else bad++
  }
  for (const item of list(json.frameworks)) {
    const framework = frameworkFromJson(item)
    if (!framework) {
      bad++
      continue
    }
    frameworks.set(framework.id, framework)
    for (const entry of list((item as { tasks?: unknown }).tasks)) {
      const task = taskFromJson(entry, framework.id)
      if (task) tasks.set(taskKey(task.frameworkId, task.id), task)
      else bad++
    }
  }
  const recovered = new Set<string>()
  for (const item of list(json.recovered_slaves)) {
    const agent = agentFromJson(item)
    if (agent) recovered.add(agent.id)
  }
  const state = { leader: leaderOf(json.leader), frameworks, agents, tasks }
  return { state, self: leaderOf(json.pid), recovered, bad }
}
