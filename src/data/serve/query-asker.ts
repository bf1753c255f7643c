/** A client's query as an asker. One object instead of three closures per miss. */
import type { Client } from '../../base/ip.ts'
import type { Asker } from '../answer/answerer.ts'
import type { Entry } from '../cache/entry.ts'
import type { Query } from '../forward/query.ts'

/** Writes the response. */
export interface Responder {
  answer(query: Query, entry: Entry, ede: number): void
}

export class QueryAsker implements Asker {
  readonly links = 0
  readonly #query: Query
  readonly #responder: Responder
  #answered = false

  constructor(query: Query, responder: Responder) {
    this.#query = query
    this.#responder = responder
  }

  get client(): Client {
    return this.#query.client
  }
  get recursionDesired(): boolean {
    return this.#query.head.recursionDesired
  }
  get watch(): Asker['watch'] {
    return this.#query.watch
  }

  answer(entry: Entry, ede: number): void {
    if (this.take()) this.#responder.answer(this.#query, entry, ede)
  }

  /** True on the first call only, so that a query never gets two responses. */
  take(): boolean {
    const may = !this.#answered
    this.#answered = true
    return may
  }
}
