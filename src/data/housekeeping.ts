/**
 * Periodic work of the data thread besides queries: writes gauges, closes old upstream sockets, probes upstreams
 * that may be silent, and checks whether real-time priority is appropriate. It is done while something happens, and
 * once more afterwards; an idle thread is not woken for it.
 */
import type { Milliseconds, Up } from '../boundary/messages.ts'
import { SLOT } from '../boundary/counters.ts'
import { probe } from './forward/probes.ts'
import type { DataParts } from './operator.ts'
import type { RealTime } from './priority.ts'
import type { Timed } from './timers.ts'

const INTERVAL_MS: Milliseconds = 250

export type HousekeepingContext = DataParts & {
  /** Undefined if the thread's scheduling class cannot be changed. */
  readonly realTime: RealTime | undefined
  readonly post: (message: Up) => void
}

export class Housekeeping implements Timed {
  due = 0
  place = -1
  readonly #context: HousekeepingContext
  #saidRealTime = false
  /** The activity that the last work has seen. */
  #seen = -1
  #closed = false

  constructor(context: HousekeepingContext) {
    this.#context = context
  }

  /** Schedules the work if something has happened since the last. Call it in every turn. */
  look(now: Milliseconds): void {
    if (this.place < 0 && !this.#closed && this.#activity() !== this.#seen) this.#schedule(now)
  }

  fire(now: Milliseconds): void {
    const { io, realTime, resolver, resolving } = this.#context
    this.#seen = this.#activity()
    if (realTime?.look(now) && !this.#saidRealTime) {
      this.#saidRealTime = true
      const msg = 'the thread that answers runs in real time while it has little to do'
      this.#context.post({ type: 'log', level: 'info', msg, fields: {} })
    }
    resolving.exchanges.sweep(now)
    resolver.sweep(now)
    probe(resolver.router.forwards(), resolving, now)
    const { cache, counters } = resolving
    counters[SLOT.cacheEntries] = cache.entries
    counters[SLOT.cacheEntriesDenial] = cache.denials
    counters[SLOT.cacheBytes] = cache.bytes
    counters[SLOT.inFlight] = resolver.inTheAir
    counters[SLOT.tcpConnections] = this.#context.listeners.tcpConnections
    counters[SLOT.droppedReceive] = io.stats.receiveDropped
    counters[SLOT.droppedSend] = io.stats.sendDropped
    counters[SLOT.receiveCalls] = io.stats.receiveCalls
    counters[SLOT.sendCalls] = io.stats.sendCalls
    if (this.#awaitsMore()) this.#schedule(now)
  }

  close(): void {
    this.#closed = true
    this.#context.resolving.timers.cancel(this)
  }

  #schedule(now: Milliseconds): void {
    this.#context.resolving.timers.schedule(this, now + INTERVAL_MS)
  }

  /** A number that changes with everything that the gauges show. */
  #activity(): number {
    const { io, listeners, resolving } = this.#context
    const { cache } = resolving
    return io.stats.received + io.stats.sendCalls + listeners.tcpConnections + cache.entries
  }

  /** Whether something will be due although nothing happens. */
  #awaitsMore(): boolean {
    const { resolver, resolving } = this.#context
    return (
      resolver.inTheAir > 0 ||
      resolving.exchanges.retiring ||
      resolver.router.upstreams().some(({ liveness }) => liveness.awaitsProbe)
    )
  }
}
