/**
 * Keeps the kernel's rules equal to the VIP table. Each change is one nft transaction with the difference between the
 * programmed state and the wanted one. The programmed state is remembered, because reading it from the kernel is slow.
 * Whenever it may be wrong (at the start, after an error, after a change by another program), everything is replaced
 * in one transaction.
 *
 * This file is long, because each change, check and repair reads and writes the same picture of what is programmed.
 */
import type { Log } from '../base/log.ts'
import { SYNC_BOUNDS, type BalanceReport } from '../vip/feed.ts'
import { busiest, countConnections } from './connections.ts'
import type { ForeignChange, Kernel } from './kernel.ts'
import type { ReceivedTable } from './received.ts'
import {
  change,
  expectedElements,
  FAMILIES,
  listedElements,
  MAPS,
  replaceAll,
  type Layout,
  type Programmed,
} from './ruleset.ts'
import { Planner, staleFlows, type Family, type Planned, type Rules } from './services.ts'

export type BalancerOptions = {
  readonly kernel: Kernel
  readonly layout: Layout
  readonly prefer: 'none' | 'local'
  readonly log: Log
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Links whose members can reach each other through them. */
  readonly links: () => readonly string[]
  /** Called after each attempt with the version in the kernel, or with the error. */
  readonly onSync: (version: string | undefined) => void
  readonly retryMs?: number
}

const RETRY_MS = 1_000
/** Reading the kernel's maps may take at most this share of the time. */
const LISTING_SHARE = 10

export class Balancer {
  readonly #options: BalancerOptions
  #table: ReceivedTable | undefined
  #programmed: Programmed | undefined
  /** How often the programmed rules turned out to be gone. */
  #losses = 0
  readonly #planner: Planner
  #planned: Planned | undefined
  #running: Promise<void> | undefined
  #again = false
  #closed = false
  #retry: NodeJS.Timeout | undefined
  /** Something in nftables has changed, but the event does not show what. */
  #doubtful = false
  #looking = false
  #listedAt = -Infinity
  #listingMs = 0
  #trouble = ''
  /** Connections of the busiest VIPs at the last check. */
  #connections: Record<string, number> = {}
  #counts = { syncs: 0, replaced: 0, failures: 0, mended: 0, forgotten: 0 }
  readonly #durations = new Array<number>(SYNC_BOUNDS.length + 2).fill(0)

  constructor(options: BalancerOptions) {
    this.#options = options
    this.#planner = new Planner({ prefer: options.prefer, ipv6: options.layout.ipv6 })
  }

  /** Sets the wanted table. */
  take(table: ReceivedTable): void {
    this.#table = table
    this.#wake()
  }

  /** Another program changed nftables. */
  foreign(seen: ForeignChange): void {
    if (seen.kind === 'unseen') {
      this.#doubtful = true
      return
    }
    if (seen.kind === 'perhaps') {
      void this.#look()
      return
    }
    if (!this.#table) return
    this.#options.log.warn('somebody else changed our rules; they are put back', {
      by: seen.by,
      what: seen.what,
    })
    this.#lost()
  }

  /** Call it every 25 s: it finds changes that no event reported, and links that were added or removed. */
  async check(): Promise<void> {
    const { log } = this.#options
    await this.#running
    if (!this.#programmed || this.#closed) return
    if (await this.#areGone()) {
      log.warn('our rules are gone; they are put back', {})
      this.#lost()
    } else if (this.#doubtful && (await this.#differs())) {
      log.warn('somebody else changed elements of our rules; they are put back', {})
      this.#lost()
    }
    this.#wake()
    await this.#running
    await this.#countConnections()
  }

  /** Looks soon whether our tables are there; calls meanwhile are one. */
  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    await this.#running
    this.#looking = false
    if (!(await this.#areGone())) return
    this.#options.log.warn('somebody else changed our rules; they are put back', {
      what: 'they are gone',
    })
    this.#lost()
  }

  /** Whether a table that was programmed is not there. */
  async #areGone(): Promise<boolean> {
    const { kernel, layout } = this.#options
    if (!this.#programmed || this.#closed) return false
    const tables = await kernel.tables()
    const wanted: readonly Family[] = layout.ipv6 ? FAMILIES : [4]
    return this.#programmed !== undefined && wanted.some(family => !tables.includes(family))
  }

  async #countConnections(): Promise<void> {
    const { kernel, layout } = this.#options
    const counts = new Map<string, number>()
    for (const family of layout.ipv6 ? FAMILIES : ([4] as const)) {
      const listing = await kernel.flows(family)
      for (const [key, count] of countConnections(listing, this.#last)) counts.set(key, count)
    }
    this.#connections = busiest(counts)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    await this.#running
  }

  report(notes: readonly string[]): BalanceReport {
    const { vips = 0, backends = 0, slots = 0, rejecting = 0, capped = [] } = this.#planned ?? {}
    return {
      engine: 'nftables',
      ...{ vips, backends, slots, rejecting, capped: capped.length },
      ...this.#counts,
      durations: [...this.#durations],
      trouble: this.#trouble,
      notes: notes.slice(0, 20),
      connections: this.#connections,
    }
  }

  #lost(): void {
    this.#counts.mended++
    this.#losses++
    this.#programmed = undefined
    this.#wake()
  }

  /** Whether the elements in the kernel differ from those that we programmed. */
  async #differs(): Promise<boolean> {
    const { kernel, layout, now } = this.#options
    const began = now()
    if (began - this.#listedAt < LISTING_SHARE * this.#listingMs) return false
    const { rules } = this.#programmed!
    this.#doubtful = false
    let differs = false
    for (const family of FAMILIES) {
      if (family === 6 && !layout.ipv6) continue
      for (const map of MAPS) {
        const listing = await kernel.list(family, map)
        // We changed the rules ourselves meanwhile; the next check will compare again.
        if (this.#programmed?.rules !== rules) {
          this.#doubtful = true
          return false
        }
        const [there, wanted] = [
          listedElements(listing ?? ''),
          expectedElements(family, map, rules),
        ]
        differs ||= there.length !== wanted.length || there.some((one, i) => one !== wanted[i])
      }
    }
    this.#listedAt = now()
    this.#listingMs = this.#listedAt - began
    return differs
  }

  #wake(): void {
    if (this.#closed || !this.#table) return
    this.#again = true
    this.#running ??= Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined
        if (this.#again) this.#wake()
      })
  }

  async #run(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false
      if (this.#table && !(await this.#sync(this.#table))) return
    }
  }

  /** Programs the table. Returns false on failure; it is tried again later. */
  async #sync(table: ReceivedTable): Promise<boolean> {
    const { kernel, layout, log, now, links, onSync, retryMs = RETRY_MS } = this.#options
    const planned = this.#planner.plan(table.vips, [table.own4, table.own6])
    const losses = this.#losses
    const before = this.#programmed
    const rules: Rules = {
      services: kept(before?.rules.services, planned.services),
      self: planned.self,
      links: new Set(links()),
    }
    const { text, after } = before ? change(layout, before, rules) : replaceAll(layout, rules)
    if (text !== '') {
      const began = now()
      const wrong = await kernel.apply(text)
      if (wrong !== '') {
        this.#counts.failures++
        if (this.#trouble !== wrong) log.error('nft refuses the rules', { err: wrong })
        this.#trouble = wrong
        this.#programmed = undefined
        // The remembered state may be wrong: replace everything, the first time at once.
        if (before) this.#again = true
        else {
          clearTimeout(this.#retry)
          this.#retry = setTimeout(() => this.#wake(), retryMs)
        }
        onSync(undefined)
        return before !== undefined
      }
      this.#count(now() - began, before === undefined)
      if (!before || this.#trouble !== '')
        log.info('the kernel has the VIPs', {
          vips: planned.vips,
          backends: planned.backends,
          ms: Math.round(now() - began),
        })
    }
    this.#trouble = ''
    this.#tellCapped(planned)
    this.#planned = planned
    // Keeps the mark of a flush that happened while the transaction ran.
    if (losses === this.#losses) this.#programmed = after
    const flows = staleFlows(before?.rules.services ?? this.#last, rules.services)
    this.#last = rules.services
    if (flows.length > 0) this.#counts.forgotten += await kernel.forget(flows)
    onSync(table.version)
    return true
  }

  /** Services of the last successful transaction, even if the rules were lost since. */
  #last: Rules['services'] = new Map()

  #count(ms: number, replaced: boolean): void {
    this.#counts.syncs++
    if (replaced) this.#counts.replaced++
    const seconds = ms / 1000
    const at = SYNC_BOUNDS.findIndex(bound => seconds <= bound)
    this.#durations[at < 0 ? SYNC_BOUNDS.length : at]!++
    this.#durations[SYNC_BOUNDS.length + 1]! += seconds
  }

  #tellCapped({ capped }: Planned): void {
    const known = new Set(this.#planned?.capped)
    const fresh = capped.filter(key => !known.has(key))
    if (fresh.length > 0)
      this.#options.log.warn('weights or backends were reduced to fit into the slots', {
        vips: fresh.slice(0, 10),
        more: Math.max(0, fresh.length - 10),
      })
  }
}

/** Reuses the previous objects of services that have not changed, so that later comparisons are by identity. */
const kept = (
  before: Rules['services'] | undefined,
  services: Rules['services'],
): Rules['services'] => {
  if (!before) return services
  const same = new Map(services)
  for (const [key, now] of services) {
    const was = before.get(key)
    if (
      was &&
      was.slots.length === now.slots.length &&
      was.slots.every((s, i) => s === now.slots[i])
    )
      same.set(key, was)
  }
  return same
}
