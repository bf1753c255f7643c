/**
 * What a peer's list of owners means for us: whom to ask it for, what to give
 * it, and which owners it should let go as we have.
 */
import { listed, masked } from './answers.ts'
import { BUCKET_COUNT } from './digest.ts'
import type { Listed, OwnersMessage } from './message.ts'
import { isGone, isNewer, type Owner } from './owner.ts'
import type { Presence } from './presence.ts'
import type { Replica } from './replica.ts'

export type Comparison = {
  /** Owners the peer has newer than we do. */
  readonly wants: readonly Listed[]
  /** Owners it lacks, or has older, with the version it has; 0 gives all. */
  readonly ahead: readonly (readonly [owner: Owner, from: number])[]
  /** Owners it offers that are gone for longer than it knows. */
  readonly gone: readonly Listed[]
}

/** Compare; what the peer knows of how long owners have been gone is taken over on the way. */
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
      // At a cap we would only refuse it again.
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
