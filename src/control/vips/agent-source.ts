/**
 * The VIPs that the tasks of this host's Mesos agent declare, polled because an agent has no event stream: every
 * two seconds after a change, less often while nothing changes. An answer equal to the last one is not parsed. A
 * failed poll changes nothing, and the next ones come less often.
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import { Backoff } from '../../base/backoff.ts'
import {
  httpReason,
  httpStatus,
  isRefusal,
  jsonOf,
  retryAfterOf,
  type Http,
} from '../../http/client.ts'
import type { MesosState } from '../../mesos/api/model.ts'
import { agentStateFromJson, agentTasksFromJson } from '../../mesos/api/operator-api.ts'
import { sameVips, type VipRecord } from '../../vip/record.ts'
import { mappedPorts, vipsOfState, type BadLabel, type MappedPort } from '../../vip/task-vips.ts'
import { agentAddress, agentBases } from './agent-place.ts'

/** Intervals of polls, normal and longest after failures, as in DC/OS. */
const POLL_MS = 2_000
/** The interval grows by this factor with each poll without a change, up to the second. */
const CALMER = 1.25
const CALM = 2.5
const MAX_BACKOFF_MS = 60_000
/** An agent that has not answered by then is busy enough. */
const DEADLINE_MS = 10_000
/** Longest interval after our credentials were refused, because a token may be renewed at any moment. */
const MAX_REFUSED_MS = 5_000
/** The agent's address, and its permission for GET_STATE, are checked once per this many polls. */
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
  /** Address of this host's backends from the configuration; '' uses the agent's. */
  readonly address?: string
  /** Called after the first successful poll, then when the records change. */
  readonly onChange: (records: readonly VipRecord[]) => void
  /** This node's current address, for an agent that reports none; '' if there is none. */
  readonly nodeIp: () => string
  readonly ipv6: boolean
  readonly random: () => number
  /** Milliseconds, monotonic. */
  readonly now: () => number
  readonly pollMs?: number
  readonly maxBackoffMs?: number
  readonly deadlineMs?: number
  readonly maxBytes?: number
}

export type AgentVipsStatus = {
  readonly agent: string
  readonly loads: number
  /** Time since the last successful poll; undefined before. */
  readonly silenceMs: number | undefined
  /** Failed polls by reason: an HttpReason or 'data'. */
  readonly failures: Readonly<Record<string, number>>
  /** The last error; '' if the last poll succeeded. */
  readonly trouble: string
  readonly tasks: number
  readonly vips: number
  /** Number of malformed tasks. */
  readonly bad: number
  readonly badLabels: readonly BadLabel[]
}

/** A poll that was ended by ourselves. */
const ENDED = { outcome: 'failed', askedMs: 0 } as const

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
  #heardAt: number | undefined
  #tasks = 0
  #bad = 0
  #trouble = ''
  /** Base URL that answered last; '' before. */
  #base = ''
  /** The address that the agent reports; '' if other hosts cannot use it. */
  #agentIp = ''
  /** Polls until the next check of what seldom changes. */
  #untilAsked = 0
  /** The answer that the current records were computed from. */
  #last = ''
  /** The current interval as a multiple of the normal one. */
  #calm = 1
  /** Some agents permit GET_TASKS but not GET_STATE; those return no framework names. */
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
      silenceMs: this.#heardAt === undefined ? undefined : this.#options.now() - this.#heardAt,
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
      const { outcome, askedMs } = await this.#look()
      if (signal.aborted) return
      if (outcome === 'good') backoff.reset()
      const failedMs = outcome === 'good' ? 0 : backoff.next(askedMs)
      const waitMs = outcome === 'refused' ? Math.min(failedMs, MAX_REFUSED_MS) : failedMs
      await delay(outcome === 'good' ? pollMs * this.#calm : waitMs, undefined, { signal }).catch(
        () => {},
      )
    }
  }

  /** `askedMs`: how long the agent wants to be left alone, 0 if it did not say. */
  async #look(): Promise<{ outcome: 'good' | 'failed' | 'refused'; askedMs: number }> {
    const { log } = this.#options
    try {
      await this.#ask()
      if (this.#closing.signal.aborted) return ENDED
      if (this.#trouble !== '') log.info('the Mesos agent answers again', { agent: this.#base })
      this.#trouble = ''
      this.#heardAt = this.#options.now()
      return { outcome: 'good', askedMs: 0 }
    } catch (er) {
      if (this.#closing.signal.aborted) return ENDED
      const reason = httpReason(er) || 'data'
      this.#failures[reason] = (this.#failures[reason] ?? 0) + 1
      if (this.#trouble === '') {
        log.warn('the Mesos agent gives no tasks, its VIPs stay as they are', {
          err: messageOf(er),
        })
      }
      this.#trouble = messageOf(er)
      // the agent may return with another address and other permissions
      this.#untilAsked = 0
      return { outcome: isRefusal(er) ? 'refused' : 'failed', askedMs: retryAfterOf(er) }
    }
  }

  /** One poll: reads the agent's tasks, and reports the records if they have changed. */
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
    this.#calm = now === this.#last ? Math.min(this.#calm * CALMER, CALM) : 1
    if (now === this.#last) return
    const { state, bad } = this.#state(bodies)
    const { records, bad: labels } = vipsOfState(state, { agentIp, ipv6: this.#options.ipv6 })
    this.#tasks = state.tasks.size
    this.#bad = bad
    this.#tell(labels)
    // the first result is reported even if it is empty
    const mapped = mappedPorts(state, agentIp)
    const moved = JSON.stringify(mapped) !== JSON.stringify(this.#mapped)
    const changed = this.#last === '' || moved || !sameVips(records, this.#records)
    this.#last = now
    if (!changed) return
    this.#records = records
    this.#mapped = mapped
    this.#options.onChange(records)
  }

  /** The agent's answer, from the first URL that has an agent. */
  async #found(): Promise<readonly Buffer[]> {
    const { agent, nodeIp, tls = false } = this.#options
    const bases = agentBases(agent, nodeIp(), tls)
    // the URL that answered last is tried first
    const places = bases.includes(this.#base)
      ? [this.#base, ...bases.filter(base => base !== this.#base)]
      : bases
    let trouble: unknown
    for (const base of places) {
      this.#base = base
      try {
        return await this.#bodies()
      } catch (er) {
        // an agent that refuses the request is still the agent
        if (httpReason(er) !== 'connect') throw er
        // an untrusted certificate is a more useful error than a refused connection
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

  /** The address of this host's backends: from the configuration, from the agent, or detected. */
  async #address(ask: boolean): Promise<string> {
    const { address = '', nodeIp, http } = this.#options
    if (address !== '') return address
    if (ask) {
      try {
        this.#agentIp = await agentAddress(http, this.#base, this.#limits)
      } catch (er) {
        if (isRefusal(er)) throw er
        // the earlier address may still be valid
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

  /** A bad label is logged when it appears, not at every poll. */
  #tell(labels: readonly BadLabel[]): void {
    const known = new Set(this.#badLabels.map(badKey))
    for (const bad of labels) {
      if (known.has(badKey(bad))) continue
      this.#options.log.warn('a VIP label is skipped', { ...bad })
    }
    this.#badLabels = labels
  }
}
