/**
 * Owners of whom we know that something is missing, because a delta came that
 * did not join on or a notice announced one, and who has it. What a gap lacks
 * may only have been overtaken and gets a moment; a notice is complete in
 * itself and is acted on at once.
 */
import { type Delta, NOTICE } from './delta.ts'
import { ownerHash } from './hash.ts'
import { isNewer } from './owner.ts'
import type { Replica } from './replica.ts'

const GAP_MS = 300
const NOTICE_MS = 30
/** Owners remembered; the digest finds the others. */
const MOST = 1_024

/** A state an owner is known to have reached. */
export type Target = { readonly epoch: number; readonly version: number }

type Missing = Target & { readonly peer: string; readonly notice: boolean; readonly dueAt: number }

/** What is to be asked for: of whom, when, and whether it will take a stream. */
export type Due = {
  readonly peer: string
  readonly at: number
  readonly notice: boolean
  readonly wants: Map<number, Target>
}

export class Behind {
  readonly #missing = new Map<number, Missing>()

  /** A delta from `peer` did not join on to what we hold. */
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

  /** What is missing still, and when it is to be asked for; undefined for nothing. */
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

  /** It has been asked for; what is not answered the digest finds again. */
  clear(): void {
    this.#missing.clear()
  }
}
