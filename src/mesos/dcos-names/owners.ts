/**
 * The owners of a zone and their records, each record counted by the things
 * that make it: namesakes, agents of one address. A record goes with the last
 * that makes it. Whoever makes records of one name again and again keeps its
 * `Owner`, because finding it by name is most of what a record costs.
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
  /** Whether this object holds the records of its name; another may. Set by `Owners`. */
  listed = false
  /** Whether it changed since the last `take`. Set by `Owners`. */
  touched = false

  constructor(name: string) {
    this.name = name
  }
}

/**
 * Parts as one string for names and data. Put together otherwise, a string is
 * kept as its parts, and each of the comparisons that come is slow.
 */
export const flat = (...parts: string[]): string => parts.join('')

/** Takes the records that something makes. */
export type Sink = (owner: Owner, type: RecordType, data: string) => void

export class Owners {
  readonly #listed = new Map<string, Owner>()
  #touched: Owner[] = []

  /** Those with records, by name. Changes under the reader's feet. */
  get names(): ReadonlyMap<string, Owner> {
    return this.#listed
  }

  /** One more makes this record. */
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

  /** One of those that made it does no longer. */
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

  /** What changed since the last call, each name once: an owner that is not listed is gone. */
  take(): Owner[] {
    const touched = this.#touched
    this.#touched = []
    for (const owner of touched) owner.touched = false
    // a name may have gone and come back as another object
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
