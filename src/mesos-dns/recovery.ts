/**
 * What a new leader has not told of yet. A master that has just been elected
 * knows its agents from its log, and their tasks only when they register
 * again; the original believed its first word, and every failover emptied the
 * zone. Until the agents are back, their tasks stay as they were. Pure.
 */
import type { Agent, Framework, MesosState, Task } from '../mesos/api/model.ts'

/** What is kept of a former state; nothing until `begin`. */
export class Recovery {
  readonly #agents = new Map<string, Agent>()
  readonly #frameworks = new Map<string, Framework>()
  readonly #tasks = new Map<string, Task>()

  /** Keeps from `before` the agents that are missing, with their tasks. */
  begin(before: MesosState, missing: ReadonlySet<string>): void {
    for (const id of missing) {
      const agent = before.agents.get(id)
      if (agent) this.#agents.set(id, agent)
    }
    for (const [key, task] of before.tasks) {
      if (!missing.has(task.agentId)) continue
      this.#tasks.set(key, task)
      const framework = before.frameworks.get(task.frameworkId)
      if (framework) this.#frameworks.set(framework.id, framework)
    }
  }

  /** The wait is over: what is still missing is gone. */
  end(): void {
    this.#agents.clear()
    this.#frameworks.clear()
    this.#tasks.clear()
  }

  /** `state` with what is kept. What the leader tells of again is its own from then on, its end included. */
  over(state: MesosState): MesosState {
    for (const key of state.tasks.keys()) this.#tasks.delete(key)
    for (const id of state.agents.keys()) this.#agents.delete(id)
    for (const id of state.frameworks.keys()) this.#frameworks.delete(id)
    if (this.#tasks.size === 0 && this.#agents.size === 0) return state
    return {
      leader: state.leader,
      agents: new Map([...state.agents, ...this.#agents]),
      frameworks: new Map([...state.frameworks, ...this.#frameworks]),
      tasks: new Map([...state.tasks, ...this.#tasks]),
    }
  }
}
