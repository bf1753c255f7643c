/**
 * One question over TCP, TLS or HTTPS: a first attempt, and a second on a new
 * connection when the first is late, as a datagram is sent again. p-any takes
 * whichever answers first; the other is told to stop.
 */
import pAny from 'p-any'

/** Asks once. `fresh` wants a connection other than one that has gone silent. Rejects when there is no response. */
export type AskOnce = (signal: AbortSignal, fresh: boolean) => Promise<Buffer>

export class StreamAttempts {
  readonly #stop = new AbortController()
  #startSecond: (() => void) | undefined
  /** The response. Rejects when no attempt that was begun can succeed any more. */
  readonly response: Promise<Buffer>

  constructor(askOnce: AskOnce) {
    const { signal } = this.#stop
    const first = askOnce(signal, false)
    const second = new Promise<Buffer>((resolve, reject) => {
      this.#startSecond = () => resolve(askOnce(signal, true))
      // Without a second attempt under way the end of the first is the end.
      first.catch(reject)
    })
    this.response = pAny([first, second]).finally(() => this.#stop.abort())
  }

  /** The first attempt is late: makes a second, once. */
  again(): void {
    this.#startSecond?.()
    this.#startSecond = undefined
  }

  /** Nobody wants the response any more. */
  stop(): void {
    this.#stop.abort()
  }
}
