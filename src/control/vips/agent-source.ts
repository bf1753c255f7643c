/**
 * The VIPs that the tasks of this host's Mesos agent declare, found by asking
 * the agent every two seconds: an agent has no stream of events. An answer
 * that is the same as the last one is not even parsed. A failed look changes
 * nothing: the records stay as they were, and the next looks come less often.
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import { Backoff } from '../../base/backoff.ts'
import { httpReason, httpStatus, isRefusal, jsonOf, type Http } from '../../http/client.ts'
import type { MesosState } from '../../mesos/api/model.ts'
import { agentStateFromJson, agentTasksFromJson } from '../../mesos/api/operator-api.ts'
import { sameVips, type VipRecord } from '../../vip/record.ts'
import { mappedPorts, vipsOfState, type BadLabel, type MappedPort } from '../../vip/task-vips.ts'
import { agentAddress, agentBases } from './agent-place.ts'

/** As the originals polled, and how far they backed off. */
const POLL_MS = 2_000
const MAX_BACKOFF_MS = 60_000
/** An agent that has not answered by then is busy enough. */
const DEADLINE_MS = 10_000
/** Longest wait after our credentials were refused: a token is renewed, or its file changed, any moment. */
const MAX_REFUSED_MS = 5_000
/** The agent's address, and whether it permits GET_STATE again, are asked for once in so many looks. */
const LOOKS = 30
/** GET_STATE of an agent also lists finished tasks. */
const MAX_BYTES = 32 * 1024 * 1024

export type AgentVipsOptions = {
  readonly http: Http
  readonly log: Log
  /** 'http://10.0.0.17:5051', or 'local'. */
  readonly agent: string
  /** Whether `local` is asked over TLS only. */
  readonly tls?: boolean
  /** Address of this host's backends as the operator says it; '' takes what the agent says. */
  readonly address?: string
  /** Called after the first look that succeeds, then when the records change. */
  readonly onChange: (records: readonly VipRecord[]) => void
  /** This node's address now, for an agent that says none; '' while there is none. */
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
  /** Base URL that answered last; '' before. */
  #base = ''
  /** The agent's own word for where it is; '' if it says nothing that others could use. */
  #agentIp = ''
  /** Looks until the next question for what seldom changes. */
  #untilAsked = 0
  /** What the records were made of. */
  #last = ''
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
      agent: this.#base || this.#options.agent,
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
      const outcome = await this.#look()
      if (signal.aborted) return
      if (outcome === 'good') backoff.reset()
      const failedMs = outcome === 'good' ? 0 : backoff.next()
      const waitMs = outcome === 'refused' ? Math.min(failedMs, MAX_REFUSED_MS) : failedMs
      await delay(outcome === 'good' ? pollMs : waitMs, undefined, { signal }).catch(() => {})
    }
  }

  async #look(): Promise<'good' | 'failed' | 'refused'> {
    const { log } = this.#options
    try {
      await this.#ask()
      if (this.#closing.signal.aborted) return 'failed'
      if (this.#trouble !== '') log.info('the Mesos agent answers again', { agent: this.#base })
      this.#trouble = ''
      return 'good'
    } catch (er) {
      if (this.#closing.signal.aborted) return 'failed'
      const reason = httpReason(er) || 'data'
      this.#failures[reason] = (this.#failures[reason] ?? 0) + 1
      if (this.#trouble === '') {
        log.warn('the Mesos agent gives no tasks, its VIPs stay as they are', {
          err: messageOf(er),
        })
      }
      this.#trouble = messageOf(er)
      // it may come back with another address, and permit more
      this.#untilAsked = 0
      return isRefusal(er) ? 'refused' : 'failed'
    }
  }

  /** One look: the agent's tasks, and the records if they are others than before. */
  async #ask(): Promise<void> {
    const asked = --this.#untilAsked < 0
    if (asked) {
      this.#untilAsked = LOOKS
      this.#statePermitted = true
    }
    const bodies = await this.#found()
    const agentIp = await this.#address(asked)
    if (this.#closing.signal.aborted) return
    this.#loads++
    const hash = createHash('sha256').update(agentIp)
    for (const body of bodies) hash.update(body)
    const now = hash.digest('base64')
    if (now === this.#last) return
    const { state, bad } = this.#state(bodies)
    const { records, bad: labels } = vipsOfState(state, { agentIp, ipv6: this.#options.ipv6 })
    this.#tasks = state.tasks.size
    this.#bad = bad
    this.#tell(labels)
    // the first word counts also if it is that there are none
    const mapped = mappedPorts(state, agentIp)
    const moved = JSON.stringify(mapped) !== JSON.stringify(this.#mapped)
    const changed = this.#last === '' || moved || !sameVips(records, this.#records)
    this.#last = now
    if (!changed) return
    this.#records = records
    this.#mapped = mapped
    this.#options.onChange(records)
  }

  /** The agent's tasks as it says them, from the first place where there is an agent. */
  async #found(): Promise<readonly Buffer[]> {
    const { agent, nodeIp, tls = false } = this.#options
    const bases = agentBases(agent, nodeIp(), tls)
    // the one that answered last is asked first
    const places = bases.includes(this.#base)
      ? [this.#base, ...bases.filter(base => base !== this.#base)]
      : bases
    let trouble: unknown
    for (const base of places) {
      this.#base = base
      try {
        return await this.#bodies()
      } catch (er) {
        // an agent that answers and refuses is the agent
        if (httpReason(er) !== 'connect') throw er
        // that a certificate is not trusted says more than that nobody is there
        if (trouble === undefined || /ECONNREFUSED/.test(messageOf(trouble))) trouble = er
      }
    }
    throw trouble
  }

  async #bodies(): Promise<readonly Buffer[]> {
    if (this.#statePermitted) {
      try {
        return [await this.#call('GET_STATE')]
      } catch (er) {
        if (httpStatus(er) !== 403) throw er
        this.#statePermitted = false
      }
    }
    return [await this.#call('GET_TASKS'), await this.#call('GET_FRAMEWORKS')]
  }

  #state([first, frameworks]: readonly Buffer[]): { state: MesosState; bad: number } {
    const json = jsonOf(this.#base, first ?? Buffer.alloc(0))
    if (frameworks === undefined) return agentStateFromJson(json)
    const tasks = agentTasksFromJson(json)
    const named = agentStateFromJson({
      get_state: { get_tasks: {}, ...(jsonOf(this.#base, frameworks) as object) },
    })
    return { state: { ...tasks.state, frameworks: named.state.frameworks }, bad: tasks.bad }
  }

  /** Where this host's backends are: as the operator says, as the agent says, or as we see it ourselves. */
  async #address(ask: boolean): Promise<string> {
    const { address = '', nodeIp, http } = this.#options
    if (address !== '') return address
    if (ask) {
      try {
        this.#agentIp = await agentAddress(http, this.#base, this.#limits)
      } catch (er) {
        if (isRefusal(er)) throw er
        // what it said before may still be true
      }
    }
    return this.#agentIp || nodeIp()
  }

  get #limits(): { deadlineMs: number; maxBytes: number; signal: AbortSignal } {
    const { deadlineMs = DEADLINE_MS, maxBytes = MAX_BYTES } = this.#options
    return { deadlineMs, maxBytes, signal: this.#closing.signal }
  }

  #call(type: string): Promise<Buffer> {
    return this.#options.http.postBody(`${this.#base}/api/v1`, { type }, this.#limits)
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
