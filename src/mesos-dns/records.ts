/**
 * All records of the zone, kept up to date task by task: an update computes
 * only what changed since the last one, so that an event costs one task and a
 * reload costs the difference. Records that several things make (agents of
 * one address, namesakes) are counted and go with the last of them.
 */
import {
  agentHost,
  type Agent,
  type Framework,
  type MesosState,
  type Task,
} from '../control/mesos/model.ts'
import { clusterRecords } from './cluster-records.ts'
import {
  hostAddresses,
  type AddressesOf,
  type Made,
  type MesosRecord,
  type Problem,
  type RecordOptions,
  type RecordType,
} from './record.ts'
import { Tally } from './tally.ts'
import { taskRecords } from './task-records.ts'

/** A name's records by type, each counted by the things that make it. */
export type NameRecords = { readonly [type in RecordType]: Tally | undefined }
type Mutable = { [type in RecordType]: Tally | undefined }

/** What one task's records were made from, and what came of it. */
type Entry = {
  readonly task: Task
  readonly framework: Framework
  readonly agentIps: readonly string[]
  readonly made: Made
}

const NOTHING: Made = { records: [], problems: [] }
const none: AddressesOf = () => []

/** Problems kept for status and log. */
const MAX_PROBLEMS = 100

const sameRecords = (a: readonly MesosRecord[], b: readonly MesosRecord[]): boolean =>
  a.length === b.length &&
  a.every((one, i) => {
    const other = b[i]
    return (
      other !== undefined &&
      one.name === other.name &&
      one.data === other.data &&
      one.type === other.type
    )
  })

export class ZoneRecords {
  readonly #options: RecordOptions
  readonly #names = new Map<string, Mutable>()
  readonly #changed = new Set<string>()
  #tasks = new Map<string, Entry>()
  /** Addresses of each agent; the same array as long as they are the same. */
  #agentIps = new Map<string, readonly string[]>()
  #cluster: Made = NOTHING
  #problems: readonly Problem[] = []
  #state: MesosState | undefined

  constructor(options: RecordOptions) {
    this.#options = options
  }

  /** Names and their records. Changes under the reader's feet only within `update`. */
  get names(): ReadonlyMap<string, NameRecords> {
    return this.#names
  }

  /** What could not be published, the first hundred. */
  get problems(): readonly Problem[] {
    return this.#problems
  }

  /** The state they were made from; undefined before the first update. */
  get state(): MesosState | undefined {
    return this.#state
  }

  /** Records a task made itself, in their order; [] of an unknown task. */
  ofTask(key: string): readonly MesosRecord[] {
    return this.#tasks.get(key)?.made.records ?? []
  }

  /** Makes the records those of `state`; the names that are not as they were, ended ones included. */
  update(
    state: MesosState,
    masters: readonly string[] = [],
    addressesOf: AddressesOf = none,
  ): ReadonlySet<string> {
    this.#changed.clear()
    this.#state = state
    const problems: Problem[] = []
    this.#replaceCluster(clusterRecords(state, masters, this.#options, addressesOf), problems)
    this.#agentIps = this.#agentAddresses(state.agents, addressesOf)
    const before = this.#tasks
    const after = new Map<string, Entry>()
    for (const [key, task] of state.tasks) {
      const framework = state.frameworks.get(task.frameworkId)
      const agentIps = this.#agentIps.get(task.agentId)
      const had = before.get(key)
      if (framework === undefined || agentIps === undefined) continue
      const entry = this.#entry(task, framework, agentIps, had)
      after.set(key, entry)
      this.#swap(had?.made.records ?? [], entry.made.records)
      for (const problem of entry.made.problems) {
        if (problems.length < MAX_PROBLEMS) problems.push(problem)
      }
    }
    for (const [key, { made }] of before) if (!after.has(key)) this.#swap(made.records, [])
    this.#tasks = after
    this.#problems = problems
    return this.#changed
  }

  #entry(
    task: Task,
    framework: Framework,
    agentIps: readonly string[],
    had: Entry | undefined,
  ): Entry {
    if (had?.task === task && had.framework === framework && had.agentIps === agentIps) return had
    const made = taskRecords(task, framework, agentIps, this.#options)
    return { task, framework, agentIps, made }
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

  #replaceCluster(made: Made, problems: Problem[]): void {
    this.#swap(this.#cluster.records, made.records)
    this.#cluster = made
    problems.push(...made.problems)
  }

  /** Takes what one thing made out and puts what it makes now in. */
  #swap(before: readonly MesosRecord[], after: readonly MesosRecord[]): void {
    if (before === after || sameRecords(before, after)) return
    // first in, then out, so that what stays never looks gone
    for (const record of after) this.#add(record)
    for (const record of before) this.#remove(record)
  }

  #add({ name, type, data }: MesosRecord): void {
    let records = this.#names.get(name)
    if (records === undefined) {
      records = { A: undefined, AAAA: undefined, SRV: undefined }
      this.#names.set(name, records)
    }
    const tally = records[type]
    if (tally === undefined) records[type] = new Tally(data)
    else if (!tally.add(data)) return
    this.#changed.add(name)
  }

  #remove({ name, type, data }: MesosRecord): void {
    const records = this.#names.get(name)
    const tally = records?.[type]
    if (records === undefined || tally === undefined || !tally.remove(data)) return
    this.#changed.add(name)
    if (tally.size === 0) records[type] = undefined
    if (!records.A && !records.AAAA && !records.SRV) this.#names.delete(name)
  }
}

/** All records of one state, for those who need them once. */
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
