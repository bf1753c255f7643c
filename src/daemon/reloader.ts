/**
 * The configuration in use, and how it is replaced: read the file, plan what
 * changes, let the parts follow, and say key by key what came of it. A file
 * that cannot be used changes nothing.
 */
import { messageOf } from '../base/error.ts'
import { problemsOf, showProblem, type Config } from '../config/config.ts'
import type { Parts } from '../control/parts.ts'
import type { Route } from '../http/route.ts'
import type { ConfigStatus } from '../ops/status.ts'

/** What came of one reload. */
export type ReloadOutcome = {
  readonly outcome: 'applied' | 'needs restart' | 'refused'
  /** Keys whose new values are in use. */
  readonly applied: readonly string[]
  /** Keys whose new values are used after a restart, those of earlier reloads included. */
  readonly needsRestart: readonly string[]
  /** Why it was refused, one line a problem; '' otherwise. */
  readonly error: string
}

export type ReloaderOptions = {
  readonly file: string
  /** Rejects with ECONFIG. */
  readonly read: () => Promise<Config>
  readonly parts: Parts
  /** Names of parts that follow every reload. */
  readonly always: readonly string[]
  readonly onBegin: () => void
  readonly onEnd: (outcome: ReloadOutcome) => void
}

/** Reading the file and starting some parts anew, on a busy machine. */
const ROUTE_MS = 60_000

export class Reloader {
  /** The configuration in use. */
  config: Config
  reloads = 0
  refused = 0
  readonly #options: ReloaderOptions
  #status: ConfigStatus
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  constructor(config: Config, options: ReloaderOptions) {
    this.config = config
    this.#options = options
    this.#status = { file: options.file, loadedAt: Date.now(), error: '', needsRestart: [] }
  }

  get status(): ConfigStatus {
    return this.#status
  }

  /** No reload begins any more. */
  close(): void {
    this.#closed = true
  }

  /** One after the other: of two reloads the later one's file is what stays. Never rejects. */
  reload(): Promise<ReloadOutcome> {
    const outcome = this.#last.then(() => this.#once())
    this.#last = outcome
    return outcome
  }

  async #once(): Promise<ReloadOutcome> {
    const { read, parts, always, onBegin, onEnd } = this.#options
    if (this.#closed) return refusal('the daemon is stopping')
    onBegin()
    this.reloads++
    let outcome: ReloadOutcome
    try {
      const wanted = await read()
      if (this.#closed) return refusal('the daemon is stopping')
      const before = this.config
      // Whoever asks for the configuration meanwhile gets the new one.
      const plan = await parts.reload(before, wanted, always, next => (this.config = next))
      const { pending } = plan
      outcome = {
        outcome: pending.length > 0 ? 'needs restart' : 'applied',
        applied: [...plan.applied.keys()],
        needsRestart: pending,
        error: '',
      }
      this.#status = { ...this.#status, loadedAt: Date.now(), error: '', needsRestart: pending }
    } catch (er) {
      this.refused++
      outcome = refusal(complaint(this.#options.file, er))
      this.#status = { ...this.#status, error: outcome.error }
    }
    onEnd(outcome)
    return outcome
  }

  /** `spartan reload` asks here; what it gets is a ReloadOutcome. */
  routes(): Route[] {
    return [
      {
        method: 'POST',
        path: '/v1/reload',
        timeoutMs: ROUTE_MS,
        handle: async () => ({ json: await this.reload() }),
      },
    ]
  }
}

const refusal = (error: string): ReloadOutcome => ({
  outcome: 'refused',
  applied: [],
  needsRestart: [],
  error,
})

/** Every problem of a configuration on a line of its own, as compilers print them. */
export const complaint = (path: string, er: unknown): string =>
  problemsOf(er)
    .map(problem => showProblem(path, problem))
    .join('\n') || `${path}: ${messageOf(er)}`
