/**
 * Caches the names that tasks share. Thousands of tasks of a cluster have only a few hundred different names;
 * keeping each as an `Owner` avoids creating it and looking it up again (see mesos/dcos-names/owners.ts).
 */
import { domainFrag, label } from '../dcos-names/label.ts'
import { Owner } from '../dcos-names/owners.ts'
import { cutLabel, givenName, octetsOf } from './given-name.ts'
import { MAX_LABEL, speller, type RecordOptions } from './record.ts'

/** `_<name>._tcp` and `_<name>._udp` in one scope. */
type Services = readonly [tcp: Owner, udp: Owner]

/** The owners for one discovery port: for each protocol, with and without the port's name. */
export type PortOwners = { readonly owners: readonly Owner[]; readonly tooLong: boolean }

/** A task's name in one spelling, below its framework. */
export class Spelling {
  /** As text with escapes; '' has only canonical names and services, as in Mesos-DNS. */
  readonly name: string
  /** `<name>.<framework>.<domain>` and `<name>.<framework>.slave.<domain>`; undefined if they cannot be owners. */
  readonly own: Owner | undefined
  readonly slave: Owner | undefined
  /** `<framework>.<domain>` and `<framework>.slave.<domain>` */
  readonly ownScope: string
  readonly slaveScope: string
  /** Whether `_<name>` fits into a label. */
  readonly fits: boolean
  /** Services of the port resources. */
  readonly ownServices: Services
  readonly slaveServices: Services
  readonly #last: number
  readonly #ports = new Map<string, PortOwners>()

  constructor(name: string, ownScope: string, slaveScope: string) {
    this.name = name
    this.ownScope = ownScope
    this.slaveScope = slaveScope
    // an owner `*` would answer for every name of its framework (RFC 4592)
    const owns = name !== '' && name !== '*' && !name.startsWith('*.')
    this.own = owns ? new Owner(`${name}.${ownScope}`) : undefined
    this.slave = owns ? new Owner(`${name}.${slaveScope}`) : undefined
    const services = (scope: string): Services => [
      new Owner(`_${name}._tcp.${scope}`),
      new Owner(`_${name}._udp.${scope}`),
    ]
    this.ownServices = services(ownScope)
    this.slaveServices = services(slaveScope)
    const first = name.indexOf('.')
    this.fits = octetsOf(first < 0 ? name : name.slice(0, first)) < MAX_LABEL
    this.#last = octetsOf(name.slice(name.lastIndexOf('.') + 1))
  }

  /**
   * `<name>-<hash>-<agent>`, with the name cut so that the label fits. Mesos-DNS creates labels of more than 63
   * octets, which cannot be queried.
   */
  canonical(suffix: string): string {
    const { name } = this
    const room = MAX_LABEL - suffix.length
    if (this.#last <= room) return name + suffix
    const from = name.lastIndexOf('.') + 1
    return name.slice(0, from) + cutLabel(name.slice(from), room) + suffix
  }

  /** The owners for a port with this name and protocol. */
  port(portName: string, protocol: string, { options, spell }: NameBook): PortOwners {
    const key = `${protocol} ${portName}`
    const known = this.#ports.get(key)
    if (known) return known
    const service = spell(portName)
    const owners: Owner[] = []
    for (const proto of protocolsOf(protocol, spell, options.compat)) {
      const of = `_${this.name}._${proto}.${this.ownScope}`
      owners.push(new Owner(of))
      if (service !== '' && service.length < MAX_LABEL) owners.push(new Owner(`_${service}.${of}`))
    }
    const portOwners = { owners, tooLong: service.length >= MAX_LABEL }
    if (this.#ports.size >= MAX_PORT_NAMES) this.#ports.clear()
    this.#ports.set(key, portOwners)
    return portOwners
  }
}

/** A task's name in all its spellings, or why it has none. */
export type TaskNames = {
  readonly spellings: readonly Spelling[]
  readonly problems: readonly string[]
}

/** Limit of cached names; then all are dropped. */
const REMEMBERED = 20_000
/** Limit of cached ports of one name. */
const MAX_PORT_NAMES = 64
/** Limit of the agent's part of a canonical name in octets; Mesos uses 'S123'. */
const MAX_AGENT = 20

/**
 * The protocols of a discovery port, both if none is set. Marathon writes 'udp,tcp' for both, of which Mesos-DNS
 * makes one protocol, 'udptcp'.
 */
const protocolsOf = (
  protocol: string,
  spell: (s: string) => string,
  compat: boolean,
): readonly string[] => {
  const said = new Set((compat ? [protocol] : protocol.split(',')).map(spell))
  const usable = [...said].filter(one => one !== '' && one.length < MAX_LABEL)
  return usable.length > 0 ? usable : ['tcp', 'udp']
}

/** A cache of names with a limited size. */
export class NameBook {
  readonly options: RecordOptions
  readonly spell: (s: string) => string
  readonly #frameworks = new Map<string, Map<string, TaskNames>>()
  readonly #agents = new Map<string, string>()
  #size = 0

  constructor(options: RecordOptions) {
    this.options = options
    this.spell = speller(options)
  }

  /** Keyed by the framework's name and the task's; `discovered` tells whether the name is from DiscoveryInfo. */
  names(framework: string, task: string, discovered: boolean): TaskNames {
    if (this.#size >= REMEMBERED) {
      this.#frameworks.clear()
      this.#size = 0
    }
    const within = discovered ? framework : `${framework}\0`
    let tasks = this.#frameworks.get(within)
    if (tasks === undefined) this.#frameworks.set(within, (tasks = new Map()))
    let names = tasks.get(task)
    if (names === undefined) {
      tasks.set(task, (names = this.#make(framework, task, discovered)))
      this.#size++
    }
    return names
  }

  /** An agent's part of a canonical name: '-s0' for 'cluster-S0'. */
  agent(id: string): string {
    let part = this.#agents.get(id)
    if (part === undefined) {
      if (this.#agents.size >= REMEMBERED) this.#agents.clear()
      const short = label(id.slice(id.lastIndexOf('-') + 1))
        .slice(0, MAX_AGENT)
        .replace(/-+$/, '')
      this.#agents.set(id, (part = short === '' ? '' : `-${short}`))
    }
    return part
  }

  #make(framework: string, task: string, discovered: boolean): TaskNames {
    const { compat, domain } = this.options
    const fw = domainFrag(framework, this.spell)
    const name = this.spell(task)
    const given = discovered ? givenName(task, compat) : ''
    const problems: string[] = []
    if (fw === '') problems.push('its framework has no usable name')
    if (name === '' && given === '' && !compat) problems.push('it has no usable name')
    if (problems.length > 0) return { spellings: [], problems }
    const spelt = (one: string): Spelling =>
      new Spelling(one, `${fw}.${domain}`, `${fw}.slave.${domain}`)
    const spellings: Spelling[] = []
    // the given name is published beside the normalised one: web.shop beside web-shop
    if (given !== '' && given !== name) spellings.push(spelt(given))
    if (name !== '' || compat) spellings.push(spelt(name))
    return { spellings, problems }
  }
}
