/**
 * Detects aliases that an upstream did not follow: NOERROR with CNAMEs, and nothing about the name they lead to. A
 * resolver must ask for that name itself (RFC 1034 §4.3.1, §5.3.3).
 */
import type { Response } from '../forward/outcome.ts'
import { TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { expandName, foldedText, MAX_NAME } from '../../wire/name.ts'
import { ANSWER, ttlOf } from '../../wire/scan.ts'

/** Limit of aliases for one question; a longer chain is a loop. */
export const MOST_ALIASES = 16

export type Unfinished = {
  /** The name that must be asked for, as lower-case text. */
  readonly target: string
  /** Record numbers of the CNAMEs that lead there. */
  readonly aliases: readonly number[]
  /** Their lowest TTL in seconds. */
  readonly ttl: number
  /** The aliases form a loop. */
  readonly loops: boolean
}

const name = Buffer.alloc(MAX_NAME + 1)

/** What a response leaves to ask for; undefined if it is complete. */
export const unfinished = ({ is, wire, records }: Response): Unfinished | undefined => {
  if (is.kind !== 'alias' || !is.keep) return undefined
  const aliases = is.keep.filter(
    i => records.section[i] === ANSWER && records.type[i] === TYPE.CNAME,
  )
  const textAt = (at: number): string | undefined =>
    expandName(wire, at, records.end, name) < 0 ? undefined : foldedText(name)
  // Each alias leads to the next; the records may be in any order.
  const next = new Map(aliases.map(i => [textAt(records.at[i]!), textAt(records.rdataAt[i]!)]))
  let target: string | undefined = foldedText(wire, HEADER)
  let links = 0
  for (; next.has(target) && links <= aliases.length; links++) target = next.get(target)
  if (aliases.length === 0 || target === undefined) return undefined
  const ttl = Math.min(...aliases.map(i => ttlOf(wire, records, i)))
  return { target, aliases, ttl, loops: links > aliases.length }
}
