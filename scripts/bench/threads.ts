/** The bench's worker threads: upstreams, and the thread that scrapes. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { Endpoint } from '../../src/boundary/messages.ts'
import type { ScrapeStart } from './scrape.ts'
import type { UpstreamStart } from './upstream.ts'

const start = (name: string, workerData: unknown): Worker => {
  const file = name + (import.meta.url.endsWith('.ts') ? '.ts' : '.js')
  return new Worker(new URL(file, import.meta.url), { workerData })
}

/** Upstreams that answer at once. */
export class Upstreams {
  readonly endpoints: readonly Endpoint[]
  readonly #worker: Worker

  private constructor(worker: Worker, endpoints: readonly Endpoint[]) {
    this.#worker = worker
    this.endpoints = endpoints
  }

  /** Starts one upstream on each address, all on one port. */
  static async start(addresses: readonly string[], ttl: number): Promise<Upstreams> {
    const worker = start('./upstream', { addresses, ttl } satisfies UpstreamStart)
    const [{ port }] = (await once(worker, 'message')) as [{ port: number }]
    return new Upstreams(
      worker,
      addresses.map(address => ({ address, port })),
    )
  }

  /** Number of queries that all of them have received. */
  async queries(): Promise<number> {
    this.#worker.postMessage('count')
    const [{ queries }] = (await once(this.#worker, 'message')) as [{ queries: number }]
    return queries
  }

  async close(): Promise<void> {
    const over = once(this.#worker, 'exit')
    this.#worker.postMessage('close')
    await over
  }
}

/** Scrapes and moves a VIP until closed; counts successful scrapes. */
export class Disturbance {
  readonly #worker: Worker

  constructor(what: ScrapeStart) {
    this.#worker = start('./scrape', what)
  }

  async close(): Promise<{ scrapes: number; failed: number }> {
    const over = once(this.#worker, 'exit')
    this.#worker.postMessage('close')
    const [counts] = (await once(this.#worker, 'message')) as [{ scrapes: number; failed: number }]
    await over
    return counts
  }
}
