/**
 * Watches the data thread from the main one: its last status and the age of it, samples of its counters for the plots,
 * and how late the timers of this thread fire. Whoever shows the status asks for it again.
 */
import { together } from '../base/together.ts'
import type { DataStatus, Milliseconds } from '../boundary/messages.ts'
import { LoopLag } from '../ops/loop-lag.ts'
import { SAMPLE_MS, type Recent } from '../ops/recent.ts'

export type DataWatchOptions = {
  readonly recent: Pick<Recent, 'sample'>
  /** Asks the data thread for its status; rejects if it does not answer. */
  readonly ask: () => Promise<DataStatus>
}

export class DataWatch {
  readonly loopLag = new LoopLag()
  readonly #options: DataWatchOptions
  #end: (() => void) | undefined
  #status: DataStatus | undefined
  #statusAt: Milliseconds = performance.now()

  constructor(options: DataWatchOptions) {
    this.#options = options
  }

  /** The last status it gave. */
  get status(): DataStatus | undefined {
    return this.#status
  }

  /** Time since that status, or since the start if there is none. */
  get age(): Milliseconds {
    return performance.now() - this.#statusAt
  }

  start(): void {
    this.#check()
    this.#end = together(SAMPLE_MS, now => {
      this.loopLag.fired(now)
      this.#check()
      this.loopLag.begin(now + SAMPLE_MS)
    })
  }

  close(): void {
    this.#end?.()
  }

  /** Asks for the status now. Never rejects: if the thread does not answer, the age of its last status shows it. */
  async look(): Promise<DataStatus | undefined> {
    try {
      this.#status = await this.#options.ask()
      this.#statusAt = performance.now()
    } catch {
      // The age goes on growing.
    }
    return this.#status
  }

  #check(): void {
    this.#options.recent.sample(performance.now())
    void this.look()
  }
}
