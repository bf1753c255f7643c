/**
 * `dcos.thisdcos.directory` as it follows the Mesos state: which tasks' shares
 * are in it, and what a change of the state changes about it. While a new
 * leader's agents are still coming back (hold.ts), what it does not know yet
 * stays.
 */
import type { Owner } from '../../boundary.ts'
import type { ZoneMap } from '../zone.ts'
import type { MesosState } from './model.ts'
import { RecordIndex } from './record-index.ts'
import type { Changed } from './reducer.ts'
import { NameBook } from './task-names.ts'
import { masterShares, taskShares } from './task-records.ts'

/** No task has this key: theirs have a space in it. */
const MASTERS = 'masters'

export class TaskZone {
  readonly #apex: string
  readonly #index: RecordIndex
  readonly #book: NameBook
  /** Tasks in the zone that the state does not know, until the hold ends. */
  readonly #held = new Set<string>()

  constructor(apex: string, ttl: number) {
    this.#apex = apex
    this.#book = new NameBook(apex)
    this.#index = new RecordIndex(ttl)
  }

  /** Follow the state; with `keepMissing` a load takes nothing away. */
  update(state: MesosState, changed: Changed, keepMissing: boolean): void {
    if (changed.all) {
      for (const key of state.tasks.keys()) this.#task(key, state)
      for (const key of [...this.#index.keys()]) {
        if (key === MASTERS || state.tasks.has(key)) continue
        if (keepMissing) this.#held.add(key)
        else this.#index.set(key, [])
      }
    } else for (const key of changed.tasks) this.#task(key, state)
    if (!keepMissing) this.release()
  }

  /** The hold is over: what is missing is gone. */
  release(): void {
    for (const key of this.#held) this.#index.set(key, [])
    this.#held.clear()
  }

  /** The names of the masters (addresses, in order) and of the leader. */
  masters(state: MesosState, masters: readonly string[]): void {
    this.#index.set(MASTERS, masterShares(state, masters, this.#apex))
  }

  /** What changed since the last call. */
  take(): { set: Owner[]; drop: string[] } {
    return this.#index.take()
  }

  /** All of it. Counts as a `take`. */
  zone(): ZoneMap {
    return this.#index.zone()
  }

  get size(): number {
    return this.#index.size
  }

  #task(key: string, state: MesosState): void {
    const task = state.tasks.get(key)
    this.#held.delete(key)
    if (task === undefined) return this.#index.set(key, [])
    const framework = state.frameworks.get(task.frameworkId)
    const agent = state.agents.get(task.agentId)
    this.#index.set(key, taskShares(task, framework, agent, this.#book))
  }
}
