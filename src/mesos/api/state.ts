/**
 * A master's `/state` as our model. Tolerant by item: a task, framework or
 * agent that cannot be used is left out and counted; the original gave up the
 * whole load for one framework without a PID. What is no state at all is
 * refused, so that the caller keeps what it has.
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
  /** 'ip:port' of the master that answered; '' if it did not say. A follower knows no tasks. */
  readonly self: string
  /** Agents the master remembers from its log that have not come back yet. */
  readonly recovered: ReadonlySet<string>
  /** Items left out because they cannot be used. */
  readonly bad: number
}

/** 'master@10.0.0.5:5050' as '10.0.0.5:5050'; '' of anything else. */
const leaderOf = (pid: unknown): string => {
  const at = text(pid)
  return pidEndpoint(at) === undefined ? '' : at.slice(at.lastIndexOf('@') + 1)
}

/** Throws EDATA if it is no master's state (the caller keeps the last good one). */
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
