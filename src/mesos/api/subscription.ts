/**
 * The connection to the leading master: executes the steps of the itinerary, opens streams, checks their heartbeats,
 * and passes events on. source.ts handles the events.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { codeOf, fail, messageOf, type Coded } from '../../base/error.ts'
import type { Log } from '../../base/log.ts'
import {
  httpReason,
  isRefusal,
  retryAfterOf,
  type Http,
  type HttpStream,
} from '../../http/client.ts'
import { Itinerary, type ItineraryOptions, type Outcome, type Step } from './itinerary.ts'
import { MasterCounts, type SubscriptionCounts } from './master-counts.ts'
import { HEARTBEAT_MS, masterFromJson, messageFromJson, type MesosEvent } from './operator-api.ts'
import { RecordReader } from './recordio.ts'
import { parseState } from './state.ts'

export type SubscriptionOptions = ItineraryOptions & {
  readonly http: Http
  readonly log: Log
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Called with the events that arrived together, in order. Must not throw. */
  readonly onEvents: (events: readonly MesosEvent[]) => void
  /** Called when the connection to the leader begins or ends. */
  readonly onLeading?: (hearing: boolean) => void
  readonly deadlineMs?: number
  /** Limit of a record, and of a `/state`. */
  readonly maxBytes?: number
  /** Silence after which a stream counts as dead; default three heartbeats. */
  readonly silenceMs?: (heartbeatMs: number) => number
}

export type SubscriptionState = 'streaming' | 'polling' | 'connecting' | 'waiting'

/** Ended by ourselves. */
const STOPPED: Outcome = { kind: 'failed', reached: false }

const GET_MASTER_MS = 5_000
const GET_MASTER_BYTES = 256 * 1024

const silent = (): Coded =>
  fail('the stream of the master went silent', 'EHTTP', { reason: 'silence' })

export class Subscription {
  readonly #options: SubscriptionOptions
  readonly #itinerary: Itinerary
  #closed = false
  /** Ends the step under way. */
  #step = new AbortController()
  #restart = false
  readonly #counts = new MasterCounts()
  #state: SubscriptionState = 'waiting'
  #base = ''
  #trouble = ''
  #running: Promise<void> | undefined

  constructor(options: SubscriptionOptions) {
    this.#options = options
    this.#itinerary = new Itinerary(options)
  }

  start(): void {
    this.#running ??= this.#run()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#step.abort()
    await this.#running
  }

  /**
   * Another master is said to lead: leaves what it does and begins with the
   * first master of the list, unless that is the one it talks to.
   */
  restart(): void {
    const { leader, masters } = this.#options
    const first = leader?.() || masters()[0]
    const talks = this.#state === 'streaming' || this.#state === 'connecting'
    if (talks && first === this.#base) return
    this.#restart = true
    this.#step.abort()
  }

  get masters(): ReadonlyMap<string, Readonly<SubscriptionCounts>> {
    return this.#counts.masters
  }

  /** Of all masters together. */
  get counts(): SubscriptionCounts {
    return this.#counts.total
  }

  /** Where it stands: what it does, with whom, and the last trouble ('' after a success). */
  get status(): { state: SubscriptionState; base: string; trouble: string } {
    return { state: this.#state, base: this.#base, trouble: this.#trouble }
  }

  async #run(): Promise<void> {
    let step = this.#itinerary.start()
    while (!this.#closed) {
      this.#step = new AbortController()
      const outcome = await this.#go(step)
      if (outcome.kind !== 'polled') this.#options.onLeading?.(false)
      step = this.#restart ? this.#itinerary.start() : this.#itinerary.next(outcome)
      this.#restart = false
    }
  }

  /** Waits as long as the step says, and takes it. */
  async #go(step: Step): Promise<Outcome> {
    const { signal } = this.#step
    if (step.afterMs > 0) {
      if (this.#state !== 'polling') this.#state = 'waiting'
      await delay(step.afterMs, undefined, { signal }).catch(() => {})
    }
    return signal.aborted ? STOPPED : this.#take(step)
  }

  async #take({ how, base }: Step): Promise<Outcome> {
    this.#base = base
    if (base === '') {
      this.#trouble = 'no master is known'
      return STOPPED
    }
    try {
      return how === 'stream' ? await this.#stream(base) : await this.#poll(base)
    } catch (er) {
      return this.#failed(er)
    }
  }

  /** Converts an error to an outcome for the next step; counts and logs it. */
  #failed(er: unknown): Outcome {
    if (this.#step.signal.aborted) return STOPPED
    const { status, location } = er as { status?: number; location?: string }
    if (status === 307 || status === 308) {
      const base = location ? new URL(location).origin : ''
      this.#trouble = base === '' ? 'the master does not know who leads' : ''
      return { kind: 'redirect', base }
    }
    const reason = httpReason(er) || (codeOf(er) === 'EDATA' ? 'data' : 'other')
    this.#counts.failed(this.#base, reason)
    this.#trouble = messageOf(er)
    this.#options.log.warn('the Mesos master gives no state', {
      master: this.#base,
      err: messageOf(er),
    })
    // without credentials, a master may still show its state to everybody
    const askedMs = retryAfterOf(er)
    if (isRefusal(er) && this.#options.http.authorized) return { kind: 'refused', askedMs }
    const unsupported = [401, 403, 404, 405, 501].includes(status ?? 0) && this.#state !== 'polling'
    if (unsupported) return { kind: 'unsupported' }
    return { kind: 'failed', reached: reason !== 'connect', askedMs }
  }

  async #stream(base: string): Promise<Outcome> {
    this.#state = 'connecting'
    const { http, deadlineMs, silenceMs = ms => 3 * ms } = this.#options
    const stream = await http.stream(
      `${base}/api/v1`,
      { type: 'SUBSCRIBE' },
      { signal: this.#step.signal, ...(deadlineMs === undefined ? {} : { deadlineMs }) },
    )
    let silence = false
    let heartbeat = silenceMs(HEARTBEAT_MS)
    const hush = (): void => {
      silence = true
      stream.close()
    }
    let timer = setTimeout(hush, heartbeat)
    try {
      const subscribed = await this.#read(base, stream, ms => {
        if (ms > 0) heartbeat = silenceMs(ms)
        clearTimeout(timer)
        timer = setTimeout(hush, heartbeat)
      })
      this.#trouble = 'the master ended the stream'
      return subscribed ? { kind: 'ended' } : { kind: 'failed', reached: true }
    } catch (er) {
      const subscribed = this.#state === ('streaming' as SubscriptionState)
      const outcome = this.#failed(silence ? silent() : er)
      return subscribed ? { kind: 'ended' } : outcome
    } finally {
      clearTimeout(timer)
      stream.close()
    }
  }

  /** Reads until the stream ends; returns whether it delivered the state. `alive` is called for every chunk. */
  async #read(
    base: string,
    stream: HttpStream,
    alive: (heartbeatMs: number) => void,
  ): Promise<boolean> {
    const reader = new RecordReader(this.#options.maxBytes)
    const leader = await this.#leader(base)
    const counts = this.#counts.of(base)
    let subscribed = false
    for await (const chunk of stream.chunks) {
      counts.bytes += chunk.length
      counts.heardAt = this.#options.now()
      let heartbeatMs = 0
      const events: MesosEvent[] = []
      for (const record of reader.push(chunk)) {
        const message = this.#message(record, leader)
        if (message.kind !== 'event') continue
        const { event } = message
        counts.events++
        counts.bad += message.bad
        if (event.type === 'load') {
          heartbeatMs = message.heartbeatMs
          subscribed = true
          counts.subscribed++
          this.#state = 'streaming'
          this.#trouble = ''
          this.#options.onLeading?.(true)
        }
        // events before the state cannot be applied
        if (subscribed) events.push(event)
      }
      alive(heartbeatMs)
      if (events.length > 0) this.#options.onEvents(events)
    }
    return subscribed
  }

  /**
   * 'ip:port' of the streaming master according to itself, because it may have been asked at 127.0.0.1; otherwise
   * the address that was asked.
   */
  async #leader(base: string): Promise<string> {
    const { http } = this.#options
    const call = {
      deadlineMs: GET_MASTER_MS,
      maxBytes: GET_MASTER_BYTES,
      signal: this.#step.signal,
    }
    const { host } = new URL(base)
    try {
      return (
        masterFromJson(await http.postJson(`${base}/api/v1`, { type: 'GET_MASTER' }, call)) || host
      )
    } catch {
      // not permitted, or an older Mesos: use the address that was asked
      return host
    }
  }

  #message(record: Buffer, leader: string): ReturnType<typeof messageFromJson> {
    let json: unknown
    try {
      json = JSON.parse(record.toString('utf8'))
    } catch (er) {
      throw fail(`the stream's record is no JSON: ${messageOf(er)}`, 'EDATA', { cause: er })
    }
    const message = messageFromJson(json, leader)
    if (message.kind === 'bad') {
      this.#counts.of(this.#base).bad++
      this.#options.log.warn('a Mesos event cannot be used', { event: message.what })
    }
    return message
  }

  async #poll(base: string): Promise<Outcome> {
    this.#state = 'polling'
    const { http, deadlineMs, maxBytes } = this.#options
    const json = await http.getJson(`${base}/state`, {
      signal: this.#step.signal,
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      ...(maxBytes === undefined ? {} : { maxBytes }),
    })
    const { state, self, recovered, bad } = parseState(json)
    if (state.leader === '') throw fail('the master knows no leader', 'EDATA')
    if (self !== '' && self !== state.leader) {
      return { kind: 'redirect', base: `${new URL(base).protocol}//${state.leader}` }
    }
    const counts = this.#counts.of(base)
    counts.polls++
    counts.bad += bad
    counts.heardAt = this.#options.now()
    this.#trouble = ''
    this.#options.onLeading?.(true)
    this.#options.onEvents([{ type: 'load', state, recovered }])
    return { kind: 'polled' }
  }
}
