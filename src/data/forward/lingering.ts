/**
 * The decided races that still wait for their losers, oldest first. It is a linked list whose links are fields of the
 * races, so that adding and removing allocate nothing.
 */

/** A decided race. Only Lingering writes these links. */
export interface Lingerer {
  lingers: boolean
  older: Lingerer | undefined
  newer: Lingerer | undefined
  /** Stops waiting; it must remove itself from the list. */
  cancel(): void
}

/** Limit of the list. Further races do not wait: these are enough to measure the upstreams. */
const MOST = 1_024

export class Lingering {
  #oldest: Lingerer | undefined
  #newest: Lingerer | undefined
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Adds a race; false if the list is full. */
  add(one: Lingerer): boolean {
    if (this.#count >= MOST) return false
    one.lingers = true
    one.older = this.#newest
    if (this.#newest) this.#newest.newer = one
    else this.#oldest = one
    this.#newest = one
    this.#count++
    return true
  }

  /** Removes a race, if it is in the list. */
  delete(one: Lingerer): void {
    if (!one.lingers) return
    const { older, newer } = one
    if (older) older.newer = newer
    else this.#oldest = newer
    if (newer) newer.older = older
    else this.#newest = older
    one.lingers = false
    one.older = one.newer = undefined
    this.#count--
  }

  /** Stops the oldest race, to make room; false if there is none. */
  endOldest(): boolean {
    const oldest = this.#oldest
    oldest?.cancel()
    return oldest !== undefined
  }
}
