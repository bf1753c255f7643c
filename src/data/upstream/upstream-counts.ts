/** Counts events of each upstream, and reports its changes of state once. */
import {
  BLOCK,
  countTime,
  RCODE_LABELS,
  rcodeIndex,
  TIME_CELLS,
  UPSTREAM_ROW,
  UPSTREAM_SLOT,
  type UpstreamScalar,
} from '../../boundary/counters.ts'
import type { Milliseconds } from '../../boundary/messages.ts'
import { Reports } from '../../base/pace.ts'
import type { Failure } from './liveness.ts'
import type { Upstream } from './upstream.ts'

export interface UpstreamCounts {
  add(slot: number, what: UpstreamScalar): void
  reply(slot: number, rcode: number, tookMs: number): void
  /** A reply contradicted the answer that was given; `given` and `said` are kinds of responses. */
  disagree(upstream: Upstream, given: string, said: string): void
  dead(upstream: Upstream, reason: Failure): void
  back(upstream: Upstream): void
}

/** Upstreams that hold different data disagree with every answer; so often that is reported for each. */
const DISAGREE_EVERY_MS = 1_000

/** Where changes of state are told. */
export type Tell = (level: 'info' | 'warn', msg: string, fields: Record<string, unknown>) => void

export const upstreamCounts = (
  c: Float64Array,
  tell: Tell,
  now: () => Milliseconds,
): UpstreamCounts => {
  const disagreeing: Reports[] = []
  const add = (slot: number, what: UpstreamScalar): void => {
    c[BLOCK.upstream + slot * UPSTREAM_ROW + UPSTREAM_SLOT[what]]! += 1
  }
  return {
    add,
    reply: (slot, rcode, tookMs) => {
      c[BLOCK.upstreamRcode + slot * RCODE_LABELS.length + rcodeIndex(rcode)]! += 1
      countTime(c, BLOCK.upstreamDuration + slot * TIME_CELLS, tookMs / 1000)
    },
    disagree: (upstream, given, said) => {
      add(upstream.slot, 'disagreements')
      const reports = (disagreeing[upstream.slot] ??= new Reports(DISAGREE_EVERY_MS))
      const more = reports.next(now())
      if (more !== undefined)
        tell('warn', 'upstream disagrees', { upstream: upstream.name, given, said, more })
    },
    dead: (upstream, reason) => tell('warn', 'upstream lost', { upstream: upstream.name, reason }),
    back: upstream => tell('info', 'upstream back', { upstream: upstream.name }),
  }
}
