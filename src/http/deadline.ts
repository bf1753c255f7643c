/** Combines a deadline and the caller's signal, and remembers which of them fired. */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #timer: NodeJS.Timeout
  readonly #outside: AbortSignal | undefined
  /** Whether the deadline has passed. */
  late = false

  constructor(ms: number, outside: AbortSignal | undefined) {
    this.#outside = outside
    this.#timer = setTimeout(() => {
      this.late = true
      this.#controller.abort()
    }, ms)
    if (outside?.aborted) this.stop()
    outside?.addEventListener('abort', this.stop, { once: true })
  }

  readonly stop = (): void => this.#controller.abort()

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get stopped(): boolean {
    return this.#controller.signal.aborted
  }

  /** Ends the deadline, after the head of a stream has arrived. */
  disarm(): void {
    clearTimeout(this.#timer)
  }

  end(): void {
    clearTimeout(this.#timer)
    this.#outside?.removeEventListener('abort', this.stop)
  }
}
