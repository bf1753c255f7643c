/**
 * The demo's Mesos without HTTP: agents, frameworks, and tasks that are launched, change state and end. Each change
 * is reported as an event. It uses no clock, sockets or JSON.
 */

/** Whose addresses a task has: its agent's, those of an overlay, or those behind its agent's port mappings. */
export type Network = 'host' | 'overlay' | 'bridge'

/** A kind of task: an app in Marathon's terms. */
export type App = {
  readonly name: string
  readonly framework: string
  readonly network: Network
  /** Ports in DiscoveryInfo; the number is the container's (on the host network it is assigned by the host). */
  readonly ports: readonly AppPort[]
  /** False: without DiscoveryInfo, like old frameworks. */
  readonly discovery: boolean
  readonly healthCheck: boolean
}

/** One port of an app. */
export type AppPort = {
  readonly name: string
  readonly number: number
  readonly protocol: 'tcp' | 'udp'
  /** Value of the VIP label, '' for none. */
  readonly vip: string
}

export type WorldAgent = {
  readonly id: string
  /** Its address, where its API listens, too. */
  readonly address: string
  readonly port: number
}

/** A scheduler. */
export type WorldFramework = { readonly id: string; readonly name: string; readonly pid: string }

/** One status update. */
export type WorldStatus = {
  readonly state: string
  /** Seconds since the epoch. */
  readonly timestamp: number
  readonly healthy: boolean | undefined
}

/** One task at a moment; a change creates a new object. */
export type WorldTask = {
  readonly id: string
  readonly app: App
  readonly agent: WorldAgent
  readonly state: string
  /** Oldest first. */
  readonly statuses: readonly WorldStatus[]
  /** One port of the agent for each port of the app. */
  readonly hostPorts: readonly number[]
  /** The container's own addresses; on the host network the agent's. */
  readonly addresses: readonly string[]
}

/** What happened to a task. */
export type WorldEvent =
  | { readonly kind: 'added'; readonly task: WorldTask }
  | { readonly kind: 'updated'; readonly task: WorldTask }

export type WorldOptions = {
  readonly agents: readonly { readonly address: string; readonly port: number }[]
  /** Seconds since the epoch. */
  readonly seconds: () => number
  /** 0 ≤ random() < 1; the same numbers give the same cluster. */
  readonly random: () => number
  readonly onEvent: (event: WorldEvent) => void
}

const ENDED = new Set(['TASK_KILLED', 'TASK_FAILED', 'TASK_FINISHED'])
/** First port that the agents offer. */
const FIRST_PORT = 31_000

/** `length` hexadecimal digits. */
export const hex = (random: () => number, length: number): string =>
  Array.from({ length }, () => Math.floor(random() * 16).toString(16)).join('')

/** The cluster without its HTTP. */
export class World {
  /** Id of the cluster; ids of agents and frameworks begin with it. */
  readonly id: string
  readonly agents: readonly WorldAgent[]
  readonly frameworks: readonly WorldFramework[]
  readonly #options: WorldOptions
  readonly #tasks = new Map<string, WorldTask>()
  #launched = 0

  constructor(options: WorldOptions, frameworks: readonly string[]) {
    const { random, agents } = options
    this.#options = options
    this.id = [8, 4, 4, 4, 12].map(length => hex(random, length)).join('-')
    this.agents = agents.map(({ address, port }, i) => ({ id: `${this.id}-S${i}`, address, port }))
    this.frameworks = frameworks.map((name, i) => ({
      id: `${this.id}-${String(i).padStart(4, '0')}`,
      name,
      pid: `scheduler-${hex(random, 8)}@${agents[i % agents.length]?.address ?? '127.0.0.1'}:${15_201 + i}`,
    }))
  }

  /** All tasks that have not ended, oldest first. */
  get tasks(): readonly WorldTask[] {
    return [...this.#tasks.values()]
  }

  /** Running tasks of an app, oldest first. */
  running(app: string): WorldTask[] {
    return this.tasks.filter(task => task.app.name === app && task.state === 'TASK_RUNNING')
  }

  /** The agent with the fewest tasks, other than `not` if possible. */
  roomiest(not?: WorldAgent): WorldAgent {
    const load = (agent: WorldAgent): number =>
      this.tasks.reduce((sum, task) => sum + (task.agent.id === agent.id ? 1 : 0), 0)
    const others = this.agents.filter(agent => agent.id !== not?.id)
    const candidates = others.length > 0 ? others : this.agents
    return candidates.reduce((best, agent) => (load(agent) < load(best) ? agent : best))
  }

  /** Starts a task of the app: staging, starting, running. */
  launch(app: App, agent: WorldAgent = this.roomiest()): WorldTask {
    const { random } = this.#options
    const n = ++this.#launched
    const task: WorldTask = {
      // the counter keeps ids unique whatever the random numbers are
      id: `${app.name}.${[8, 4, 4, 4].map(length => hex(random, length)).join('-')}-${n.toString(16).padStart(12, '0')}`,
      app,
      agent,
      state: 'TASK_STAGING',
      statuses: [],
      hostPorts: app.ports.map((_, i) => FIRST_PORT + ((n * 4 + i) % 1_000)),
      addresses: addressesOf(app.network, agent, n),
    }
    this.#tasks.set(task.id, task)
    this.#options.onEvent({ kind: 'added', task })
    this.update(task.id, 'TASK_STARTING')
    return this.update(task.id, 'TASK_RUNNING', app.healthCheck ? true : undefined) ?? task
  }

  /** Adds a status to a task; undefined if the task no longer exists. A terminal state removes it. */
  update(id: string, state: string, healthy?: boolean): WorldTask | undefined {
    const task = this.#tasks.get(id)
    if (task === undefined) return undefined
    const status = { state, timestamp: this.#options.seconds(), healthy }
    const next = { ...task, state, statuses: [...task.statuses.slice(-3), status] }
    if (ENDED.has(state)) this.#tasks.delete(id)
    else this.#tasks.set(id, next)
    this.#options.onEvent({ kind: 'updated', task: next })
    return next
  }
}

/** Overlay addresses come from the documentation ranges, so that no real host can be reached by mistake. */
const addressesOf = (network: Network, agent: WorldAgent, n: number): readonly string[] => {
  switch (network) {
    case 'host':
      return [agent.address]
    case 'bridge':
      return [`172.17.0.${2 + (n % 250)}`]
    case 'overlay':
      return [`192.0.2.${1 + (n % 254)}`, `2001:db8::${(n % 0xffff).toString(16)}`]
  }
}
