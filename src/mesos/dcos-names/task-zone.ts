/**
 * The zone `dcos.thisdcos.directory`: keeps the records equal to the Mesos state, and computes the changes. An
 * unchanged task costs one comparison. While a new leader waits for its agents (mesos/api/hold.ts), records of missing
 * tasks stay.
 */
import type { Owner as OwnerData, RRset } from '../../boundary/messages.ts'
import type { ZoneMap } from '../../boundary/zone.ts'
import { ZoneView } from '../../boundary/zone-view.ts'
import type { MesosState, Task } from '../api/model.ts'
import { Owners, RECORD_TYPES, type Owner, type Sink } from './owners.ts'
import type { Changed } from '../api/reducer.ts'
import { inOneGo, STEP } from './steps.ts'
import { sameTask } from '../api/same-task.ts'
import { keptValues, valuesOf } from './tally.ts'
import { NameBook } from './task-names.ts'
import { agentAddress, isNamed, masterRecords, taskRecords } from './task-records.ts'

/** The input for a task's records. */
type Entry = { task: Task; readonly framework: string; readonly host: string }

type Masters = { readonly leader: string; readonly masters: readonly string[] }

export class TaskZone {
  /** The current zone; it changes with the state. */
  readonly live: ZoneMap
  readonly #apex: string
  readonly #ttl: number
  readonly #owners = new Owners()
  readonly #book: NameBook
  /** Tasks with records. */
  readonly #tasks = new Map<string, Entry>()
  /** Tasks with records that are missing from the state, until the hold ends. */
  readonly #held = new Set<string>()
  #masters: Masters = { leader: '', masters: [] }

  constructor(apex: string, ttl: number) {
    this.#apex = apex
    this.#ttl = ttl
    this.#book = new NameBook(apex)
    this.live = new ZoneView(this.#owners.names, owner => this.#rrsets(owner))
  }

  /** Applies a state; with `keepMissing`, a load removes nothing. */
  update(state: MesosState, changed: Changed, keepMissing: boolean): void {
    inOneGo(this.updating(state, changed, keepMissing))
  }

  /** The same in steps of a few milliseconds; a large cluster takes dozens. */
  *updating(state: MesosState, changed: Changed, keepMissing: boolean): Generator<void> {
    if (changed.all) {
      let n = 0
      for (const key of state.tasks.keys()) {
        this.#task(key, state)
        if (++n % STEP === 0) yield
      }
      for (const key of this.#tasks.keys()) {
        if (state.tasks.has(key)) continue
        if (keepMissing) this.#held.add(key)
        else this.#end(key)
      }
    } else for (const key of changed.tasks) this.#task(key, state)
    if (!keepMissing) this.release()
  }

  /** The hold is over: removes the records of missing tasks. */
  release(): void {
    for (const key of this.#held) this.#end(key)
    this.#held.clear()
  }

  /** Sets the names of the masters (addresses in order) and of the leader. */
  masters({ leader }: MesosState, masters: readonly string[]): void {
    const before = this.#masters
    if (before.leader === leader && before.masters.join() === masters.join()) return
    this.#masters = { leader, masters: [...masters] }
    masterRecords(leader, masters, this.#apex, this.#owners.add)
    masterRecords(before.leader, before.masters, this.#apex, this.#owners.remove)
  }

  /** The changes since the last call. */
  take(): { set: OwnerData[]; drop: string[] } {
    const set: OwnerData[] = []
    const drop: string[] = []
    for (const owner of this.#owners.take()) {
      if (owner.listed) set.push([owner.name, this.#rrsets(owner)])
      else drop.push(owner.name)
    }
    return { set, drop }
  }

  /** Returns `live`; counts as a `take`. */
  zone(): ZoneMap {
    this.#owners.take()
    return this.live
  }

  get size(): number {
    return this.#owners.names.size
  }

  #task(key: string, state: MesosState): void {
    this.#held.delete(key)
    const task = state.tasks.get(key)
    const framework = task && state.frameworks.get(task.frameworkId)
    const agent = task && state.agents.get(task.agentId)
    if (!task || !framework || !agent || !isNamed(task)) return this.#end(key)
    const host = agentAddress(agent)
    const had = this.#tasks.get(key)
    if (had?.framework === framework.name && had.host === host && sameTask(had.task, task)) {
      // so that the next comparison finds the identical object
      had.task = task
      return
    }
    const entry = { task, framework: framework.name, host }
    this.#make(entry, this.#owners.add)
    // adds before it removes, so that unchanged records never disappear
    if (had) this.#make(had, this.#owners.remove)
    this.#tasks.set(key, entry)
  }

  #end(key: string): void {
    const had = this.#tasks.get(key)
    if (had === undefined) return
    this.#make(had, this.#owners.remove)
    this.#tasks.delete(key)
  }

  #make({ task, framework, host }: Entry, sink: Sink): void {
    taskRecords(task, framework, host, this.#book, sink)
  }

  /** In a fixed order, so that equal zones compare equal. */
  #rrsets(owner: Owner): RRset[] {
    const rrsets: RRset[] = []
    for (const type of RECORD_TYPES) {
      const tally = owner[type]
      if (tally === undefined) continue
      const values = valuesOf(tally)
      const data = values.length === 1 ? keptValues(tally) : [...values].sort()
      rrsets.push({ type, ttl: this.#ttl, data })
    }
    return rrsets
  }
}
