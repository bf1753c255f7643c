/**
 * Periodic work of the data thread besides queries: writes gauges, closes old upstream sockets, probes upstreams
 * that may be silent, and checks whether real-time priority is appropriate.
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

  constructor(context: HousekeepingContext) {
    this.#context = context
    this.#again(context.io.now())
  }

  fire(now: Milliseconds): void {
    const { io, realTime, resolver, resolving } = this.#context
    this.#again(now)
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
  }

  close(): void {
    this.#context.resolving.timers.cancel(this)
  }

  #again(now: Milliseconds): void {
    this.#context.resolving.timers.schedule(this, now + INTERVAL_MS)
  }
}
