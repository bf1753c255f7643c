/**
 * Decides what VIP names resolve to under `vips.answer: auto`: their virtual addresses if a balancer runs on this
 * host, otherwise their backends. Pure. A balancer that appears counts at once; one that disappears still counts for
 * a while, so that its restart does not change the answers.
 */
import type { HostBalancers } from './host-balancers.ts'

export type Answer = 'vip' | 'backends'

export type AnswerFacts = HostBalancers & {
  /** Our balancer is connected and has programmed the table. */
  readonly connected: boolean
}

/** How long a balancer may be gone before names resolve to backends. */
const HOLD_MS = 30_000

export class AnswerChoice {
  readonly #configured: Answer | 'auto'
  #answer: Answer
  #reason = ''
  /** Since when there has been no balancer; undefined while there is one. */
  #goneAt: number | undefined

  constructor(configured: Answer | 'auto') {
    this.#configured = configured
    this.#answer = configured === 'auto' ? 'backends' : configured
  }

  get answer(): Answer {
    return this.#answer
  }

  /** The reason, as part of a sentence. */
  get reason(): string {
    return this.#reason
  }

  /** Whether addresses are answered although this host has had no balancer for a while. */
  leadsNowhere(now: number): boolean {
    return this.#answer === 'vip' && this.#goneAt !== undefined && now - this.#goneAt >= HOLD_MS
  }

  /** Updates the facts; true if the answer has changed. */
  update(facts: AnswerFacts, now: number): boolean {
    const before = this.#answer
    const first = this.#reason === ''
    const runs = running(facts)
    // After a restart of the daemon, the rules of a balancer that will reconnect are still in the kernel.
    if (runs !== '') this.#goneAt = undefined
    else this.#goneAt ??= now
    if (this.#configured !== 'auto') {
      this.#reason = runs === '' ? 'configured, though no balancer runs on this host' : 'configured'
      return false
    }
    const held = this.#goneAt !== undefined && now - this.#goneAt < HOLD_MS
    if (runs !== '') {
      this.#answer = 'vip'
      this.#reason = runs
    } else if (held && (first ? facts.rules : this.#answer === 'vip')) {
      this.#answer = 'vip'
      this.#reason = 'the balancer of this host is not connected; it is waited for'
    } else {
      this.#answer = 'backends'
      this.#reason = 'no balancer runs on this host'
    }
    return before !== this.#answer
  }

  /** Milliseconds until `update` may decide differently without new facts; Infinity for never. */
  nextMs(now: number): number {
    return this.#configured === 'auto' && this.#goneAt !== undefined && this.#answer === 'vip'
      ? Math.max(1, this.#goneAt + HOLD_MS - now)
      : Infinity
  }
}

const running = ({ connected, ipvs, minuteman }: AnswerFacts): string =>
  connected
    ? 'spartan balance is connected'
    : ipvs
      ? 'the kernel has IPVS services for VIPs'
      : minuteman
        ? 'the link minuteman of dcos-net is there'
        : ''
