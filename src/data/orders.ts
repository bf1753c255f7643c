/**
 * Processes the main thread's messages in the data thread: in order, for a short time in each turn. Scans of the
 * whole cache run beside them in slices, so that a query from the main thread never waits for a scan.
 */
import type { Down, Milliseconds, Up, ZoneMessage } from '../boundary/messages.ts'
import { dumpCache, restoreCache, type RestoreContext } from './cache/cache-file.ts'
import { Entry } from './cache/entry.ts'
import { entryInfo } from './cache/inspect.ts'
import type { Restoring } from './cache/restoring.ts'
import { below, flush, recentFirst } from './cache/scan.ts'
import type { Validity } from './cache/validity.ts'
import type { Zones } from './zones/zones.ts'

/** Messages that scan the whole cache. */
type ScanMessage = Extract<Down, { type: 'flush' | 'entries' | 'dump' | 'restore' }>
/** Messages that are processed at once, by the data plane itself. */
export type AtOnce = Exclude<Down, ZoneMessage | ScanMessage>

export type OrdersContext = Omit<RestoreContext, 'unixMs' | 'epoch'> & {
  readonly zones: Zones
  readonly validity: Validity
  /** Zone labels, for display. */
  readonly labels: () => readonly string[]
  readonly post: (message: Up, transfer?: readonly ArrayBuffer[]) => void
  readonly atOnce: (message: AtOnce) => void
  /** Told when a restore begins and when it has ended, well or not; undefined if none is expected. */
  readonly restoring: Pick<Restoring, 'begin' | 'end'> | undefined
}

/** Time limit per turn. It is measured, because code that V8 has not optimised yet takes ten times as long. */
const WORK_MS: Milliseconds = 0.1

export class Orders {
  readonly #context: OrdersContext
  /** Messages that are not processed yet, and the current zone message. */
  readonly #waiting: Exclude<Down, ScanMessage>[] = []
  #applying: Generator<void, boolean> | undefined
  /** Pending scans; the first one is running. */
  readonly #scans: Generator<void, void>[] = []

  constructor(context: OrdersContext) {
    this.#context = context
  }

  /** Whether there is work left. */
  get pending(): boolean {
    return this.#waiting.length > 0 || this.#scans.length > 0
  }

  add(message: Down): void {
    switch (message.type) {
      case 'restore':
        // It may have to wait for zones and for other scans, but it will come to its end.
        this.#context.restoring?.begin()
        this.#scans.push(this.#scan(message))
        break
      case 'flush':
      case 'entries':
      case 'dump':
        this.#scans.push(this.#scan(message))
        break
      default:
        this.#waiting.push(message)
    }
  }

  /** Does a part of the work. A message or a scan that throws is dropped. */
  work(): void {
    if (!this.pending) return
    const until = performance.now() + WORK_MS
    while (this.#waiting.length > 0) if (!this.#next(until)) return
    while (this.#scans.length > 0 && performance.now() < until) {
      let done: boolean | undefined = true
      try {
        done = this.#scans[0]!.next().done
      } finally {
        if (done) this.#scans.shift()
      }
    }
  }

  /** Processes the first message; false if it is not finished. */
  #next(until: number): boolean {
    const message = this.#waiting[0]!
    if (message.type !== 'zone') {
      this.#waiting.shift()
      this.#context.atOnce(message)
      return true
    }
    const { zones, validity } = this.#context
    let failed = true
    try {
      const applying = (this.#applying ??= zones.apply(message))
      let step = applying.next()
      while (!step.done && performance.now() < until) step = applying.next()
      failed = false
      if (!step.done) return false
      if (step.value) validity.epoch++
    } finally {
      if (failed) this.#end()
    }
    this.#end()
    return true
  }

  #end(): void {
    this.#applying = undefined
    this.#waiting.shift()
  }

  *#scan(message: ScanMessage): Generator<void, void> {
    const { cache, now, post, validity } = this.#context
    const { id } = message
    switch (message.type) {
      case 'flush':
        return post({ type: 'flushed', id, count: yield* flush(cache, message.name) })
      case 'entries': {
        const refs = yield* recentFirst(cache, now(), below(message.name))
        const labels = this.#context.labels()
        const entries = []
        for (const ref of refs) {
          if (entries.length >= message.limit) break
          const entry = cache.at(ref, new Entry())
          if (entry) entries.push(entryInfo(entry, labels, now()))
          if (entries.length % 16 === 0) yield
        }
        return post({ type: 'entries', id, entries })
      }
      case 'dump': {
        const bytes = yield* dumpCache({ cache, validity, now: now(), unixMs: Date.now() })
        return post({ type: 'dumped', id, bytes }, [bytes.buffer as ArrayBuffer])
      }
      case 'restore': {
        const epoch = (): number => validity.epoch
        const context = { ...this.#context, epoch, unixMs: Date.now() }
        try {
          const restored = yield* restoreCache(message.bytes, context)
          return post({ type: 'restored', id, restored })
        } finally {
          this.#context.restoring?.end()
        }
      }
    }
  }
}
