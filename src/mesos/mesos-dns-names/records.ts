/**
 * All records of the zone, updated task by task: an event costs one task, and a reload costs the differences.
 * Records that several sources contribute (agents with one address, tasks of one name) are counted and removed with
 * the last one. The records of a task are not stored but computed again when it is removed, which saves most of the
 * memory.
 */
import { agentHost, type Agent, type MesosState, type Task } from '../api/model.ts'
import { Owner, Owners, type NameRecords, type Sink } from '../dcos-names/owners.ts'
import { sameTask } from '../api/same-task.ts'
import { inOneGo, STEP } from '../dcos-names/steps.ts'
import { clusterRecords } from './cluster-records.ts'
import {
  hostAddresses,
  type AddressesOf,
  type SourceRecords,
  type MesosRecord,
  type Problem,
  type RecordOptions,
} from './record.ts'
import { NameBook } from './task-names.ts'
import { taskRecords } from './task-records.ts'

/** The input for a task's records, and its problems. */
type Entry = {
  task: Task
  readonly framework: string
  readonly agentIps: readonly string[]
  readonly problems: readonly Problem[]
}

const NOTHING: SourceRecords = { records: [], problems: [] }
const none: AddressesOf = () => []

/** Limit of problems kept for status and log. */
const MAX_PROBLEMS = 100

/** The records of one zone. */
export class ZoneRecords {
  readonly #options: RecordOptions
  readonly #book: NameBook
  readonly #owners = new Owners()
  readonly #tasks = new Map<string, Entry>()
  /** Addresses of each agent; the same array while they do not change. */
  #agentIps = new Map<string, readonly string[]>()
  #cluster: SourceRecords = NOTHING
  #masters = ''
  #problems: readonly Problem[] = []
  #state: MesosState | undefined

  constructor(options: RecordOptions) {
    this.#options = options
    this.#book = new NameBook(options)
  }

  /** Names and their records. They change only within `update` and `follow`. */
  get names(): ReadonlyMap<string, NameRecords> {
    return this.#owners.names
  }

  /** Names that could not be published, at most a hundred. */
  get problems(): readonly Problem[] {
    return this.#problems
  }

  /** The state that the records belong to; undefined before the first update. */
  get state(): MesosState | undefined {
    return this.#state
  }

  /** The records of a task in order, by `taskKey`; [] for an unknown task. */
  ofTask(key: string): readonly MesosRecord[] {
    const entry = this.#tasks.get(key)
    const records: MesosRecord[] = []
    if (entry) this.#make(entry, ({ name }, type, data) => void records.push({ name, type, data }))
    return records
  }

  /** Sets the records to those of `state`; returns the changed names, removed ones included. */
  update(
    state: MesosState,
    masters: readonly string[] = [],
    addressesOf: AddressesOf = none,
  ): ReadonlySet<string> {
    this.follow(state, masters, addressesOf)
    return new Set(this.take().map(({ name }) => name))
  }

  /**
   * Sets the records to those of `state`. `touched` are the keys of tasks whose records may have changed, also
   * through their agent or framework; without it, every task is checked.
   */
  follow(
    state: MesosState,
    masters: readonly string[],
    addressesOf: AddressesOf,
    touched?: ReadonlySet<string>,
  ): void {
    inOneGo(this.following(state, masters, addressesOf, touched))
  }

  /** The same in steps; the records must not be read in between. */
  *following(
    state: MesosState,
    masters: readonly string[],
    addressesOf: AddressesOf,
    touched?: ReadonlySet<string>,
  ): Generator<void> {
    const before = this.#state
    this.#state = state
    if (touched === undefined || before === undefined || this.#clusterMoved(before, masters)) {
      this.#masters = masters.join()
      const cluster = clusterRecords(state, masters, this.#options, addressesOf)
      this.#swap(this.#cluster.records, cluster.records)
      this.#cluster = cluster
      this.#agentIps = this.#agentAddresses(state.agents, addressesOf)
    }
    if (touched === undefined) {
      let n = 0
      for (const [key, task] of state.tasks) {
        this.#task(key, task)
        if (++n % STEP === 0) yield
      }
      for (const key of this.#tasks.keys()) if (!state.tasks.has(key)) this.#end(key)
    } else for (const key of touched) this.#task(key, state.tasks.get(key))
    this.#problems = this.#allProblems()
  }

  /** Owners that have changed since the last call, each name once. One that is not listed was removed. */
  take(): Owner[] {
    return this.#owners.take()
  }

  /** Whether the records that belong to no task may have changed. */
  #clusterMoved(before: MesosState, masters: readonly string[]): boolean {
    const { agents, frameworks, leader } = this.#state!
    // the reducer keeps the identity of an unchanged map
    return (
      agents !== before.agents ||
      frameworks !== before.frameworks ||
      leader !== before.leader ||
      masters.join() !== this.#masters
    )
  }

  #task(key: string, task: Task | undefined): void {
    const framework = task && this.#state!.frameworks.get(task.frameworkId)?.name
    const agentIps = task && this.#agentIps.get(task.agentId)
    if (task === undefined || framework === undefined || agentIps === undefined) {
      this.#end(key)
      return
    }
    const had = this.#tasks.get(key)
    const same = had?.framework === framework && had.agentIps === agentIps
    if (had !== undefined && same && sameTask(had.task, task)) {
      // so that the next comparison finds the identical object
      had.task = task
      return
    }
    const { add, remove } = this.#owners
    const problems = taskRecords(task, framework, agentIps, this.#book, add)
    // adds before it removes, so that unchanged records never disappear
    if (had) this.#make(had, remove)
    this.#tasks.set(key, { task, framework, agentIps, problems })
  }

  #end(key: string): void {
    const had = this.#tasks.get(key)
    if (had === undefined) return
    this.#make(had, this.#owners.remove)
    this.#tasks.delete(key)
  }

  #make({ task, framework, agentIps }: Entry, sink: Sink): void {
    taskRecords(task, framework, agentIps, this.#book, sink)
  }

  #allProblems(): readonly Problem[] {
    const problems = [...this.#cluster.problems]
    for (const entry of this.#tasks.values()) {
      if (problems.length >= MAX_PROBLEMS) break
      problems.push(...entry.problems)
    }
    return problems.slice(0, MAX_PROBLEMS)
  }

  #agentAddresses(
    agents: ReadonlyMap<string, Agent>,
    addressesOf: AddressesOf,
  ): Map<string, readonly string[]> {
    const all = new Map<string, readonly string[]>()
    for (const [id, agent] of agents) {
      const ips = hostAddresses(agentHost(agent), addressesOf)
      const had = this.#agentIps.get(id)
      all.set(id, had !== undefined && had.join() === ips.join() ? had : ips)
    }
    return all
  }

  /** Replaces the old records of the cluster by the new ones. */
  #swap(before: readonly MesosRecord[], after: readonly MesosRecord[]): void {
    const each = (records: readonly MesosRecord[], sink: Sink): void => {
      let owner = new Owner('')
      for (const { name, type, data } of records) {
        // records of one name follow each other
        if (owner.name !== name) owner = new Owner(name)
        sink(owner, type, data)
      }
    }
    each(after, this.#owners.add)
    each(before, this.#owners.remove)
  }
}

/** All records of one state, for a single use. */
export const recordsFromState = (
  state: MesosState,
  masters: readonly string[],
  options: RecordOptions,
  addressesOf: AddressesOf = none,
): ZoneRecords => {
  const records = new ZoneRecords(options)
  records.update(state, masters, addressesOf)
  return records
}
