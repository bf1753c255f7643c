/** Describes cache entries for operators. */
import type { CacheEntryInfo } from '../../boundary/messages.ts'
import { FAILURE, POSITIVE, type Entry } from './entry.ts'
import { typeName } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'

/** The name of an entry's question. */
export const nameOf = (entry: Entry): string => foldedText(entry.bytes, entry.at + HEADER)

export const entryInfo = (
  entry: Entry,
  labels: readonly string[],
  now: number,
): CacheEntryInfo => ({
  name: nameOf(entry),
  type: typeName(entry.qtype),
  kind: entry.kind === POSITIVE ? 'positive' : entry.kind === FAILURE ? 'failure' : 'negative',
  zone: labels[entry.zone] ?? 'other',
  ttl: Math.ceil((entry.expiresAt - now) / 1000),
  bytes: entry.size,
  hits: entry.hits,
})
