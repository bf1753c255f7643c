/**
 * All records of the zone, kept up to date task by task: an update computes
 * only what changed since the last one, so that an event costs one task and a
 * reload the difference. Records that several things make (agents of one
 * address, namesakes) are counted and go with the last of them. What a task
 * made is not kept but made again when it is to go: kept, it was most of the
 * memory and of the time of a rebuild.
 */
import { agentHost, type Agent, type MesosState, type Task } from '../control/mesos/model.ts'
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
import { sameTask } from './same-task.ts'
import { Tally } from './tally.ts'
import { taskRecords } from './task-records.ts'

/** A name's records by type, each counted by the things that make it. */
export type NameRecords = { readonly [type in RecordType]: Tally | undefined }
type Mutable = { [type in RecordType]: Tally | undefined }

/** What a task's records are made from, and what could not be made. */
type Entry = {
  task: Task
  readonly framework: string
  readonly agentIps: readonly string[]
  readonly problems: readonly Problem[]
}

const NOTHING: Made = { records: [], problems: [] }
const none: AddressesOf = () => []

/** Problems kept for status and log. */
const MAX_PROBLEMS = 100

/** The records of one zone over time. */
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
  #lastName = ''
  #last: Mutable | undefined

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

  /** Records a task made, in their order, by `taskKey`; [] of an unknown task. */
  ofTask(key: string): readonly MesosRecord[] {
    const entry = this.#tasks.get(key)
    return entry === undefined ? [] : this.#made(entry).records
  }

  /** Makes the records those of `state`; the names that are not as they were, ended ones included. */
  update(
    state: MesosState,
    masters: readonly string[] = [],
    addressesOf: AddressesOf = none,
  ): ReadonlySet<string> {
    this.#changed.clear()
    this.#state = state
    const cluster = clusterRecords(state, masters, this.#options, addressesOf)
    this.#swap(this.#cluster.records, cluster.records)
    this.#cluster = cluster
    this.#agentIps = this.#agentAddresses(state.agents, addressesOf)
    const before = this.#tasks
    this.#tasks = new Map()
    const problems = [...cluster.problems]
    for (const [key, task] of state.tasks) {
      const framework = state.frameworks.get(task.frameworkId)?.name
      const agentIps = this.#agentIps.get(task.agentId)
      if (framework === undefined || agentIps === undefined) continue
      const entry = this.#entry(task, framework, agentIps, before.get(key))
      this.#tasks.set(key, entry)
      if (problems.length < MAX_PROBLEMS) problems.push(...entry.problems)
    }
    for (const [key, entry] of before) {
      if (!this.#tasks.has(key)) this.#swap(this.#made(entry).records, [])
    }
    this.#problems = problems.slice(0, MAX_PROBLEMS)
    return this.#changed
  }

  #entry(
    task: Task,
    framework: string,
    agentIps: readonly string[],
    had: Entry | undefined,
  ): Entry {
    const same = had?.framework === framework && had.agentIps === agentIps
    if (had !== undefined && same && sameTask(had.task, task)) {
      // next time it is found by being the same object
      had.task = task
      return had
    }
    const { records, problems } = taskRecords(task, framework, agentIps, this.#options)
    this.#swap(had === undefined ? [] : this.#made(had).records, records)
    return { task, framework, agentIps, problems }
  }

  #made({ task, framework, agentIps }: Entry): Made {
    return taskRecords(task, framework, agentIps, this.#options)
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

  /** Takes what one thing made out and puts what it makes now in. */
  #swap(before: readonly MesosRecord[], after: readonly MesosRecord[]): void {
    // first in, then out, so that what stays never looks gone
    for (const record of after) this.#add(record)
    for (const record of before) this.#remove(record)
  }

  #add({ name, type, data }: MesosRecord): void {
    // records of one name come together, and finding a name is most of the cost
    let records = name === this.#lastName ? this.#last : this.#names.get(name)
    if (records === undefined) {
      records = { A: undefined, AAAA: undefined, SRV: undefined }
      this.#names.set(name, records)
    }
    this.#lastName = name
    this.#last = records
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
    if (records.A || records.AAAA || records.SRV) return
    this.#names.delete(name)
    this.#lastName = ''
    this.#last = undefined
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
