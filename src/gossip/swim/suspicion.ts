/**
 * How long a suspect has time to refute. The time starts long and shrinks with each independent accuser, because a
 * single accuser may itself be the unhealthy one (Lifeguard's dynamic suspicion timeout).
 */

/** memberlist's LAN defaults. */
export const SUSPICION_MULT = 4
const LONGEST_MULT = 6

/** Shortest time to refute in a ring of n members, milliseconds. */
export const shortestSuspicion = (n: number, probeMs: number): number =>
  SUSPICION_MULT * Math.max(1, Math.log10(Math.max(1, n))) * probeMs

/** Number of further accusers that reduce the time to its shortest; 0 in a ring too small to have them. */
export const wantedConfirmations = (n: number): number =>
  n - 2 < SUSPICION_MULT - 2 ? 0 : SUSPICION_MULT - 2

/** The time from the first accusation, after `confirmations` of `wanted` further ones. */
export const suspicionTime = (confirmations: number, wanted: number, shortest: number): number => {
  if (wanted < 1) return shortest
  const longest = shortest * LONGEST_MULT
  const share = Math.log(confirmations + 1) / Math.log(wanted + 1)
  return Math.max(shortest, Math.floor(longest - share * (longest - shortest)))
}

/** The suspicion against one member. */
export class Suspicion {
  since: number
  readonly #accusers: Set<string>
  readonly #wanted: number
  readonly #shortest: number

  constructor(accuser: string, n: number, probeMs: number, now: number) {
    this.since = now
    this.#accusers = new Set([accuser])
    this.#wanted = wantedConfirmations(n)
    this.#shortest = shortestSuspicion(n, probeMs)
  }

  /** Accusers after the first. */
  get confirmations(): number {
    return this.#accusers.size - 1
  }

  /** When the time to refute ends. */
  get until(): number {
    return this.since + suspicionTime(this.confirmations, this.#wanted, this.#shortest)
  }

  /** Extends the time by a stall of our own event loop. */
  shift(by: number): void {
    this.since += by
  }

  /** Adds an accuser; true if this is news that should be passed on. */
  confirm(accuser: string): boolean {
    if (this.confirmations >= this.#wanted || this.#accusers.has(accuser)) return false
    this.#accusers.add(accuser)
    return true
  }
}
