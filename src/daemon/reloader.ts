/**
 * The configuration in use, and its replacement: reads the file, plans the changes, applies them to the parts, and
 * reports the result key by key. An unusable file changes nothing.
 */
import { messageOf } from '../base/error.ts'
import { oneLine } from '../base/printable.ts'
import { problemsOf, showProblem, type Config } from '../config/config.ts'
import type { Parts } from '../control/parts.ts'
import type { Route } from '../http/route.ts'
import type { ConfigStatus } from '../ops/status.ts'

/** The result of one reload. */
export type ReloadOutcome = {
  readonly outcome: 'applied' | 'needs restart' | 'refused'
  /** Keys whose new values are in use. */
  readonly applied: readonly string[]
  /** Keys whose new values apply only after a restart, including those of earlier reloads. */
  readonly needsRestart: readonly string[]
  /** Why it was refused, one line per problem; '' otherwise. */
  readonly error: string
}

export type ReloaderOptions = {
  readonly file: string
  /** Rejects with ECONFIG. */
  readonly read: () => Promise<Config>
  readonly parts: Parts
  /** Names of parts that are included in every reload. */
  readonly always: readonly string[]
  readonly onBegin: () => void
  readonly onEnd: (outcome: ReloadOutcome) => void
}

/** Limit of a reload over HTTP: reading the file and restarting parts on a busy machine. */
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

  /** No further reload begins. */
  close(): void {
    this.#closed = true
  }

  /** Reloads run one after the other, so the last one's file stays in use. Never rejects. */
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
      // Callers that read the configuration meanwhile get the new one.
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

  /** Routes for `spartan reload`, which gets a ReloadOutcome. */
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

/** Every problem of a configuration on its own line, in the format of compilers. */
export const complaint = (path: string, er: unknown): string =>
  problemsOf(er)
    .map(problem => oneLine(showProblem(path, problem)))
    .join('\n') || oneLine(`${path}: ${messageOf(er)}`)
