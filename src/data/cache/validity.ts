/**
 * Whether a stored answer may be given now. Nothing else decides it.
 *
 * An answer depends on its source: the version of the route or zone it came
 * from, and of the zones that its aliases and SRV targets lead to. A change
 * there gives the source another number, and ends every answer that was
 * stored under the old one.
 *
 *                                     same source   changed source
 *     before its end                  FRESH         CHANGED
 *     past its end, within its        STALE         CHANGED
 *       stale limit (RFC 8767)
 *     past the stale limit            OVER          CHANGED
 *
 * A hit gives FRESH only. STALE stands in while the upstreams fail. OVER and
 * CHANGED are never given.
 *
 * An answer is stored only if its source is still the one that its question
 * was launched under: see `Sources` for the number and `ForwardAnswerer` for
 * questions that were in flight during a change.
 */
import type { Entry } from './entry.ts'

export const FRESH = 0
export const STALE = 1
export const OVER = 2
export const CHANGED = 3
export type Verdict = typeof FRESH | typeof STALE | typeof OVER | typeof CHANGED

/** Applies the table above. Times are milliseconds on one clock. */
export const verdict = (
  now: number,
  expiresAt: number,
  staleUntil: number,
  sameSource: boolean,
): Verdict => {
  if (!sameSource) return CHANGED
  if (now < expiresAt) return FRESH
  return now < staleUntil ? STALE : OVER
}

export class Validity {
  /** Increases with every change of routes or zones. Each entry is checked once per epoch. */
  epoch = 1
  readonly #sourceOf: (entry: Entry) => number

  /** @param sourceOf the current number of an entry's source */
  constructor(sourceOf: (entry: Entry) => number) {
    this.#sourceOf = sourceOf
  }

  of(entry: Entry, now: number): Verdict {
    const same = entry.epoch === this.epoch || this.#check(entry)
    const { expiresAt } = entry
    // Usually fresh; then its stale limit need not be read.
    const staleUntil = now < expiresAt ? expiresAt : entry.staleUntil
    return verdict(now, expiresAt, staleUntil, same)
  }

  /** Whether an answer that is composed from this entry may be stored. */
  mayBeBuiltOn(entry: Entry, now: number): boolean {
    return !entry.apart && this.of(entry, now) === FRESH
  }

  /** Computes the source again, and remembers for this epoch that it is unchanged. */
  #check(entry: Entry): boolean {
    if (this.#sourceOf(entry) !== entry.source) return false
    entry.epoch = this.epoch
    return true
  }
}
