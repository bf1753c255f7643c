/**
 * A job of which one run at most is under way. Calls while it runs are combined into one more run after it, so that
 * the last call is always followed by a whole run, and a burst of calls costs two.
 */
export class Combined {
  readonly #job: () => Promise<void>
  #running: Promise<void> | undefined
  #again = false
  #closed = false

  constructor(job: () => Promise<void>) {
    this.#job = job
  }

  /** Resolves after the runs that this call needs; rejects when the job does. */
  run(): Promise<void> {
    if (this.#running) this.#again = true
    else this.#running = this.#all().finally(() => (this.#running = undefined))
    return this.#running ?? Promise.resolve()
  }

  /** No run begins after this; resolves when the one under way has ended. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #all(): Promise<void> {
    do {
      this.#again = false
      await this.#job()
    } while (this.#again && !this.#closed)
  }
}
