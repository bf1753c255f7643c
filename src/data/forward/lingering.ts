/**
 * Decided races that still wait for their losers, the oldest first. A list
 * whose links lie in the races: adding and taking out allocate nothing.
 */

/** A race that is decided. Only Lingering writes its links. */
export interface Lingerer {
  lingers: boolean
  older: Lingerer | undefined
  newer: Lingerer | undefined
  /** Waits no longer, and takes itself out. */
  cancel(): void
}

/** More decided races than this do not wait for their losers: by then enough is learnt. */
const MOST = 1_024

export class Lingering {
  #oldest: Lingerer | undefined
  #newest: Lingerer | undefined
  #count = 0

  get count(): number {
    return this.#count
  }

  /** Adds one; false if there is no room for it. */
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

  /** Takes one out, if it is in. */
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

  /** Lets the oldest end, to make room; false if there is none. */
  endOldest(): boolean {
    const oldest = this.#oldest
    oldest?.cancel()
    return oldest !== undefined
  }
}
