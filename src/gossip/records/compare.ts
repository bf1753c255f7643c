/**
 * Compares a peer's list of owners with ours: which owners to request, which to send, and which the peer should drop
 * because they are gone.
 */
import { listed, masked } from './answers.ts'
import { BUCKET_COUNT } from './digest.ts'
import type { Listed, OwnersMessage } from './message.ts'
import { isGone, isNewer, type Owner } from './owner.ts'
import type { Presence } from './presence.ts'
import type { Replica } from './replica.ts'

export type Comparison = {
  /** Owners that the peer has newer than we do. */
  readonly wants: readonly Listed[]
  /** Owners that it lacks, or has older, with its version; 0 sends everything. */
  readonly ahead: readonly (readonly [owner: Owner, from: number])[]
  /** Owners in its list that have been gone for longer than it knows. */
  readonly gone: readonly Listed[]
}

/** Compares the lists. Also learns from the peer how long owners have been gone. */
export const compare = (
  replica: Replica,
  presence: Presence,
  message: OwnersMessage,
  now: number,
): Comparison => {
  const seen = new Set<number>()
  const wants: Listed[] = []
  const gone: Listed[] = []
  const ahead: [Owner, number][] = []
  for (const item of message.list) {
    seen.add(item.hash)
    const owner = replica.byHash(item.hash)
    if (!owner) {
      const dropped = replica.dropped.get(item.hash)
      if (dropped && item.epoch <= dropped.epoch) {
        gone.push({ ...item, goneMs: now - dropped.since, left: dropped.left })
        continue
      }
      if (item.goneMs >= 0) presence.expectGone(item.hash, item.goneMs, item.left, now)
      wants.push(item)
      continue
    }
    if (isGone(owner)) presence.learnGone(owner, item.goneMs, item.left, now)
    if (isNewer(owner, item.epoch, item.version)) {
      // An owner at its cap would only be refused again.
      if (owner.blockedUntil <= now) wants.push(item)
    } else if (owner.quiet) gone.push(listed(owner, presence.gone(owner, now)))
    else if (owner.epoch !== item.epoch || owner.version !== item.version)
      ahead.push([owner, owner.epoch === item.epoch ? item.version : 0])
  }
  for (let i = 0; i < BUCKET_COUNT; i++) {
    if (!masked(message.mask, i)) continue
    for (const owner of replica.bucket(i))
      if (owner.version > 0 && !owner.quiet && !seen.has(owner.hash)) ahead.push([owner, 0])
  }
  return { wants, ahead, gone }
}
