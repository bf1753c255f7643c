/**
 * The VIPs that the tasks of this host's Mesos agent declare, found by asking
 * the agent every two seconds. A failed look changes nothing: the records
 * stay as they were, and the next looks come less often.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import { Backoff } from '../../base/backoff.ts'
import { httpReason, type Http } from '../../http/client.ts'
import { canonicalIp } from '../../base/ip.ts'
import { agentHost, type MesosState } from '../../mesos/api/model.ts'
import {
  agentInfoFromJson,
  agentStateFromJson,
  agentTasksFromJson,
} from '../../mesos/api/operator-api.ts'
import { sameVips, type VipRecord } from '../../vip/record.ts'
import { mappedPorts, vipsOfState, type BadLabel, type MappedPort } from '../../vip/task-vips.ts'

/** As the originals polled, and how far they backed off. */
const POLL_MS = 2_000
const MAX_BACKOFF_MS = 60_000
/** An agent that has not answered by then is busy enough. */
const DEADLINE_MS = 10_000
/** GET_STATE of an agent also lists finished tasks. */
const MAX_BYTES = 32 * 1024 * 1024

export type AgentVipsOptions = {
  readonly http: Http
  readonly log: Log
  /** 'http://10.0.0.17:5051' */
  readonly agent: string
  /** Called after the first look that succeeds, then when the records change. */
  readonly onChange: (records: readonly VipRecord[]) => void
  /** This node's address now, where mapped ports are; '' takes what the agent says. */
  readonly nodeIp: () => string
  readonly ipv6: boolean
  readonly random: () => number
  readonly pollMs?: number
  readonly maxBackoffMs?: number
  readonly deadlineMs?: number
  readonly maxBytes?: number
}

export type AgentVipsStatus = {
  readonly agent: string
  readonly loads: number
  /** Failed looks, by why: an HttpReason or 'data'. */
  readonly failures: Readonly<Record<string, number>>
  /** '' while the last look succeeded. */
  readonly trouble: string
  readonly tasks: number
  readonly vips: number
  /** Tasks that could not be read at all. */
  readonly bad: number
  readonly badLabels: readonly BadLabel[]
}

const badKey = ({ taskId, label, why }: BadLabel): string => `${taskId}\n${label}\n${why}`

export class AgentVips {
  readonly #options: AgentVipsOptions
  readonly #closing = new AbortController()
  readonly #failures: Record<string, number> = {}
  #running: Promise<void> | undefined
  #records: readonly VipRecord[] = []
  #mapped: readonly MappedPort[] = []
  #badLabels: readonly BadLabel[] = []
  #loads = 0
  #tasks = 0
  #bad = 0
  #trouble = ''
  /** The agent's own word for where it is, asked for once. */
  #agentIp = ''
  /** Some agents permit GET_TASKS to whom they refuse GET_STATE; those give no framework names. */
  #statePermitted = true

  constructor(options: AgentVipsOptions) {
    this.#options = options
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await this.#running
  }

  get records(): readonly VipRecord[] {
    return this.#records
  }

  /** Where this host's mapped ports lead. */
  get mapped(): readonly MappedPort[] {
    return this.#mapped
  }

  get status(): AgentVipsStatus {
    return {
      agent: this.#options.agent,
      loads: this.#loads,
      failures: { ...this.#failures },
      trouble: this.#trouble,
      tasks: this.#tasks,
      vips: this.#records.length,
      bad: this.#bad,
      badLabels: this.#badLabels,
    }
  }

  async #run(): Promise<void> {
    const { pollMs = POLL_MS, maxBackoffMs = MAX_BACKOFF_MS, random } = this.#options
    const backoff = new Backoff({ minMs: pollMs, maxMs: maxBackoffMs, random })
    const { signal } = this.#closing
    while (!signal.aborted) {
      const good = await this.#look()
      if (signal.aborted) return
      if (good) backoff.reset()
      await delay(good ? pollMs : backoff.next(), undefined, { signal }).catch(() => {})
    }
  }

  /** One look; false if it failed. */
  async #look(): Promise<boolean> {
    try {
      const { state, bad } = await this.#state()
      const agentIp = await this.#address()
      const { records, bad: labels } = vipsOfState(state, { agentIp, ipv6: this.#options.ipv6 })
      if (this.#closing.signal.aborted) return false
      this.#loads++
      this.#tasks = state.tasks.size
      this.#bad = bad
      if (this.#trouble !== '')
        this.#options.log.info('the Mesos agent answers again', { agent: this.#options.agent })
      this.#trouble = ''
      this.#tell(labels)
      // the first word counts also if it is that there are none
      const mapped = mappedPorts(state, agentIp)
      const moved = JSON.stringify(mapped) !== JSON.stringify(this.#mapped)
      if (this.#loads > 1 && !moved && sameVips(records, this.#records)) return true
      this.#records = records
      this.#mapped = mapped
      this.#options.onChange(records)
      return true
    } catch (er) {
      if (this.#closing.signal.aborted) return false
      const reason = httpReason(er) || 'data'
      this.#failures[reason] = (this.#failures[reason] ?? 0) + 1
      if (this.#trouble === '') {
        this.#options.log.warn('the Mesos agent gives no tasks, its VIPs stay as they are', {
          err: messageOf(er),
        })
      }
      this.#trouble = messageOf(er)
      return false
    }
  }

  async #state(): Promise<{ state: MesosState; bad: number }> {
    if (this.#statePermitted) {
      try {
        return agentStateFromJson(await this.#call('GET_STATE'))
      } catch (er) {
        if ((er as { status?: number }).status !== 403) throw er
        this.#statePermitted = false
      }
    }
    const tasks = agentTasksFromJson(await this.#call('GET_TASKS'))
    const frameworks = agentStateFromJson({
      get_state: { get_tasks: {}, ...((await this.#call('GET_FRAMEWORKS')) as object) },
    }).state.frameworks
    return { state: { ...tasks.state, frameworks }, bad: tasks.bad }
  }

  async #address(): Promise<string> {
    const nodeIp = this.#options.nodeIp()
    if (nodeIp !== '') return nodeIp
    if (this.#agentIp !== '') return this.#agentIp
    const agent = agentInfoFromJson(await this.#call('GET_AGENT'))
    // an agent that registered under a name is where we reach it, unless that is this host's inside
    const asked = canonicalIp(new URL(this.#options.agent).hostname.replace(/^\[|\]$/g, ''))
    const outside = asked === '127.0.0.1' || asked === '::1' ? '' : asked
    this.#agentIp = canonicalIp(agentHost(agent)) || outside
    return this.#agentIp
  }

  #call(type: string): Promise<unknown> {
    const { http, agent, deadlineMs = DEADLINE_MS, maxBytes = MAX_BYTES } = this.#options
    const url = `${agent.replace(/\/$/, '')}/api/v1`
    return http.postJson(url, { type }, { deadlineMs, maxBytes, signal: this.#closing.signal })
  }

  /** A bad label is logged when it appears, not at every look. */
  #tell(labels: readonly BadLabel[]): void {
    const known = new Set(this.#badLabels.map(badKey))
    for (const bad of labels) {
      if (known.has(badKey(bad))) continue
      this.#options.log.warn('a VIP label is skipped', { ...bad })
    }
    this.#badLabels = labels
  }
}
