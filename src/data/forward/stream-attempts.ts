/**
 * One question over TCP, TLS or HTTPS: a first attempt and, if it is late, a second one on a new connection, similar
 * to repeating a datagram. p-any takes the first response, and the other attempt is stopped.
 */
import pAny from 'p-any'

/** Asks once. `fresh` requires a connection that has not been silent. Rejects if there is no response. */
export type AskOnce = (signal: AbortSignal, fresh: boolean) => Promise<Buffer>

export class StreamAttempts {
  readonly #stop = new AbortController()
  #startSecond: (() => void) | undefined
  /** The response. Rejects when no started attempt can succeed any more. */
  readonly response: Promise<Buffer>

  constructor(askOnce: AskOnce) {
    const { signal } = this.#stop
    const first = askOnce(signal, false)
    const second = new Promise<Buffer>((resolve, reject) => {
      this.#startSecond = () => resolve(askOnce(signal, true))
      // Without a second attempt, the first one's failure is final.
      first.catch(reject)
    })
    this.response = pAny([first, second]).finally(() => this.#stop.abort())
  }

  /** The first attempt is late: starts a second one, once. */
  again(): void {
    this.#startSecond?.()
    this.#startSecond = undefined
  }

  /** The response is no longer needed. */
  stop(): void {
    this.#stop.abort()
  }
}
