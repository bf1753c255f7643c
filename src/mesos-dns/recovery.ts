/**
 * Keeps the tasks that a new leader has not reported yet. A new leader knows its agents from its log, but their
 * tasks only after the agents have registered again. Until then their tasks stay as they were. Pure.
 */
import type { Agent, Framework, MesosState, Task } from '../mesos/api/model.ts'

/** The kept part of an earlier state; empty until `begin`. */
export class Recovery {
  readonly #agents = new Map<string, Agent>()
  readonly #frameworks = new Map<string, Framework>()
  readonly #tasks = new Map<string, Task>()

  /** Keeps the missing agents from `before`, with their tasks. */
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

  /** The wait is over: drops what is still missing. */
  end(): void {
    this.#agents.clear()
    this.#frameworks.clear()
    this.#tasks.clear()
  }

  /**
   * `state` together with the kept part. An agent or task that the leader reports again is taken from `state` from
   * then on.
   */
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
