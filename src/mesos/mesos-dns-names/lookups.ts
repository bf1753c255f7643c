/**
 * Addresses of hosts that Mesos names instead of numbering: agents, masters,
 * schedulers. Records are made without waiting, so this only ever says what it
 * has found before, and calls back when it has found something else.
 */
import { plainIps } from './record.ts'
import type { Log } from '../../base/log.ts'
import { messageOf } from '../../base/error.ts'

export type LookupsOptions = {
  /** All addresses of a host; rejects if there are none. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly log: Log
  /** Some host's addresses are others than before. */
  readonly onChange: () => void
  /** Between two look-ups of the same host. */
  readonly everyMs: number
}

/** Look-ups at a time: the resolver asked may be this very server. */
const AT_ONCE = 8
/** Hosts remembered; a cluster has fewer agents. */
const MAX_HOSTS = 20_000

/** Addresses by host, refreshed until it is closed. */
export class Lookups {
  readonly #options: LookupsOptions
  readonly #found = new Map<string, readonly string[]>()
  #wanted: ReadonlySet<string> = new Set()
  readonly #queue = new Set<string>()
  #running = 0
  #changed = false
  readonly #timer: NodeJS.Timeout
  #closed = false

  constructor(options: LookupsOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#again(), options.everyMs)
    this.#timer.unref()
  }

  /** What is known of a host now; [] if nothing. */
  readonly addressesOf = (host: string): readonly string[] => this.#found.get(host) ?? []

  /** These are the hosts that matter; the others are forgotten. */
  want(hosts: ReadonlySet<string>): void {
    this.#wanted = hosts
    for (const host of this.#found.keys()) if (!hosts.has(host)) this.#found.delete(host)
    for (const host of hosts) {
      if (this.#queue.size >= MAX_HOSTS) break
      if (!this.#found.has(host)) this.#queue.add(host)
    }
    this.#pump()
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#queue.clear()
  }

  #again(): void {
    for (const host of this.#wanted) this.#queue.add(host)
    this.#pump()
  }

  #pump(): void {
    while (!this.#closed && this.#running < AT_ONCE) {
      const host = this.#queue.values().next().value
      if (host === undefined) break
      this.#queue.delete(host)
      this.#running++
      void this.#lookUp(host).finally(() => {
        this.#running--
        this.#pump()
      })
    }
    // told once for all that were found together
    if (this.#running > 0 || !this.#changed || this.#closed) return
    this.#changed = false
    this.#options.onChange()
  }

  async #lookUp(host: string): Promise<void> {
    const had = this.#found.get(host)
    let ips: readonly string[]
    try {
      ips = plainIps(await this.#options.resolve(host)).sort()
    } catch (er) {
      this.#options.log.warn('a host of the cluster cannot be looked up', {
        host,
        err: messageOf(er),
      })
      // what was found before stays; what never was is not asked at every event
      ips = had ?? []
    }
    if (!this.#wanted.has(host)) return
    this.#found.set(host, ips)
    if ((had ?? []).join() !== ips.join()) this.#changed = true
  }
}
