/** One upstream: who it is, how fast it answers, whether it answers, and what it understands. */
import { showUpstream } from '../../config/address.ts'
import type { Milliseconds, UpstreamSpec, UpstreamStatus } from '../../boundary/messages.ts'
import { EdnsSupport } from './edns-support.ts'
import { Latency } from './latency.ts'
import { Liveness, type Failure } from './liveness.ts'

export class Upstream {
  readonly spec: UpstreamSpec
  /** As it is called in logs, metrics and traces. */
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

  /** A reply came, `tookMs` after the send that it answers. True if that brought the upstream back. */
  replied(now: Milliseconds, tookMs: Milliseconds): boolean {
    this.latency.sample(tookMs)
    return this.liveness.replied(now)
  }

  /** A question sent at `sentAt` failed. True if that killed the upstream. */
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

/** 192.0.2.1:53, [2001:db8::1]:53, tls://192.0.2.1:853#name or the URL: two that differ in it are two upstreams. */
export const upstreamName: (spec: UpstreamSpec) => string = showUpstream
