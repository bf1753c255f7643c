/**
 * Checks whether every configured address answers a real query, which READY=1, the watchdog and `/readyz` depend on.
 * Queries begin when the last address is bound: frequent ones until all have answered once, then fewer.
 */
import { together } from '../base/together.ts'
import type { Endpoint, Milliseconds, Up } from '../boundary/messages.ts'
import type { SelfQuery } from '../boundary/health.ts'
import { SelfAsker } from '../ops/self-query.ts'

const EAGER_MS = 50
/** Limit of frequent queries at the start; an address that is still missing is then queried less often. */
const EAGER_ASKS = 100
/** Longest pause between queries once all have answered, that of the other periodic work, which then costs no wake-up. */
const CALM_MS = 5_000
/** The same as a share of the watchdog's limit: 5 s of 8 s. */
const CALM_SHARE = 5 / 8
/**
 * If no address has answered, it asks again after this pause. Each query waits for up to a second, so a second attempt
 * still ends before a watchdog of 8 s would kill the process.
 */
const AGAIN_MS = 500

type Bound = { udp: boolean; tcp: boolean; inherited: boolean }

export type ReadinessMeans = {
  /** Called when all addresses have answered for the first time. */
  readonly onReady: () => void
  /** Called whenever an address has answered. */
  readonly onAnswer: () => void
  /** The watchdog's limit; 0 for none. */
  readonly watchdogMs: Milliseconds
  /** A name with an A record, for a server that does not answer for the zone `spartan`. */
  readonly question?: string
}

export class Readiness {
  /** Addresses to serve; port 0 is replaced by the actual port. */
  readonly listen: readonly Endpoint[]
  /** Self-queries without an answer. */
  failed = 0
  /** The latest query to each address. */
  latest: readonly SelfQuery[] = []
  /** When an address last answered, on the clock of performance.now(). */
  answeredAt: Milliseconds = -Infinity
  readonly #means: ReadinessMeans
  readonly #bound = new Map<string, Bound>()
  readonly #askers = new Map<Endpoint, SelfAsker>()
  #ready = false
  #asks = 0
  #timer: NodeJS.Timeout | undefined
  #asking = false
  /** Ends the queries that follow once all have answered. */
  #end: (() => void) | undefined
  #closed = false

  constructor(listen: readonly Endpoint[], means: ReadinessMeans) {
    this.listen = listen.map(at => ({ ...at }))
    this.#means = means
  }

  start(): void {
    void this.#ask()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#end?.()
    for (const asker of this.#askers.values()) asker.close()
  }

  /** The data thread has bound an address. */
  bound({ address, port, transport, inherited }: Extract<Up, { type: 'listening' }>): void {
    const at = this.listen.find(l => l.address === address && (l.port === port || l.port === 0))
    if (at?.port === 0) Object.assign(at, { port })
    const had = this.#bound.get(key({ address, port })) ?? { udp: false, tcp: false, inherited }
    this.#bound.set(key({ address, port }), { ...had, [transport]: true })
    if (this.#closed || this.#ready || !this.#timer || !this.#allBound()) return
    clearTimeout(this.#timer)
    void this.#ask()
  }

  /** Each address and its state. */
  addresses(): (Endpoint & { inherited: boolean; answers: boolean })[] {
    return this.listen.map(at => ({
      ...at,
      inherited: this.#bound.get(key(at))?.inherited ?? false,
      answers: this.latest.some(one => one.ok && key(one) === key(at)),
    }))
  }

  #allBound(): boolean {
    return this.listen.every(at => {
      const { udp, tcp } = this.#bound.get(key(at)) ?? { udp: false, tcp: false }
      return udp && tcp
    })
  }

  #askerOf(at: Endpoint): SelfAsker {
    const asker = this.#askers.get(at) ?? new SelfAsker(at, this.#means.question)
    this.#askers.set(at, asker)
    return asker
  }

  async #ask(): Promise<void> {
    if (this.#asking) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#asking = true
    const all = this.#allBound()
    const bound = this.listen.filter(at => this.#bound.get(key(at))?.udp)
    this.latest = await Promise.all(bound.map(at => this.#askerOf(at).ask()))
    this.#asking = false
    if (this.#closed) return
    this.failed += this.latest.filter(one => !one.ok).length
    if (all && !this.#ready && this.latest.every(one => one.ok)) {
      this.#ready = true
      this.#means.onReady()
    }
    const answered = this.latest.some(one => one.ok)
    if (answered) {
      this.answeredAt = performance.now()
      this.#means.onAnswer()
    }
    const { watchdogMs } = this.#means
    const calm = watchdogMs > 0 ? Math.min(CALM_MS, watchdogMs * CALM_SHARE) : CALM_MS
    if (this.#ready) {
      this.#end ??= together(calm, () => void this.#ask())
      if (!answered) this.#timer = setTimeout(() => void this.#ask(), AGAIN_MS).unref()
      return
    }
    const eager = !all && this.#allBound() ? 0 : EAGER_MS
    this.#timer = setTimeout(
      () => void this.#ask(),
      ++this.#asks > EAGER_ASKS ? calm : eager,
    ).unref()
  }
}

const key = ({ address, port }: Endpoint): string => `${address} ${port}`
