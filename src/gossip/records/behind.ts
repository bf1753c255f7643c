/**
 * Owners of which we know that updates are missing: a delta left a gap, or a notice announced one. Also remembers
 * which peer has them. A gap may only be due to reordered packets, so it is requested after a delay; a notice is
 * requested at once.
 */
import { type Delta, NOTICE } from './delta.ts'
import { ownerHash } from './hash.ts'
import { isNewer } from './owner.ts'
import type { Replica } from './replica.ts'

const GAP_MS = 300
const NOTICE_MS = 30
/** Limit of owners remembered. The digest finds the others. */
const MOST = 1_024

/** The state that an owner is known to have reached. */
export type Target = { readonly epoch: number; readonly version: number }

type Missing = Target & { readonly peer: string; readonly notice: boolean; readonly dueAt: number }

/** What to request: from which peer, when, and whether a stream is needed. */
export type Due = {
  readonly peer: string
  readonly at: number
  readonly notice: boolean
  readonly wants: Map<number, Target>
}

export class Behind {
  readonly #missing = new Map<number, Missing>()

  /** A delta from `peer` left a gap. */
  add(delta: Delta, peer: string, now: number): void {
    const hash = ownerHash(delta.owner)
    const had = this.#missing.get(hash)
    if (!had && this.#missing.size >= MOST) return
    const { epoch, to: version } = delta
    if (had && (had.epoch > epoch || (had.epoch === epoch && had.version >= version))) return
    const notice = (delta.flags & NOTICE) !== 0
    const dueAt = now + (notice ? NOTICE_MS : GAP_MS)
    this.#missing.set(hash, {
      epoch,
      version,
      peer,
      notice: notice || (had?.notice ?? false),
      dueAt: Math.min(dueAt, had?.dueAt ?? dueAt),
    })
  }

  /** What is still missing, and when to request it; undefined for nothing. */
  due(replica: Replica): Due | undefined {
    const wants = new Map<number, Target>()
    let first: Missing | undefined
    for (const [hash, missing] of this.#missing) {
      const owner = replica.byHash(hash)
      if (owner && !isNewer(owner, missing.epoch, missing.version)) {
        this.#missing.delete(hash)
        continue
      }
      wants.set(hash, missing)
      if (!first || missing.dueAt < first.dueAt) first = missing
    }
    return first && { peer: first.peer, at: first.dueAt, notice: first.notice, wants }
  }

  /** To be called after the request. If it is not answered, the digest finds the difference again. */
  clear(): void {
    this.#missing.clear()
  }
}
