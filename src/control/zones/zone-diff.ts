/**
 * Compares two versions of a zone, so that only owners that differ are sent to the data thread, and splits owners into
 * messages of a bounded size. Pure.
 */
import type { Owner, RRset } from '../../boundary/messages.ts'
import type { ZoneMap } from '../../boundary/zone.ts'

/** A message is full at this many owners or this many records, whichever comes first. */
export const OWNERS = 500
const RECORDS = 2_000
/** The same for a message of packed owners, which are text: its characters, those of about 2,000 records. */
const TEXT = 128 * 1024

const sameData = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((item, i) => item === b[i])

/** Whether two owners have the same RRsets in the same order. */
export const sameRRsets = (a: readonly RRset[], b: readonly RRset[]): boolean =>
  a === b ||
  (a.length === b.length &&
    a.every((rrset, i) => {
      const other = b[i]
      return (
        other !== undefined &&
        rrset.type === other.type &&
        rrset.ttl === other.ttl &&
        sameData(rrset.data, other.data)
      )
    }))

/** The owners to set and to drop that turn `before` into `after`. */
export const diffZones = (before: ZoneMap, after: ZoneMap): { set: Owner[]; drop: string[] } => {
  const set: Owner[] = []
  const drop: string[] = []
  let both = 0
  for (const [owner, rrsets] of after) {
    const had = before.get(owner)
    if (had !== undefined) both++
    if (had === undefined || !sameRRsets(had, rrsets)) set.push([owner, rrsets])
  }
  if (both < before.size) for (const owner of before.keys()) if (!after.has(owner)) drop.push(owner)
  return { set, drop }
}

/** Splits owners into groups of at most one message each. */
export const inPieces = function* (owners: Iterable<Owner>): Generator<Owner[]> {
  let piece: Owner[] = []
  let records = 0
  for (const owner of owners) {
    piece.push(owner)
    for (const rrset of owner[1]) records += rrset.data.length
    if (piece.length < OWNERS && records < RECORDS) continue
    yield piece
    piece = []
    records = 0
  }
  if (piece.length > 0) yield piece
}

/** Joins lines of boundary/zone-text.ts into texts, each of which fits one message. */
export const inTexts = function* (lines: Iterable<string>): Generator<string> {
  let text = ''
  let owners = 0
  for (const line of lines) {
    text += line
    if (++owners < OWNERS && text.length < TEXT) continue
    yield text
    text = ''
    owners = 0
  }
  if (text !== '') yield text
}
