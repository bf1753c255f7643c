/**
 * What the records show to the daemon: for each key the entries of owners with the best rank that have it
 * (owner.ts), and which keys changed. In short: a dead owner's entries are shown only if no live owner has any.
 */
import { rankOf } from './owner.ts'
import type { Replica } from './replica.ts'
import { DELETED, REFUSED } from './table.ts'
import { type Entry, type Key, type Kind, kindCode, kindOf, keyOctets } from './types.ts'

const HIDDEN = DELETED | REFUSED

export class View {
  readonly #replica: Replica
  readonly #synced: () => boolean
  readonly #listeners = new Set<(keys: readonly Key[]) => void>()

  constructor(replica: Replica, synced: () => boolean) {
    this.#replica = replica
    this.#synced = synced
  }

  /** The entries shown under a key; empty if there are none. */
  lookup(key: Key): Entry[] {
    const octets = keyOctets(key)
    const k = octets ? this.#replica.table.keys.find(octets, 0, octets.length) : 0
    return k === 0 ? [] : this.#shown(k, key)
  }

  /** All shown entries of a kind, unordered. Changes during the iteration may or may not be seen. */
  *entries(kind: Kind): Generator<Entry> {
    const { table } = this.#replica
    const code = kindCode(kind)
    for (let k = 1; k < table.keys.rows; k++) {
      if (table.keys.first[k] === 0 || table.keys.octet(k, 0) !== code) continue
      yield* this.#shown(k, { kind, name: table.keys.name(k) })
    }
  }

  #shown(k: number, { kind, name }: Key): Entry[] {
    const { table } = this.#replica
    const synced = this.#synced()
    let best = 3
    const found: Entry[] = []
    for (let e = table.keys.first[k] as number; e !== 0; e = table.chainAfter[e] as number) {
      if ((table.flags[e] as number) & HIDDEN) continue
      const owner = this.#replica.byId(table.owner[e] as number)
      // Dropped, and not yet removed completely.
      if (!owner || this.#replica.owners.get(owner.name) !== owner) continue
      const rank = rankOf(owner)
      if (rank > best) continue
      if (rank < best) {
        best = rank
        found.length = 0
      }
      const stale = rank === 2 || owner.held || (owner.restored && !synced)
      found.push({ kind, name, owner: owner.name, value: table.value(e), stale })
    }
    return found
  }

  /**
   * Calls the listener with keys whose entries may have changed, in batches. The returned function unsubscribes it.
   */
  onChange(listener: (keys: readonly Key[]) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Number of changed keys that were not reported yet. */
  get pending(): number {
    return this.#replica.table.keys.changes
  }

  /** Reports up to `most` changed keys. */
  tell(most: number): void {
    const { table } = this.#replica
    const keys: Key[] = []
    const heard = this.#listeners.size > 0
    table.keys.takeChanges(most, k => {
      const kind = heard ? kindOf(table.keys.octet(k, 0)) : undefined
      if (kind) keys.push({ kind, name: table.keys.name(k) })
    })
    if (keys.length > 0) for (const listener of this.#listeners) listener(keys)
  }
}
