/** What each master was asked and what it said, for metrics and status. */

export type SubscriptionCounts = {
  /** Streams that delivered the state. */
  subscribed: number
  polls: number
  /** Failed steps by reason: an HttpReason, 'data' or 'silence'. */
  failures: Record<string, number>
  events: number
  bytes: number
  /** Malformed events, tasks, frameworks and agents. */
  bad: number
  /** When it last sent anything usable, on the clock of the subscription; undefined for never. */
  heardAt: number | undefined
}

/** Limit of masters that are counted one by one; a redirect may name any host. */
const MOST_MASTERS = 64
const OTHER = 'other'

const none = (): SubscriptionCounts => ({
  subscribed: 0,
  polls: 0,
  failures: {},
  events: 0,
  bytes: 0,
  bad: 0,
  heardAt: undefined,
})

export class MasterCounts {
  readonly #masters = new Map<string, SubscriptionCounts>()

  /** By base URL. */
  get masters(): ReadonlyMap<string, Readonly<SubscriptionCounts>> {
    return this.#masters
  }

  of(base: string): SubscriptionCounts {
    const key = this.#masters.has(base) || this.#masters.size < MOST_MASTERS ? base : OTHER
    let counts = this.#masters.get(key)
    if (counts === undefined) this.#masters.set(key, (counts = none()))
    return counts
  }

  failed(base: string, reason: string): void {
    const { failures } = this.of(base)
    failures[reason] = (failures[reason] ?? 0) + 1
  }

  /** All masters together. */
  get total(): SubscriptionCounts {
    const sum = none()
    for (const { failures, heardAt, ...of } of this.#masters.values()) {
      for (const key of ['subscribed', 'polls', 'events', 'bytes', 'bad'] as const)
        sum[key] += of[key]
      for (const [reason, n] of Object.entries(failures))
        sum.failures[reason] = (sum.failures[reason] ?? 0) + n
      if (heardAt !== undefined) sum.heardAt = Math.max(sum.heardAt ?? heardAt, heardAt)
    }
    return sum
  }
}
