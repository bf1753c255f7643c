/**
 * The names that tasks share, made once: thousands of tasks of a cluster have
 * a few hundred names between them, and a name that is kept as its `Owner` is
 * neither made nor looked for again, which is most of what makes a full
 * rebuild cheap.
 */
import { MAX_LABEL, MAX_NAME } from '../../boundary/zone.ts'
import { label } from './label.ts'
import { Owner } from './owners.ts'

/** Which address a name stands for: of the agent, of the container, or the one that serves best. */
export type Kind = 'agentip' | 'containerip' | 'autoip'

/** Names of one kind. */
export type KindNames = {
  /** '<framework>.<kind>.<apex>' */
  readonly parent: string
  /** '<task>.<framework>.<kind>.<apex>'; undefined where that would be too long for DNS. */
  readonly owner: Owner | undefined
}

/** Service owners of one port: with and without the port's name. */
export type ServiceNames = { readonly [kind in Kind]: readonly Owner[] }

export type TaskNames = {
  /** The task's label; '' if nothing is left of its name or its framework's. */
  readonly label: string
  readonly kinds: { readonly [kind in Kind]: KindNames }
  readonly services: Map<string, ServiceNames>
}

/** Names remembered before all are forgotten and made again. */
const REMEMBERED = 20_000
/** Octets of an agent's part of a label; Mesos writes 'S123'. */
const MAX_AGENT = 20
/** Ports of one name remembered; a task's are few. */
const MAX_SERVICES = 64

/** Unless it is longer than a name can be. Labels are proper by their making. */
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

  /** By the names as Mesos has them. */
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
    const made = this.#make(label(framework), label(task))
    tasks.set(task, made)
    this.#size++
    return made
  }

  /** The service owners of a port of these names. A label of 63 octets has no room for its underscore. */
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
    const made = { agentip: of(agentip), containerip: of(containerip), autoip: of(autoip) }
    if (names.services.size >= MAX_SERVICES) names.services.clear()
    names.services.set(key, made)
    return made
  }

  /** An agent's part of an instance's label: '-s0' of 'cluster-S0'. */
  agent(id: string): string {
    let made = this.#agents.get(id)
    if (made === undefined) {
      if (this.#agents.size >= REMEMBERED) this.#agents.clear()
      const end = label(id.slice(id.lastIndexOf('-') + 1)).slice(0, MAX_AGENT)
      this.#agents.set(id, (made = end === '' ? '' : `-${end}`))
    }
    return made
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
