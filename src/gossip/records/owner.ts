/**
 * One owner as we hold it: where its state stands (epoch, version, gc), the
 * ends of its list in the table, and what membership says of it.
 *
 * The invariant of the whole protocol is about these three numbers: we hold,
 * for every key of this owner, the newest value it gave up to `version` of
 * `epoch` or one it replaced later; and every deletion after `gc`.
 */
import { ownerHash } from './hash.ts'
import type { Chain } from './table.ts'

/** unknown: not in the member list (from disk, or its records came first). */
export type Presence = 'unknown' | 'alive' | 'suspect' | 'dead' | 'left'

export type Owner = Chain & {
  readonly name: string
  readonly hash: number
  epoch: number
  version: number
  /** Deletions up to this version are forgotten; who is older needs the whole state. */
  gc: number
  presence: Presence
  /** When the presence began, in our own ms; for a gone owner when it went, as the earliest witness has it. */
  since: number
  /** Shown as if alive although it vanished: too many vanished at once. */
  held: boolean
  /** In the second half of its grace: not in the digest and not offered any more. */
  quiet: boolean
  /** From disk, not yet confirmed by a peer. */
  restored: boolean
  /** Being replaced or dropped in slices. */
  busy: boolean
  /** At a cap: not asked for again before this, in ms. */
  blockedUntil: number
}

export const newOwner = (id: number, name: string, now: number): Owner => ({
  id,
  name,
  hash: ownerHash(name),
  head: 0,
  tail: 0,
  count: 0,
  tombs: 0,
  bytes: 0,
  zoneCount: 0,
  zoneBytes: 0,
  epoch: 0,
  version: 0,
  gc: 0,
  presence: 'unknown',
  since: now,
  held: false,
  quiet: false,
  restored: false,
  busy: false,
  blockedUntil: 0,
})

/** Whether (epoch, version) is newer than what we hold. */
export const isNewer = (owner: Owner, epoch: number, version: number): boolean =>
  epoch > owner.epoch || (epoch === owner.epoch && version > owner.version)

export const isGone = (owner: Owner): boolean =>
  owner.presence === 'dead' || owner.presence === 'left'

/**
 * How good an owner's entries are, least best: 0 live, 1 suspect, 2 gone. A
 * name is answered from the best rank that has it, so a suspect's entries are
 * left out while another owner lives, and a name with nobody left is answered
 * from the dead.
 */
export const rankOf = (owner: Owner): 0 | 1 | 2 => {
  if (owner.held || owner.presence === 'alive' || owner.presence === 'unknown') return 0
  return owner.presence === 'suspect' ? 1 : 2
}
