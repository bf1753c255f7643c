/** What operators ask of the cache: which entries lie at or below a name, and what each is. */
import type { CacheEntryInfo } from '../../boundary/messages.ts'
import { FAILURE, POSITIVE, type Entry } from './entry.ts'
import type { PacketCache } from './packet-cache.ts'
import { typeName } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'

/** The name of an entry's question. */
export const nameOf = (entry: Entry): string => foldedText(entry.bytes, entry.at + HEADER)

/** Entries at or below a name, most recently used first; '' for all. */
export function* entriesBelow(cache: PacketCache, name: string): Iterable<Entry> {
  const wanted = name.toLowerCase().replace(/\.$/, '')
  for (const entry of cache.all()) {
    const text = nameOf(entry)
    if (wanted === '' || text === wanted || text.endsWith(`.${wanted}`)) yield entry
  }
}

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
