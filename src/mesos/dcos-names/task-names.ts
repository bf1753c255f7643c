/**
 * Caches the names that tasks share. Thousands of tasks of a cluster have only a few hundred different names;
 * keeping each as an `Owner` saves most of the cost of a full rebuild.
 */
import { MAX_LABEL, MAX_NAME } from '../../boundary/zone.ts'
import { label } from './label.ts'
import { Owner } from './owners.ts'

/** Which address a name stands for: the agent's, the container's, or the one that other hosts can reach. */
export type Kind = 'agentip' | 'containerip' | 'autoip'

/** Names of one kind. */
export type KindNames = {
  /** '<framework>.<kind>.<apex>' */
  readonly parent: string
  /** '<task>.<framework>.<kind>.<apex>'; undefined if that is too long for DNS. */
  readonly owner: Owner | undefined
}

/** Service owners of one port: with and without the port's name. */
export type ServiceNames = { readonly [kind in Kind]: readonly Owner[] }

export type TaskNames = {
  /** The task's label; '' if nothing is left of the task's or the framework's name. */
  readonly label: string
  readonly kinds: { readonly [kind in Kind]: KindNames }
  readonly services: Map<string, ServiceNames>
}

/** Limit of cached names; then all are dropped. */
const REMEMBERED = 20_000
/** Limit of an agent's part of a label in octets; Mesos uses 'S123'. */
const MAX_AGENT = 20
/** Limit of cached ports of one name. */
const MAX_SERVICES = 64

/** undefined if the name is too long. Its labels are valid already. */
const whole = (name: string): Owner | undefined =>
  name.length <= MAX_NAME ? new Owner(name) : undefined

export class NameBook {
  readonly #apex: string
  #frameworks = new Map<string, Map<string, TaskNames>>()
  readonly #agents = new Map<string, string>()
  #size = 0

  constructor(apex: string) {
    this.#apex = apex
  }

  /** The names for a framework and a task, as named in Mesos. */
  names(framework: string, task: string): TaskNames {
    let tasks = this.#frameworks.get(framework)
    const known = tasks?.get(task)
    if (known) return known
    if (this.#size >= REMEMBERED) {
      this.#frameworks = new Map()
      this.#size = 0
      tasks = undefined
    }
    if (!tasks) this.#frameworks.set(framework, (tasks = new Map()))
    const taskNames = this.#make(label(framework), label(task))
    tasks.set(task, taskNames)
    this.#size++
    return taskNames
  }

  /** The service owners of a port. A label of 63 octets has no room for its underscore. */
  services(names: TaskNames, portName: string, protocol: 'tcp' | 'udp'): ServiceNames {
    const key = `${protocol} ${portName}`
    const known = names.services.get(key)
    if (known) return known
    const port = label(portName)
    const of = ({ parent }: KindNames): Owner[] => {
      if (names.label.length >= MAX_LABEL) return []
      const service = `_${names.label}._${protocol}.${parent}`
      const owners =
        port === '' || port.length >= MAX_LABEL ? [service] : [service, `_${port}.${service}`]
      return owners.map(whole).filter(owner => owner !== undefined)
    }
    const { agentip, containerip, autoip } = names.kinds
    const serviceNames = { agentip: of(agentip), containerip: of(containerip), autoip: of(autoip) }
    if (names.services.size >= MAX_SERVICES) names.services.clear()
    names.services.set(key, serviceNames)
    return serviceNames
  }

  /** An agent's part of an instance's label: '-s0' for 'cluster-S0'. */
  agent(id: string): string {
    let part = this.#agents.get(id)
    if (part === undefined) {
      if (this.#agents.size >= REMEMBERED) this.#agents.clear()
      const end = label(id.slice(id.lastIndexOf('-') + 1)).slice(0, MAX_AGENT)
      this.#agents.set(id, (part = end === '' ? '' : `-${end}`))
    }
    return part
  }

  #make(framework: string, task: string): TaskNames {
    const kind = (of: Kind): KindNames => {
      const parent = `${framework}.${of}.${this.#apex}`
      return { parent, owner: whole(`${task}.${parent}`) }
    }
    return {
      label: framework === '' ? '' : task,
      kinds: { agentip: kind('agentip'), containerip: kind('containerip'), autoip: kind('autoip') },
      services: new Map(),
    }
  }
}
