/**
 * Upstreams over TCP and TLS (RFC 7766, 7858): one connection at a time with many questions, replies in any order. A
 * connection that was closed or is silent is replaced.
 */
import { fail } from '../../base/error.ts'
import { StreamConnection, type StreamContext, type StreamTarget } from './stream-connection.ts'

export class StreamUpstream {
  readonly #target: StreamTarget
  readonly #context: StreamContext
  #connection: StreamConnection | undefined
  #closed = false

  constructor(target: StreamTarget, context: StreamContext) {
    this.#target = target
    this.#context = context
  }

  /**
   * The reply to a question, with another ID. Rejects if the connection fails or `signal` is aborted. `fresh`: an
   * earlier attempt is late, so a new connection is used, unless the current one has received a reply lately: then
   * the question itself is slow.
   */
  async ask(question: Buffer, signal: AbortSignal, fresh: boolean): Promise<Buffer> {
    if (this.#closed) throw fail('closed', 'ESTATE')
    if (fresh) {
      if (this.#connection && !this.#connection.isSilent)
        throw fail('the connection answers other questions', 'ESTATE')
      this.#replace()
    }
    const connection = this.#current()
    const { hasAnswered } = connection
    try {
      return await connection.ask(question, signal)
    } catch (er) {
      // Servers close idle connections; a question sent at that moment was not processed, so it is sent again.
      if (!connection.isOver || !hasAnswered || signal.aborted) throw er
      return await this.#current().ask(question, signal)
    } finally {
      if (connection === this.#connection && connection.isSilent) this.#replace()
    }
  }

  close(): void {
    this.#closed = true
    this.#connection?.close()
  }

  #current(): StreamConnection {
    if (!this.#connection || this.#connection.isOver)
      this.#connection = new StreamConnection(this.#target, this.#context)
    return this.#connection
  }

  /** The next question opens a new connection; the old one ends with its last question. */
  #replace(): void {
    this.#connection?.retire()
    this.#connection = undefined
  }
}
