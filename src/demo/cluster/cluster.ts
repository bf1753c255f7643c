/**
 * A small Mesos for the demo: masters of which one leads, agents, and tasks that start, move and end on a timetable.
 * It serves real HTTP on loopback.
 */
import type { Endpoint, Milliseconds } from '../../boundary/messages.ts'
import { FRAMEWORKS } from './apps.ts'
import { agentAddedJson, agentAnswerJson, eventJson, subscribedJson } from './api-json.ts'
import { AgentServer, MasterServer } from './server.ts'
import { stateJson } from './state-json.ts'
import { populate, timetable } from './timetable.ts'
import { World, type WorldTask } from './world.ts'

/** The size of the cluster, and the source of its events. */
export type ClusterOptions = {
  /** Listen address of each master; the first one leads. Port 0 chooses a free port. */
  readonly masters: readonly Endpoint[]
  /** Listen address of each agent. */
  readonly agents: readonly Endpoint[]
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** 0 ≤ random() < 1; the same numbers give the same sequence of events. */
  readonly random: () => number
  /** How long agents take to register with a new leader. Default 2 s; 0: at once. */
  readonly reregisterMs?: Milliseconds
  /** Default 15 s, as in Mesos. */
  readonly heartbeatMs?: Milliseconds
  /** Called after each step with a sentence that describes it. */
  readonly onStep?: (what: string) => void
}

const REREGISTER_MS = 2_000
const HEARTBEAT_MS = 15_000

const shown = ({ address, port }: Endpoint): string => `${address}:${port}`

/** The running cluster; `close` ends it. */
export class Cluster {
  readonly #options: ClusterOptions
  readonly #world: World
  readonly #masters: readonly MasterServer[]
  readonly #agents: readonly AgentServer[]
  readonly #story: Generator<string, never>
  readonly #missing = new Set<string>()
  #timers: NodeJS.Timeout[] = []
  #ticking: NodeJS.Timeout | undefined
  #leader = 0

  private constructor(options: ClusterOptions, agents: readonly AgentServer[]) {
    const { now, random, heartbeatMs = HEARTBEAT_MS } = options
    this.#options = options
    this.#agents = agents
    this.#world = new World(
      {
        agents: agents.map(({ at }) => at),
        seconds: () => now() / 1_000,
        random,
        onEvent: event => {
          // a master learns only about agents that have registered with it
          if (!this.#missing.has(event.task.agent.id))
            this.#master?.send(eventJson(this.#world, event))
        },
      },
      FRAMEWORKS,
    )
    this.#masters = options.masters.map(
      (at, i) =>
        new MasterServer(at, {
          elsewhere: () => (i === this.#leader ? undefined : this.leader ? shown(this.leader) : ''),
          state: () =>
            stateJson(this.#world, {
              self: shown(this.#masters[i]?.at ?? at),
              leader: this.leader ? shown(this.leader) : '',
              leading: i === this.#leader,
              missing: this.#missing,
            }),
          subscribed: () => subscribedJson(this.#world, this.#missing, heartbeatMs / 1_000),
          heartbeatMs,
        }),
    )
    this.#story = timetable(this.#world, random)
  }

  /** Starts everything. Rejects with EBIND if an address is in use; then nothing is left running. */
  static async start(options: ClusterOptions): Promise<Cluster> {
    let cluster: Cluster | undefined
    const agents = options.agents.map(
      (at, i) => new AgentServer(at, { answer: type => cluster?.agentAnswer(i, type) }),
    )
    try {
      // other parts need an agent's id and address, so its port is bound first
      for (const agent of agents) await agent.start()
      cluster = new Cluster(options, agents)
      populate(cluster.#world)
      for (const master of cluster.#masters) await master.start()
    } catch (er) {
      await Promise.all(
        [...agents, ...(cluster ? cluster.#masters : [])].map(server => server.kill()),
      )
      throw er
    }
    return cluster
  }

  /** The address of each master, alive or not. */
  get masters(): readonly Endpoint[] {
    return this.#masters.map(master => master.at)
  }

  get agents(): readonly Endpoint[] {
    return this.#agents.map(agent => agent.at)
  }

  /** The leading master; undefined if every master is dead. */
  get leader(): Endpoint | undefined {
    return this.#master?.at
  }

  /** Tasks that have not ended, oldest first. */
  get tasks(): readonly WorldTask[] {
    return this.#world.tasks
  }

  /** From now on the timetable goes on by itself, one step after each interval. */
  play(stepMs: Milliseconds): void {
    this.#ticking = setTimeout(() => {
      this.step()
      this.play(stepMs)
    }, stepMs)
  }

  /** Does the timetable's next step; returns its description. */
  step(): string {
    const what = this.#story.next().value
    this.#options.onStep?.(what)
    return what
  }

  /** Ends a master like a crash. If it led, another one becomes leader. */
  async killMaster(i: number): Promise<void> {
    await this.#masters[i]?.kill()
    if (i === this.#leader) this.#elect()
  }

  async startMaster(i: number): Promise<void> {
    await this.#masters[i]?.start()
    if (!this.#master) this.#elect()
  }

  /** Makes another master the leader; the old one keeps running as a follower. */
  failover(): void {
    this.#master?.hangUp()
    this.#elect()
  }

  async close(): Promise<void> {
    clearTimeout(this.#ticking)
    for (const timer of this.#timers) clearTimeout(timer)
    await Promise.all([...this.#masters, ...this.#agents].map(server => server.kill()))
  }

  get #master(): MasterServer | undefined {
    const master = this.#masters[this.#leader]
    return master?.alive ? master : undefined
  }

  /** The answer of agent `i` to an API call. */
  agentAnswer(i: number, type: unknown): Readonly<Record<string, unknown>> | undefined {
    const agent = this.#world.agents[i]
    return agent && agentAnswerJson(this.#world, agent, type)
  }

  /** The next living master becomes leader and waits for the agents. */
  #elect(): void {
    const n = this.#masters.length
    for (let i = 1; i <= n; i++) {
      const candidate = (this.#leader + i) % n
      if (!this.#masters[candidate]?.alive) continue
      this.#leader = candidate
      this.#recover()
      return
    }
  }

  #recover(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers = []
    this.#missing.clear()
    const { reregisterMs = REREGISTER_MS } = this.#options
    if (reregisterMs === 0) return
    const { agents } = this.#world
    agents.forEach((agent, i) => {
      this.#missing.add(agent.id)
      const back = (): void => {
        this.#missing.delete(agent.id)
        for (const event of agentAddedJson(this.#world, agent)) this.#master?.send(event)
      }
      this.#timers.push(setTimeout(back, ((i + 1) * reregisterMs) / agents.length))
    })
  }
}

/** Starts the demo's Mesos. */
export const startCluster = (options: ClusterOptions): Promise<Cluster> => Cluster.start(options)
