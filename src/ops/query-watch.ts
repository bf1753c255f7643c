/** Reads answered queries from the data thread while somebody watches them (boundary/query-ring.ts). */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Milliseconds, WatchSpec } from '../boundary/messages.ts'
import { queryRing, QueryRingReader, type SeenQuery } from '../boundary/query-ring.ts'
import { nameWire } from '../wire/name.ts'

/** What to watch: the fields are those of WatchSpec. */
export type Watching = Omit<WatchSpec, 'id' | 'memory'>

export const ROOT = nameWire('.')!
/** Names below this one are only asked by the daemon itself, to see whether it answers. */
export const OWN = nameWire('spartan')!

/** All queries, except those of the daemon itself. */
export const ALL: Watching = {
  every: 1,
  below: ROOT,
  except: OWN,
  clients: [],
  outcomes: -1,
  rcodes: 0,
  whole: false,
}

/** What was seen since the last look, and how many queries found no room in the ring meanwhile. */
export type Seen = { readonly queries: number; readonly dropped: number }

export type QueryWatchOptions = {
  readonly send: (
    message: ({ type: 'watch' } & WatchSpec) | { type: 'unwatch'; id: number },
  ) => void
  /** Time between two looks into the ring. */
  readonly lookMs?: Milliseconds
}

/** Watchers at the same time; further ones are refused. dnstap is one of them, and never refused. */
export const MOST_WATCHERS = 8
const LOOK_MS = 50
/** Queries that are read in one look, so that this thread is not held up; the others wait in the ring. */
const AT_ONCE = 500
/** Looks after the end, for what is still in the ring; queries may come as fast as they are read. */
const LAST_LOOKS = 20

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
   * Passes each query to `each` from now on, and yields after every look, until `gone` is aborted and all is read, or
   * the caller leaves the loop. `octets`: size of the ring, a power of two. `idleMs`: the pause between two looks grows
   * to this while there is nothing to see.
   */
  async *watch(
    what: Watching,
    octets: number,
    each: (seen: SeenQuery) => void,
    gone: AbortSignal,
    idleMs: Milliseconds = 0,
  ): AsyncGenerator<Seen> {
    const { send, lookMs = LOOK_MS } = this.#options
    let pause = lookMs
    const id = ++this.#lastId
    const memory = queryRing(octets)
    const ring = new QueryRingReader(memory)
    this.#watching.add(id)
    send({ type: 'watch', id, memory, ...what })
    try {
      for (let last = LAST_LOOKS; ;) {
        await sleep(pause, undefined, { signal: gone }).catch(() => {})
        const queries = ring.read(each, AT_ONCE)
        // More are waiting: this thread only takes its other work in between.
        if (queries === AT_ONCE) pause = 0
        else pause = queries > 0 ? lookMs : Math.max(lookMs, Math.min(2 * pause, idleMs))
        yield { queries, dropped: ring.dropped() }
        if (gone.aborted && (queries < AT_ONCE || --last <= 0)) break
      }
    } finally {
      this.#watching.delete(id)
      send({ type: 'unwatch', id })
    }
  }
}
