/**
 * Supervises one part and catches its errors. A failed start is reported once and retried with growing pauses, and
 * the status shows it; a start or a close that hangs does not block other parts.
 */
import { messageOf } from '../base/error.ts'
import { Backoff } from '../base/backoff.ts'
import type { Log } from '../base/log.ts'
import type { Reason } from '../boundary/health.ts'
import type { Milliseconds } from '../boundary/messages.ts'
import type { Config } from '../config/config.ts'
import type { PartState, PartStatus } from '../ops/status.ts'
import type { Part } from './part.ts'

/** First and longest pause between failed starts. */
const RETRY_FIRST_MS = 500
const RETRY_MOST_MS = 15_000
/** A start or a reload that takes longer than this is reported, and no longer waited for. */
const START_MS = 5_000
/** How long a reload waits for a part to close. */
const CLOSE_MS = 2_000

export type SupervisedOptions = {
  readonly part: Part
  readonly log: Log
  readonly random: () => number
  /** Unix milliseconds. */
  readonly now: () => number
  /** Default: START_MS. */
  readonly startMs?: Milliseconds
}

export class Supervised {
  readonly part: Part
  readonly #options: SupervisedOptions
  readonly #backoff: Backoff
  readonly #startMs: Milliseconds
  #config: Config | undefined
  #state: PartState = 'off'
  #error = ''
  #since: number
  #failures = 0
  /** Counts starts, so that the result of an outdated one is ignored. */
  #run = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: SupervisedOptions) {
    this.part = options.part
    this.#options = options
    this.#since = options.now()
    this.#startMs = options.startMs ?? START_MS
    this.#backoff = new Backoff({
      minMs: RETRY_FIRST_MS,
      maxMs: RETRY_MOST_MS,
      random: options.random,
    })
  }

  /** Starts the part if it is configured. Resolves after the first attempt; never rejects. */
  async start(config: Config): Promise<void> {
    this.#config = config
    if (this.#wanted) await this.#attempt()
    else this.#become('off')
  }

  /** Changes to another configuration. Never rejects; takes bounded time. */
  async reload(before: Config, after: Config): Promise<void> {
    if (this.#state === 'closed') return
    this.#config = after
    if (this.#state !== 'running' || !this.#wanted || !this.part.reload) return this.#restart()
    const run = this.#run
    const reloading = (async () => this.part.reload?.(before, after))().then(
      () => {
        if (run !== this.#run || this.#state === 'running') return
        this.#options.log.info('a part has finished its reload', { part: this.part.name })
        this.#become('running')
      },
      async er => {
        // It was closed or started again meanwhile.
        if (run !== this.#run) return
        this.#fail(er)
        await this.#restart()
      },
    )
    if ((await within(this.#startMs, reloading)) || run !== this.#run) return
    this.#options.log.warn('a part does not finish its reload; nothing waits for it any more', {
      part: this.part.name,
    })
    this.#become('starting')
  }

  get #wanted(): boolean {
    return this.part.wanted?.(this.#config!) ?? true
  }

  /** Closes the part, and starts it anew if it is wanted. */
  async #restart(): Promise<void> {
    const stopped = this.#stop(CLOSE_MS)
    const run = this.#run
    await stopped
    if (run !== this.#run) return
    this.#backoff.reset()
    if (this.#wanted) await within(this.#startMs, this.#attempt())
    else {
      this.#failures = 0
      this.#become('off')
    }
  }

  /** Lets a running part write its files. Rejects if it cannot; resolves after `ms` at the latest. */
  async save(ms: Milliseconds): Promise<void> {
    if (this.#state === 'running') await within(ms, this.part.save?.())
  }

  /** Closes the part. Resolves after `ms` at the latest, with whether it has closed. */
  async close(ms: Milliseconds): Promise<boolean> {
    const closed = this.#stop(ms)
    this.#become('closed')
    return closed
  }

  get status(): PartStatus {
    return {
      name: this.part.name,
      state: this.#state,
      error: this.#error,
      since: this.#since,
      failures: this.#failures,
    }
  }

  /** Its problems for the operator. */
  trouble(): readonly Reason[] {
    const { name } = this.part
    if (this.#state === 'failed')
      return [{ name, detail: `cannot start, is tried again: ${this.#error}` }]
    const waits = this.#options.now() - this.#since
    if (this.#state === 'starting' && waits > this.#startMs)
      return [{ name, detail: `has been starting for ${Math.round(waits / 1000)} s` }]
    try {
      return this.#state === 'running' ? (this.part.status?.() ?? []) : []
    } catch (er) {
      return [{ name, detail: messageOf(er) }]
    }
  }

  async #attempt(): Promise<void> {
    const run = ++this.#run
    if (this.#state !== 'failed') this.#become('starting')
    try {
      await this.part.start(this.#config!)
    } catch (er) {
      if (run === this.#run) this.#fail(er)
      return
    }
    if (run !== this.#run) return
    if (this.#failures > 0)
      this.#options.log.info('a part that could not start runs now', { part: this.part.name })
    this.#failures = 0
    this.#become('running')
  }

  #fail(er: unknown): void {
    const why = messageOf(er)
    if (this.#state !== 'failed' || why !== this.#error)
      this.#options.log.error('a part cannot start, DNS goes on without it; it is tried again', {
        part: this.part.name,
        err: why,
      })
    this.#failures++
    this.#become('failed', why)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#attempt(), this.#backoff.next()).unref()
  }

  async #stop(ms: Milliseconds): Promise<boolean> {
    this.#run++
    clearTimeout(this.#timer)
    const hung = this.#state === 'starting'
    let closed = false
    try {
      closed = await within(ms, (async () => this.part.close())())
    } catch (er) {
      this.#options.log.warn('a part did not close well', {
        part: this.part.name,
        err: messageOf(er),
      })
      return true
    }
    if (!closed)
      this.#options.log.warn('a part did not close in time', { part: this.part.name, ms })
    return closed && !hung
  }

  #become(state: PartState, error = ''): void {
    if (state !== this.#state || error !== this.#error) this.#since = this.#options.now()
    this.#state = state
    this.#error = error
  }
}

/** Whether the work is done within `ms`; rejects if the work rejects. */
export const within = async (ms: Milliseconds, work: Promise<unknown> | void): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>(resolve => {
    timer = setTimeout(() => resolve(false), ms)
  })
  try {
    return await Promise.race([Promise.resolve(work).then(() => true), late])
  } finally {
    clearTimeout(timer)
  }
}
