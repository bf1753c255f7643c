/** Counts what happens to each upstream and says its changes of state once. */
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
import type { Failure } from './liveness.ts'
import type { Upstream } from './upstream.ts'

export interface UpstreamCounts {
  add(slot: number, what: UpstreamScalar): void
  reply(slot: number, rcode: number, tookMs: number): void
  /** A reply contradicted the answer that was given; `given` and `said` are kinds of response. */
  disagree(upstream: Upstream, given: string, said: string): void
  dead(upstream: Upstream, reason: Failure): void
  back(upstream: Upstream): void
}

/** Where changes of state are told. */
export type Tell = (level: 'info' | 'warn', msg: string, fields: Record<string, unknown>) => void

export const upstreamCounts = (c: Float64Array, tell: Tell): UpstreamCounts => {
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
      tell('warn', 'upstream disagrees', { upstream: upstream.name, given, said })
    },
    dead: (upstream, reason) => tell('warn', 'upstream lost', { upstream: upstream.name, reason }),
    back: upstream => tell('info', 'upstream back', { upstream: upstream.name }),
  }
}
