/** Reads answered queries from the data thread while somebody watches them (boundary/query-ring.ts). */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Milliseconds, WatchSpec } from '../boundary/messages.ts'
import { queryRing, QueryRingReader, type SeenQuery } from '../boundary/query-ring.ts'

/** What to watch: the fields are those of WatchSpec. */
export type Watching = Omit<WatchSpec, 'id' | 'memory'>

/** What was seen since the last look, and how many queries found no room in the ring meanwhile. */
export type Seen = { readonly queries: number; readonly dropped: number }

export type QueryWatchOptions = {
  readonly send: (
    message: ({ type: 'watch' } & WatchSpec) | { type: 'unwatch'; id: number },
  ) => void
  /** Time between two looks into the ring. */
  readonly lookMs?: Milliseconds
}

/** Watchers at the same time; further ones are refused. */
export const MOST_WATCHERS = 8
const LOOK_MS = 50
/** Queries that are read in one look, so that this thread is not held up; the others wait in the ring. */
const AT_ONCE = 500

export class QueryWatch {
  readonly #options: QueryWatchOptions
  readonly #watching = new Set<number>()
  #lastId = 0

  constructor(options: QueryWatchOptions) {
    this.#options = options
  }

  get full(): boolean {
    return this.#watching.size >= MOST_WATCHERS
  }

  /**
   * Passes each query to `each` from now on, and yields after every look, until `gone` is aborted or the caller
   * leaves the loop. `octets`: size of the ring, a power of two.
   */
  async *watch(
    what: Watching,
    octets: number,
    each: (seen: SeenQuery) => void,
    gone: AbortSignal,
  ): AsyncGenerator<Seen> {
    const { send, lookMs = LOOK_MS } = this.#options
    const id = ++this.#lastId
    const memory = queryRing(octets)
    const ring = new QueryRingReader(memory)
    this.#watching.add(id)
    send({ type: 'watch', id, memory, ...what })
    try {
      while (!gone.aborted) {
        await sleep(lookMs, undefined, { signal: gone }).catch(() => {})
        const queries = ring.read(each, AT_ONCE)
        yield { queries, dropped: ring.dropped() }
      }
    } finally {
      this.#watching.delete(id)
      send({ type: 'unwatch', id })
    }
  }
}
