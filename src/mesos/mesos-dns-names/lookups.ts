/**
 * Caches the addresses of hosts that Mesos names: agents, masters, schedulers. Records are computed synchronously,
 * so this returns what is known, and calls back when addresses have changed.
 */
import { plainIps } from './record.ts'
import type { Log } from '../../base/log.ts'
import { messageOf } from '../../base/error.ts'

export type LookupsOptions = {
  /** All addresses of a host; rejects if there are none. */
  readonly resolve: (host: string) => Promise<readonly string[]>
  readonly log: Log
  /** Called when the addresses of some host have changed. */
  readonly onChange: () => void
  /** Interval between look-ups of the same host. */
  readonly everyMs: number
}

/** Limit of simultaneous look-ups, because the resolver may be this very server. */
const AT_ONCE = 8
/** Limit of remembered hosts; a cluster has fewer agents. */
const MAX_HOSTS = 20_000

/** Addresses by host, refreshed until `close`. */
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

  /** The known addresses of a host; [] if none. */
  readonly addressesOf = (host: string): readonly string[] => this.#found.get(host) ?? []

  /** Sets the hosts to look up; others are dropped. */
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
    // called once for all results that arrive together
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
      // keep the old result; a host that was never found is not retried at every event
      ips = had ?? []
    }
    if (!this.#wanted.has(host)) return
    this.#found.set(host, ips)
    if ((had ?? []).join() !== ips.join()) this.#changed = true
  }
}
