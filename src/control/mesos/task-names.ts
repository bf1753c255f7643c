/**
 * The names that tasks share, made once: thousands of tasks of a cluster have
 * a few hundred names between them, and one string for all uses of a name is
 * most of what makes a full rebuild cheap (its hash is computed once).
 */
import { MAX_LABEL, MAX_NAME } from '../zone.ts'
import { label } from './label.ts'

/** Which address a name stands for: of the agent, of the container, or the one that serves best. */
export type Kind = 'agentip' | 'containerip' | 'autoip'

/** Names of one kind; '' where a name would be too long for DNS. */
export type KindNames = {
  /** '<framework>.<kind>.<apex>' */
  readonly parent: string
  /** '<task>.<framework>.<kind>.<apex>' */
  readonly owner: string
}

/** Service owners of one port: with and without the port's name. */
export type ServiceNames = { readonly [kind in Kind]: readonly string[] }

export type TaskNames = {
  /** The task's label; '' if nothing is left of its name or its framework's. */
  readonly label: string
  readonly kinds: { readonly [kind in Kind]: KindNames }
  readonly services: Map<string, ServiceNames>
}

/** Names remembered before all are forgotten and made again. */
const REMEMBERED = 20_000
/** Ports of one name remembered; a task's are few. */
const MAX_SERVICES = 64

/** '' if it is longer than a name can be. Labels are proper by their making. */
const whole = (name: string): string => (name.length <= MAX_NAME ? name : '')

export class NameBook {
  readonly #apex: string
  #frameworks = new Map<string, Map<string, TaskNames>>()
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
    const of = ({ parent }: KindNames): string[] => {
      const service = `_${names.label}._${protocol}.${parent}`
      const owners =
        port === '' || port.length >= MAX_LABEL ? [service] : [service, `_${port}.${service}`]
      return names.label.length >= MAX_LABEL ? [] : owners.filter(owner => owner.length <= MAX_NAME)
    }
    const { agentip, containerip, autoip } = names.kinds
    const made = { agentip: of(agentip), containerip: of(containerip), autoip: of(autoip) }
    if (names.services.size >= MAX_SERVICES) names.services.clear()
    names.services.set(key, made)
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
