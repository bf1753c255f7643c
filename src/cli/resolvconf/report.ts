/** What `spartan resolvconf` says of its work: sentences as it goes, or one JSON document at the end. */
import { DONE, FAILED, type Io } from '../io.ts'

/** The fields of an action's JSON, beside `ok` and `remarks`. */
export type Facts = Readonly<Record<string, unknown>>

export class Report {
  readonly #io: Io
  readonly #json: boolean
  /** Everything of note, one sentence each. */
  readonly #remarks: string[] = []

  constructor(io: Io, json: boolean) {
    this.#io = io
    this.#json = json
  }

  /** A sentence for the operator that is not the result. */
  remark(sentence: string): void {
    if (this.#json) this.#remarks.push(sentence)
    else this.#io.err(`spartan: ${sentence}\n`)
  }

  /** The result as text for people. */
  text(text: string): void {
    if (!this.#json) this.#io.out(text)
  }

  /** Ends an action; returns its exit status. */
  end(ok: boolean, facts: Facts): number {
    const all = { ok, ...facts, remarks: this.#remarks }
    if (this.#json) this.#io.out(`${JSON.stringify(all, null, 2)}\n`)
    return ok ? DONE : FAILED
  }
}
