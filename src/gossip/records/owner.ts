/**
 * One owner's state in a replica: its epoch, version and gc, the ends of its list in the table, and its membership
 * state.
 *
 * The invariant of the protocol: for every key of this owner we hold the newest value up to `version` of `epoch`, or
 * a later one, and every deletion after `gc`.
 */
import { ownerHash } from './hash.ts'
import type { Chain } from './table.ts'

/** unknown: not in the member list (loaded from disk, or its records arrived first). */
export type Presence = 'unknown' | 'alive' | 'suspect' | 'dead' | 'left'

export type Owner = Chain & {
  readonly name: string
  readonly hash: number
  epoch: number
  version: number
  /** Deletions up to this version are forgotten; a peer with an older state needs the complete state. */
  gc: number
  presence: Presence
  /** When the presence began, in our own ms. For a gone owner: when it went, according to the earliest report. */
  since: number
  /** Shown as alive although it vanished, because too many vanished at once. */
  held: boolean
  /** In the second half of its grace time: not in the digest and not offered to peers. */
  quiet: boolean
  /** Loaded from disk, not confirmed by a peer yet. */
  restored: boolean
  /** Being replaced or dropped in slices. */
  busy: boolean
  /** At a cap: not requested before this time, in ms. */
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
 * Rank of an owner's entries: 0 live, 1 suspect, 2 gone. A name is answered from the best rank that has it. So a
 * suspect's entries are left out while a live owner has the name, and gone owners' entries are used only if no other
 * has it.
 */
export const rankOf = (owner: Owner): 0 | 1 | 2 => {
  if (owner.held || owner.presence === 'alive' || owner.presence === 'unknown') return 0
  return owner.presence === 'suspect' ? 1 : 2
}
