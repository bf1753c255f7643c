/**
 * Assigns each upstream a row of the shared per-upstream counters. An upstream keeps its row while it is configured,
 * and for a while afterwards because exchanges under way still count there. Then the row is set to zero and may be
 * reused.
 */
import type { Milliseconds, UpstreamSpec } from '../../boundary/messages.ts'
import { UPSTREAMS } from '../../boundary/counters.ts'
import { showUpstream, type Upstream } from '../../config/address.ts'

/** An upstream without a slot. */
export type UpstreamAddress = Upstream

/** Longer than any exchange, and long enough for a scraper to read the last counts. */
const KEEP_MS: Milliseconds = 10 * 60_000

export type UpstreamSlotsOptions = {
  /** Milliseconds, monotonic. */
  readonly now: () => Milliseconds
  /** Sets the counters of a slot to zero. */
  readonly clearUpstream: (slot: number) => void
}

type Held = { readonly slot: number; usedAt: Milliseconds }

export class UpstreamSlots {
  readonly #options: UpstreamSlotsOptions
  readonly #held = new Map<string, Held>()
  #now: Milliseconds = 0

  constructor(options: UpstreamSlotsOptions) {
    this.#options = options
  }

  /** Begins a Snapshot: upstreams that are not requested from now on are no longer used. */
  begin(): void {
    this.#now = this.#options.now()
    // Upstreams of the previous Snapshot were in use until now.
    for (const held of this.#held.values()) if (held.usedAt === Infinity) held.usedAt = this.#now
  }

  /** The upstream with its slot. */
  withSlot(upstream: UpstreamAddress): UpstreamSpec {
    const name = showUpstream(upstream)
    let held = this.#held.get(name)
    if (!held) this.#held.set(name, (held = { slot: this.#free(), usedAt: Infinity }))
    held.usedAt = Infinity
    return { ...upstream, slot: held.slot }
  }

  list(): { slot: number; name: string }[] {
    return [...this.#held].map(([name, { slot }]) => ({ name, slot }))
  }

  /** A free slot. If there is none, upstreams share the last one: they work, but their counts are summed. */
  #free(): number {
    const taken = new Set([...this.#held.values()].map(held => held.slot))
    for (let slot = 0; slot < UPSTREAMS - 1; slot++) if (!taken.has(slot)) return slot
    for (const [name, { slot, usedAt }] of this.#held) {
      if (slot === UPSTREAMS - 1 || this.#now - usedAt < KEEP_MS) continue
      this.#held.delete(name)
      this.#options.clearUpstream(slot)
      return slot
    }
    return UPSTREAMS - 1
  }
}
