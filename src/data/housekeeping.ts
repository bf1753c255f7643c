/**
 * Periodic work of the data thread besides queries: writes gauges, closes old upstream sockets, probes upstreams
 * that may be silent, and checks whether real-time priority is appropriate. It is done beside what happens, in a turn
 * that the thread is awake for anyway. A timer only comes after the last of a burst, or for what is due although
 * nothing happens, so that a quiet thread is not woken for it.
 */
import type { Milliseconds, Up } from '../boundary/messages.ts'
import { SLOT } from '../boundary/counters.ts'
import { probe } from './forward/probes.ts'
import type { DataParts } from './operator.ts'
import type { RealTime } from './priority.ts'
import type { Timed } from './timers.ts'

/** The work is not done again before this time has passed. */
const INTERVAL_MS: Milliseconds = 250
/** What happens after the work was done is seen this much later at the latest, by a timer if nothing else happens. */
const LATEST_MS: Milliseconds = 2 * INTERVAL_MS

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
  /** When the work was done last, and the activity that it has seen. */
  #last: Milliseconds = -Infinity
  #seen = -1
  #closed = false

  constructor(context: HousekeepingContext) {
    this.#context = context
  }

  /** Does the work if something has happened since the last, or schedules it. Call it in every turn. */
  look(now: Milliseconds): void {
    if (this.#closed || this.#activity() === this.#seen) return
    if (now - this.#last >= INTERVAL_MS) this.fire(now)
    else if (this.place < 0) this.#schedule(this.#last + LATEST_MS)
  }

  fire(now: Milliseconds): void {
    const { io, realTime, resolver, resolving } = this.#context
    this.#last = now
    this.#seen = this.#activity()
    if (realTime?.look(now) && !this.#saidRealTime) {
      this.#saidRealTime = true
      const msg = 'the thread that answers runs in real time while it has little to do'
      this.#context.post({ type: 'log', level: 'info', msg, fields: {} })
    }
    resolving.exchanges.sweep(now)
    resolver.sweep(now)
    if (probe(resolver.router.forwards(), resolving, now)) io.wake()
    this.gauge()
    if (this.#awaitsMore()) this.#schedule(now + INTERVAL_MS)
    else resolving.timers.cancel(this)
  }

  /** Writes the gauges. */
  gauge(): void {
    const { io, listeners, resolver, resolving } = this.#context
    const { cache, counters } = resolving
    counters[SLOT.cacheEntries] = cache.entries
    counters[SLOT.cacheEntriesDenial] = cache.denials
    counters[SLOT.cacheBytes] = cache.bytes
    counters[SLOT.inFlight] = resolver.inTheAir
    counters[SLOT.tcpConnections] = listeners.tcpConnections
    counters[SLOT.droppedReceive] = io.stats.receiveDropped
    counters[SLOT.droppedSend] = io.stats.sendDropped
    counters[SLOT.receiveCalls] = io.stats.receiveCalls
    counters[SLOT.sendCalls] = io.stats.sendCalls
  }

  close(): void {
    this.#closed = true
    this.#context.resolving.timers.cancel(this)
  }

  #schedule(at: Milliseconds): void {
    this.#context.resolving.timers.schedule(this, at)
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
