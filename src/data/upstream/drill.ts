/**
 * Drills in the data thread: upstreams that count as lost for a limited time. Nothing is sent to them and nothing of
 * theirs is read, so that the rest of the program meets the silence of a real outage.
 */
import type { DrillTarget, Milliseconds } from '../../boundary/messages.ts'
import type { Route } from '../answer/router.ts'
import type { After } from '../timers.ts'
import type { Exchanges } from './exchange.ts'
import type { Paths } from './paths.ts'
import type { Upstream } from './upstream.ts'

export type DrillContext = {
  readonly exchanges: Exchanges
  readonly paths: Paths
  readonly after: After
  /** The routes that forward, as they are now. */
  readonly forwards: () => readonly Route[]
}

export class Drill {
  readonly #context: DrillContext
  /** How to cancel the end of each drill. */
  readonly #timers = new Map<DrillTarget, () => void>()

  constructor(context: DrillContext) {
    this.#context = context
  }

  /** Begins a drill of `ms`, or ends it (0). It ends by itself even if the main thread hangs. */
  set(target: DrillTarget, ms: Milliseconds): void {
    this.#timers.get(target)?.()
    this.#timers.delete(target)
    if (ms > 0)
      this.#timers.set(
        target,
        this.#context.after(ms, () => this.set(target, 0)),
      )
    this.update()
  }

  /** Applies the drills to the upstreams of the current routes. */
  update(): void {
    const { exchanges, forwards, paths } = this.#context
    const lost = new Set<Upstream>()
    if (this.#timers.size > 0)
      for (const { spec, upstreams } of forwards()) {
        if (spec.kind !== 'forward') continue
        const target = spec.ttl === 'cluster' ? 'masters' : 'upstreams'
        if (this.#timers.has(target)) for (const upstream of upstreams) lost.add(upstream)
      }
    exchanges.lost = paths.lose(lost)
  }

  close(): void {
    for (const cancel of this.#timers.values()) cancel()
  }
}
