/**
 * The owners of a zone and their records. Each record counts how many sources contribute it (tasks of one name,
 * agents with one address), and is removed with the last one. Code that repeatedly adds records of one name keeps
 * its `Owner`, because the look-up by name is the most expensive part.
 */
import { Many, type Tally } from './tally.ts'

export const RECORD_TYPES = ['A', 'AAAA', 'SRV'] as const
export type RecordType = (typeof RECORD_TYPES)[number]

/** The records of a name by type. */
export type NameRecords = { readonly [type in RecordType]: Tally | undefined }

/** One name. It is in the zone while it has records. */
export class Owner implements NameRecords {
  /** Lower case, no final dot. */
  readonly name: string
  A: Tally | undefined = undefined
  AAAA: Tally | undefined = undefined
  SRV: Tally | undefined = undefined
  /**
   * Whether this object holds the records of its name; there may be another object for the name. Set by `Owners`.
   */
  listed = false
  /** Whether it has changed since the last `take`. Set by `Owners`. */
  touched = false

  constructor(name: string) {
    this.name = name
  }
}

/**
 * Joins parts to one flat string for names and data. V8 would otherwise store a concatenation as its parts, which
 * makes each later comparison slow.
 */
export const flat = (...parts: string[]): string => parts.join('')

/** Receives the records of a source. */
export type Sink = (owner: Owner, type: RecordType, data: string) => void

export class Owners {
  readonly #listed = new Map<string, Owner>()
  #touched: Owner[] = []

  /** Owners with records, by name. Changes while it is read. */
  get names(): ReadonlyMap<string, Owner> {
    return this.#listed
  }

  /** Adds one contribution to a record. */
  readonly add: Sink = (owner, type, data) => {
    const at = owner.listed ? owner : this.#list(owner)
    const had = at[type]
    if (had === undefined) at[type] = data
    else {
      const many = typeof had === 'string' ? (at[type] = new Many(had)) : had
      if (!many.add(data)) return
    }
    this.#touch(at)
  }

  /** Removes one contribution from a record. */
  readonly remove: Sink = (owner, type, data) => {
    const at = owner.listed ? owner : this.#listed.get(owner.name)
    const had = at?.[type]
    if (at === undefined || had === undefined) return
    if (typeof had === 'string' ? had !== data : !had.remove(data)) return
    this.#touch(at)
    if (typeof had === 'string' || had.values.length === 0) at[type] = undefined
    if (at.A || at.AAAA || at.SRV) return
    this.#listed.delete(at.name)
    at.listed = false
  }

  /** Owners that have changed since the last call, each name once. An owner that is not listed was removed. */
  take(): Owner[] {
    const touched = this.#touched
    this.#touched = []
    for (const owner of touched) owner.touched = false
    // a name may have been removed and added as another object
    return touched.filter(owner => owner.listed || !this.#listed.has(owner.name))
  }

  #touch(owner: Owner): void {
    if (owner.touched) return
    owner.touched = true
    this.#touched.push(owner)
  }

  #list(owner: Owner): Owner {
    const known = this.#listed.get(owner.name)
    if (known) return known
    this.#listed.set(owner.name, owner)
    owner.listed = true
    return owner
  }
}
