/**
 * Watches the data thread from the main one: its status, how long it has been silent, samples of its counters for the
 * plots, and how late the timers of this thread fire. The status is only asked for when somebody wants to see it,
 * because the answers to our own queries show that the thread works.
 */
import { together } from '../base/together.ts'
import type { DataStatus, Milliseconds } from '../boundary/messages.ts'
import { within } from '../control/supervised.ts'
import { LoopLag } from '../ops/loop-lag.ts'
import { SAMPLE_MS, type Recent } from '../ops/recent.ts'

/** Nobody waits longer than this for the status. */
const LOOK_MS: Milliseconds = 1_000

export type DataWatchOptions = {
  readonly recent: Pick<Recent, 'sample'>
  /** Asks the data thread for its status; rejects if it does not answer. */
  readonly ask: () => Promise<DataStatus>
  /** When it last answered one of our own queries, on the clock of performance.now(); -Infinity for never. */
  readonly answeredAt: () => Milliseconds
  /** Monotonic. Default: performance.now. */
  readonly now?: () => Milliseconds
}

export class DataWatch {
  readonly loopLag = new LoopLag()
  readonly #options: DataWatchOptions
  readonly #now: () => Milliseconds
  #end: (() => void) | undefined
  #status: DataStatus | undefined
  #statusAt: Milliseconds

  constructor(options: DataWatchOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#statusAt = this.#now()
  }

  /** The last status it gave. */
  get status(): DataStatus | undefined {
    return this.#status
  }

  /** Time since the thread last gave its status or answered a query of ours, or since the start. */
  get silence(): Milliseconds {
    return this.#now() - Math.max(this.#statusAt, this.#options.answeredAt())
  }

  start(): void {
    const { recent } = this.#options
    recent.sample(this.#now())
    // From its first answer on, silence means that it hangs.
    void this.look()
    this.#end = together(SAMPLE_MS, now => {
      this.loopLag.fired(now)
      recent.sample(now)
      this.loopLag.begin(now + SAMPLE_MS)
    })
  }

  close(): void {
    this.#end?.()
  }

  /** Asks for the status now; the last one if the thread does not answer in time. Never rejects. */
  async look(): Promise<DataStatus | undefined> {
    await within(LOOK_MS, this.#ask())
    return this.#status
  }

  async #ask(): Promise<void> {
    try {
      this.#status = await this.#options.ask()
      this.#statusAt = this.#now()
    } catch {
      // The silence goes on.
    }
  }
}
