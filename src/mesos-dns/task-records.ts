/**
 * The records of one task, as a pure function of the task: its plain and its
 * canonical name with its own addresses, both again under `slave` with its
 * agent's, and SRV records for its ports. Rules as in Mesos-DNS; where that
 * would publish a name that cannot exist there is a problem to report.
 */
import { domainFrag, label } from '../control/mesos/label.ts'
import type { Task } from '../control/mesos/model.ts'
import { taskHash } from '../control/mesos/zbase32.ts'
import {
  Maker,
  MAX_LABEL,
  MAX_NAME,
  plainIps,
  speller,
  type IpSource,
  type Made,
  type RecordOptions,
} from './record.ts'

/** Ports of one task that get SRV records; nobody looks up a thousand. */
const MAX_PORTS = 1_000
/** Room for the agent's part of a canonical name; Mesos writes 'S123'. */
const MAX_AGENT = 20

const DOCKER_IP = 'Docker.NetworkSettings.IPAddress'
const MESOS_IP = 'MesosContainerizer.NetworkSettings.IPAddress'

/** A label of a name that is taken as it was given. */
const GIVEN_LABEL = /^[a-z0-9_](?:[-a-z0-9_]*[a-z0-9_])?$/

const fromSource = (
  task: Task,
  agentIps: readonly string[],
  source: IpSource,
): readonly string[] => {
  if (source === 'host') return agentIps
  if (source === 'netinfo') return plainIps(task.running?.addresses ?? [])
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

/** A DiscoveryInfo name in lower case, dots and all, if that is a name; else ''. */
const givenName = (name: string): string => {
  const lower = name.toLowerCase()
  return lower.length <= MAX_NAME &&
    lower.split('.').every(part => part.length <= MAX_LABEL && GIVEN_LABEL.test(part))
    ? lower
    : ''
}

/**
 * `<name>-<hash>-<agent>`, the name cut so that the label it ends in fits. The
 * original makes a label of more than 63 octets, which no one can ask for.
 */
const canonicalName = (name: string, suffix: string): string => {
  const from = name.lastIndexOf('.') + 1
  const last = name.slice(from, from + MAX_LABEL - suffix.length).replace(/-+$/, '')
  return name.slice(0, from) + last + suffix
}

/** What sets the task apart from its namesakes: '-iffe9-s0'. */
const suffixOf = (task: Task): string => {
  const agent = label(task.agentId.slice(task.agentId.lastIndexOf('-') + 1))
  const short = agent.slice(0, MAX_AGENT).replace(/-+$/, '')
  return `-${taskHash(task.id)}${short === '' ? '' : `-${short}`}`
}

/** The protocols a discovery port says, both if none. Marathon writes 'udp,tcp' for both. */
const protocolsOf = (protocol: string, spell: (s: string) => string): readonly string[] => {
  const said = new Set(protocol.split(',').map(spell))
  const usable = [...said].filter(one => one !== '' && one.length < MAX_LABEL)
  return usable.length > 0 ? usable : ['tcp', 'udp']
}

/** A task under one spelling of its name. */
class Names {
  readonly #out: Maker
  readonly #task: Task
  readonly #options: RecordOptions
  /** `<framework>.<domain>` and `<framework>.slave.<domain>` */
  readonly #own: string
  readonly #slave: string

  constructor(out: Maker, task: Task, fw: string, options: RecordOptions) {
    this.#out = out
    this.#task = task
    this.#options = options
    this.#own = `${fw}.${options.domain}`
    this.#slave = `${fw}.slave.${options.domain}`
  }

  make(name: string, suffix: string, ips: readonly string[], agentIps: readonly string[]): void {
    const canonical = canonicalName(name, suffix)
    for (const [scope, at] of [
      [this.#own, ips],
      [this.#slave, agentIps],
    ] as const) {
      if (at.length === 0) continue
      this.#out.addresses(`${name}.${scope}`, at)
      this.#out.addresses(`${canonical}.${scope}`, at)
    }
    const first = name.indexOf('.')
    if ((first < 0 ? name.length : first) >= MAX_LABEL) {
      this.#out.problem('its name is too long for an SRV record')
      return
    }
    if ((this.#task.discovery?.name ?? '') === '') {
      this.#resources(name, canonical, [this.#slave, this.#own])
    } else {
      this.#resources(name, canonical, [this.#slave])
      this.#discovered(name, canonical)
    }
  }

  /** One per port resource and protocol, to where the agent is. */
  #resources(name: string, canonical: string, scopes: readonly string[]): void {
    const host = `${canonical}.${this.#slave}:`
    const targets: string[] = []
    for (const [begin, end] of this.#task.ports) {
      for (let port = begin; port <= end && targets.length <= MAX_PORTS; port++)
        targets.push(host + port)
    }
    if (targets.length > MAX_PORTS) {
      this.#out.problem(`it has more than ${MAX_PORTS} ports`)
      targets.length = MAX_PORTS
    }
    for (const scope of scopes) {
      for (const service of [`_${name}._tcp.${scope}`, `_${name}._udp.${scope}`]) {
        for (const target of targets) this.#out.add(service, 'SRV', target)
      }
    }
  }

  /** One per discovery port, to where the task is; a named port has a name more. */
  #discovered(name: string, canonical: string): void {
    const spell = speller(this.#options)
    const ports = this.#task.discovery?.ports ?? []
    if (ports.length > MAX_PORTS) this.#out.problem(`it has more than ${MAX_PORTS} ports`)
    for (const { number, name: portName, protocol } of ports.slice(0, MAX_PORTS)) {
      const service = spell(portName)
      if (service.length >= MAX_LABEL) this.#out.problem('the name of a port is too long')
      for (const proto of protocolsOf(protocol, spell)) {
        const of = `_${name}._${proto}.${this.#own}`
        const target = `${canonical}.${this.#own}:${number}`
        this.#out.add(of, 'SRV', target)
        if (service !== '' && service.length < MAX_LABEL) {
          this.#out.add(`_${service}.${of}`, 'SRV', target)
        }
      }
    }
  }
}

/**
 * The records of one task of the framework of that name; none unless it runs.
 * What it looks at is what same-task.ts compares. `agentIps` are its agent's
 * addresses (`hostAddresses`). Never throws, and never makes what is no name.
 */
export const taskRecords = (
  task: Task,
  framework: string,
  agentIps: readonly string[],
  options: RecordOptions,
): Made => {
  const out = new Maker(task.id)
  if (task.state !== 'TASK_RUNNING') return out
  const spell = speller(options)
  const fw = domainFrag(framework, spell)
  const said = task.discovery?.name ?? ''
  const name = spell(said === '' ? task.name : said)
  const given = said === '' ? '' : givenName(said)
  if (fw === '') out.problem('its framework has no usable name')
  if (name === '' && given === '') out.problem('it has no usable name')
  if (out.problems.length > 0) return out
  const ips = taskAddresses(task, agentIps, options.ipSources)
  if (ips.length === 0) out.problem('it has no address')
  const names = new Names(out, task, fw, options)
  const suffix = suffixOf(task)
  // the name as given answers beside the normalised one: web.shop beside web-shop
  if (given !== '' && given !== name) names.make(given, suffix, ips, agentIps)
  if (name !== '') names.make(name, suffix, ips, agentIps)
  return out
}
