/**
 * The records of one task: its plain and its canonical name with the task's addresses, both again under `slave` with
 * its agent's addresses, and SRV records for its ports. The rules are those of Mesos-DNS, but a name that cannot
 * exist is reported as a problem. task-names.ts creates the names.
 */
import { addressType } from '../../base/ip.ts'
import type { Task } from '../api/model.ts'
import { flat, Owner, type RecordType, type Sink } from '../dcos-names/owners.ts'
import { taskHash } from '../dcos-names/zbase32.ts'
import { octetsOf } from './given-name.ts'
import { MAX_NAME, MAX_PROBLEMS, plainIps, srvData, type IpSource, type Problem } from './record.ts'
import type { NameBook, Spelling } from './task-names.ts'

/** Limit of ports of one task that get SRV records. */
const MAX_PORTS = 1_000

const DOCKER_IP = 'Docker.NetworkSettings.IPAddress'
const MESOS_IP = 'MesosContainerizer.NetworkSettings.IPAddress'

const fromSource = (
  task: Task,
  agentIps: readonly string[],
  source: IpSource,
): readonly string[] => {
  if (source === 'host') return agentIps
  if (source === 'netinfo') {
    const ips = task.running?.addresses ?? []
    // all are in canonical spelling already
    return ips.some(ip => ip.startsWith('::ffff:')) ? plainIps(ips) : ips
  }
  const key = source === 'docker' ? DOCKER_IP : MESOS_IP
  const labels = task.running?.labels ?? []
  return plainIps(labels.filter(of => of.key === key).map(of => of.value))
}

/** The task's own addresses: those of the first source that has any. */
const taskAddresses = (
  task: Task,
  agentIps: readonly string[],
  sources: readonly IpSource[],
): readonly string[] => {
  for (const source of sources) {
    const ips = fromSource(task, agentIps, source)
    if (ips.length > 0) return ips
  }
  return []
}

const NO_PROBLEMS: readonly Problem[] = Object.freeze([])

/** Writes the records of one task and collects its problems. */
class TaskRecordWriter {
  readonly #task: Task
  readonly #book: NameBook
  readonly #sink: Sink
  #problems: Problem[] | undefined

  constructor(task: Task, book: NameBook, sink: Sink) {
    this.#task = task
    this.#book = book
    this.#sink = sink
  }

  get problems(): readonly Problem[] {
    return this.#problems ?? NO_PROBLEMS
  }

  problem(reason: string): void {
    this.#problems ??= []
    if (this.#problems.length < MAX_PROBLEMS)
      this.#problems.push({ subject: this.#task.id, reason })
  }

  spelling(
    of: Spelling,
    suffix: string,
    ips: readonly string[],
    agentIps: readonly string[],
  ): void {
    const canonical = of.canonical(suffix)
    const own = flat(canonical, '.', of.ownScope)
    const slave = flat(canonical, '.', of.slaveScope)
    if (ips.length > 0) {
      this.#addresses(of.own, ips)
      this.#addresses(new Owner(own), ips)
    }
    if (agentIps.length > 0) {
      this.#addresses(of.slave, agentIps)
      this.#addresses(new Owner(slave), agentIps)
    }
    if (!of.fits) return this.problem('its name is too long for an SRV record')
    const { discovery } = this.#task
    const discovered = discovery !== undefined && discovery.name !== ''
    if (this.#fits(slave)) this.#resources(of, slave, !discovered)
    if (discovered && this.#fits(own)) this.#discovered(of, own)
  }

  /** SRV records for port resources: one per port and protocol, with the agent as target. */
  #resources(of: Spelling, target: string, ownToo: boolean): void {
    let left = MAX_PORTS
    for (const [begin, end] of this.#task.ports) {
      for (let port = begin; port <= end; port++) {
        if (--left < 0) return this.problem(`it has more than ${MAX_PORTS} ports`)
        const data = srvData(this.#book.options.srvWeight, target, port)
        for (const service of of.slaveServices) this.#put(service, 'SRV', data)
        if (ownToo) for (const service of of.ownServices) this.#put(service, 'SRV', data)
      }
    }
  }

  /** SRV records for discovery ports, with the task as target; a named port has an additional name. */
  #discovered(of: Spelling, target: string): void {
    const ports = this.#task.discovery?.ports ?? []
    if (ports.length > MAX_PORTS) this.problem(`it has more than ${MAX_PORTS} ports`)
    for (const { number, name, protocol } of ports.slice(0, MAX_PORTS)) {
      const { owners, tooLong } = of.port(name, protocol, this.#book)
      if (tooLong) this.problem('the name of a port is too long')
      const data = srvData(this.#book.options.srvWeight, target, number)
      for (const owner of owners) this.#put(owner, 'SRV', data)
    }
  }

  #addresses(owner: Owner | undefined, ips: readonly string[]): void {
    if (owner === undefined) return
    for (const ip of ips) this.#put(owner, addressType(ip), ip)
  }

  /** The labels of a name are valid; only its total length must be checked. */
  #put(owner: Owner, type: RecordType, data: string): void {
    if (this.#fits(owner.name)) this.#sink(owner, type, data)
  }

  /** Whether a name is short enough as a whole, for an owner or for the target of an SRV record; if not, says so. */
  #fits(name: string): boolean {
    if (octetsOf(name) <= MAX_NAME) return true
    this.problem(`${name.slice(0, 40)}… is longer than a name can be`)
    return false
  }
}

/**
 * Passes the records of one task to `sink`, the same ones each time; none if the task is not running. Returns its
 * problems. It uses the fields that mesos/api/same-task.ts compares. `agentIps` are its agent's addresses
 * (`hostAddresses`). Never throws.
 */
export const taskRecords = (
  task: Task,
  framework: string,
  agentIps: readonly string[],
  book: NameBook,
  sink: Sink,
): readonly Problem[] => {
  if (task.state !== 'TASK_RUNNING') return NO_PROBLEMS
  const writer = new TaskRecordWriter(task, book, sink)
  const said = task.discovery?.name ?? ''
  const { spellings, problems } = book.names(framework, said === '' ? task.name : said, said !== '')
  for (const problem of problems) writer.problem(problem)
  if (spellings.length === 0) return writer.problems
  const ips = taskAddresses(task, agentIps, book.options.ipSources)
  if (ips.length === 0) writer.problem('it has no address')
  const suffix = `-${taskHash(task.id)}${book.agent(task.agentId)}`
  for (const spelling of spellings) writer.spelling(spelling, suffix, ips, agentIps)
  return writer.problems
}
