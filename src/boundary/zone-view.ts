/**
 * A zone that is computed from its source records on each look-up, and not stored. Storing it would keep a
 * large cluster's records in memory twice and slow down each rebuild.
 */
import type { Owner, RRset } from './messages.ts'
import type { ZoneMap } from './zone.ts'

export class ZoneView<T> implements ZoneMap {
  readonly #names: ReadonlyMap<string, T>
  readonly #rrsetsOf: (records: T) => readonly RRset[]

  constructor(names: ReadonlyMap<string, T>, rrsetsOf: (records: T) => readonly RRset[]) {
    this.#names = names
    this.#rrsetsOf = rrsetsOf
  }

  get size(): number {
    return this.#names.size
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  get(name: string): readonly RRset[] | undefined {
    const records = this.#names.get(name)
    return records === undefined ? undefined : this.#rrsetsOf(records)
  }

  keys(): IterableIterator<string> {
    return this.#names.keys()
  }

  *[Symbol.iterator](): IterableIterator<Owner> {
    for (const [name, records] of this.#names) yield [name, this.#rrsetsOf(records)]
  }
}
