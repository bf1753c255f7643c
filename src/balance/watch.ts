/**
 * What `nft monitor` prints, read for one thing: has somebody else changed our
 * tables? It prints the changes of a transaction, then who made it:
 *
 *   delete table ip spartan_balance
 *   # new generation 8 by process 29648 (nft)
 *
 * Changed elements of maps are not printed; only the generation tells that
 * something happened. Pure.
 */
import { TABLE } from './ruleset.ts'

export type Seen =
  /** Our own tables were changed. */
  | { readonly kind: 'changed'; readonly pid: number; readonly by: string; readonly what: string }
  /** A change that is not printed: it may concern our elements. */
  | { readonly kind: 'unseen'; readonly pid: number }
  | { readonly kind: 'other'; readonly pid: number }

const GENERATION = /^# new generation \d+ by process (\d+) \(([^)]*)\)/
const OURS = new RegExp(`^(?:add|delete|insert|replace|flush) \\w+ ip6? ${TABLE}(?:\\s|$)`)

export class MonitorReader {
  #ours = ''
  #lines = 0

  /** The change that a line completes; undefined within a transaction. */
  line(text: string): Seen | undefined {
    const generation = GENERATION.exec(text)
    if (!generation) {
      if (/^(?:add|delete|insert|replace|flush) /.test(text)) {
        this.#lines++
        // Deleting the table also deletes its rules, so only the table is reported.
        if (OURS.test(text) && (this.#ours === '' || text.startsWith('delete table')))
          this.#ours = text
      }
      return undefined
    }
    const [what, lines] = [this.#ours, this.#lines]
    this.#ours = ''
    this.#lines = 0
    const pid = Number(generation[1])
    if (what !== '') return { kind: 'changed', pid, by: generation[2] ?? '', what }
    return { kind: lines === 0 ? 'unseen' : 'other', pid }
  }
}
