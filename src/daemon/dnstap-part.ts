/** dnstap as a part: shows every answered query to the reader that listens at a Unix socket, while one is configured. */
import { connect } from 'node:net'
import { version } from '../base/version.ts'
import type { Log } from '../base/log.ts'
import type { Reason } from '../boundary/health.ts'
import type { Endpoint } from '../boundary/messages.ts'
import type { Config, Dnstap } from '../config/config.ts'
import type { Part } from '../control/part.ts'
import { DNSTAP_FAMILIES } from '../ops/dnstap/dnstap-metrics.ts'
import { DnstapEncoder } from '../ops/dnstap/message.ts'
import { DnstapSender, type DnstapCounts } from '../ops/dnstap/sender.ts'
import type { Metrics } from '../ops/metrics.ts'
import { ALL, type QueryWatch } from '../ops/query-watch.ts'

/** Room for about 6,000 queries with their answers: what 25,000 queries per second bring between two looks. */
const RING = 1 << 21
/** Pause between two looks while there is nothing to see, so that an idle daemon sleeps. */
const IDLE_MS = 200

export class DnstapPart implements Part {
  readonly name = 'dnstap'
  readonly #watch: QueryWatch
  readonly #listen: readonly Endpoint[]
  readonly #log: Log
  readonly #counts: DnstapCounts = { sent: 0, noReader: 0, slowReader: 0, behind: 0 }
  #sender: DnstapSender | undefined
  #gone = new AbortController()
  #watched: Promise<void> = Promise.resolve()

  constructor(watch: QueryWatch, listen: readonly Endpoint[], log: Log) {
    this.#watch = watch
    this.#listen = listen
    this.#log = log.child({ part: this.name })
  }

  wanted(config: Config): boolean {
    return config.dnstap !== undefined
  }

  /** Does not wait for the reader: until there is one, the status says so. */
  start({ dnstap, node }: Config): void {
    const { socket: path, identity } = dnstap!
    const origin = { identity: identity || node, version: `spartan ${version()}` }
    const sender = (this.#sender = new DnstapSender({
      path,
      counts: this.#counts,
      log: this.#log,
      random: Math.random,
      connect,
    }))
    this.#gone = new AbortController()
    this.#watched = this.#show(sender, new DnstapEncoder(origin, this.#listen), dnstap!)
  }

  async #show(
    sender: DnstapSender,
    encoder: DnstapEncoder,
    { messages, sample }: Dnstap,
  ): Promise<void> {
    const kinds = messages === 'both' ? (['query', 'response'] as const) : [messages]
    const looks = this.#watch.watch(
      { ...ALL, every: sample, whole: true },
      RING,
      seen => {
        if (sender.takes()) sender.add(...kinds.map(kind => encoder.encode(kind, seen)))
      },
      this.#gone.signal,
      IDLE_MS,
    )
    for await (const { dropped } of looks) {
      this.#counts.behind += dropped
      sender.flush()
    }
  }

  /** Shows what was answered until now, then ends the stream. Takes little more than half a second at most. */
  async close(): Promise<void> {
    const sender = this.#sender
    this.#sender = undefined
    this.#gone.abort()
    await this.#watched
    await sender?.close()
  }

  status(): readonly Reason[] {
    const trouble = this.#sender?.trouble ?? ''
    return trouble === '' ? [] : [{ name: this.name, detail: trouble }]
  }

  metrics(to: Metrics): void {
    to.register(DNSTAP_FAMILIES, () => {
      const sender = this.#sender
      return sender && { ...this.#counts, up: sender.up }
    })
  }
}
