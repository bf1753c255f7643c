/** One upstream: its address, latency, state and EDNS support. */
import { showUpstream } from '../../config/address.ts'
import type { Milliseconds, UpstreamSpec, UpstreamStatus } from '../../boundary/messages.ts'
import { EdnsSupport } from './edns-support.ts'
import { Latency } from './latency.ts'
import { Liveness, type Failure } from './liveness.ts'

export class Upstream {
  readonly spec: UpstreamSpec
  /** Its name in logs, metrics and traces. */
  readonly name: string
  readonly latency = new Latency()
  readonly liveness = new Liveness()
  readonly edns = new EdnsSupport()

  constructor(spec: UpstreamSpec) {
    this.spec = spec
    this.name = upstreamName(spec)
  }

  get dead(): boolean {
    return this.liveness.dead
  }
  get slot(): number {
    return this.spec.slot
  }

  /** A reply arrived, `tookMs` after the sending that it answers. True if the upstream was dead before. */
  replied(now: Milliseconds, tookMs: Milliseconds): boolean {
    this.latency.sample(tookMs)
    return this.liveness.replied(now)
  }

  /** A question sent at `sentAt` failed. True if the upstream is now dead. */
  failed(now: Milliseconds, sentAt: Milliseconds, failure: Failure): boolean {
    return this.liveness.failed(now, sentAt, failure)
  }

  /** @param wallClock Unix time in milliseconds at `now` */
  status(now: Milliseconds, wallClock: Milliseconds): UpstreamStatus {
    const { liveness } = this
    const wall = (at: Milliseconds): Milliseconds =>
      at === -Infinity ? 0 : Math.round(wallClock - (now - at))
    return {
      slot: this.slot,
      name: this.name,
      state: liveness.state(now),
      srttMs: this.latency.smoothedMs,
      failureScore: liveness.score(now),
      lastFailure: liveness.failure,
      lastFailureAt: wall(liveness.failedAt),
      lastReplyAt: wall(liveness.repliedAt),
      nextProbeInMs: liveness.nextProbeIn(now),
    }
  }
}

/**
 * 192.0.2.1:53, [2001:db8::1]:53, tls://192.0.2.1:853#name or the URL; upstreams with different names are different.
 */
export const upstreamName: (spec: UpstreamSpec) => string = showUpstream
