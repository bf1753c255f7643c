/**
 * Scans the whole cache in steps, so that queries can be answered in between. Entries that are added or removed
 * meanwhile may be missed.
 */
import { Entry } from './entry.ts'
import { nameOf } from './inspect.ts'
import type { PacketCache } from './packet-cache.ts'
import type { Ref } from './slab.ts'

/** Entries per step: some tens of microseconds. */
const STEP = 64
/** Ages are grouped by powers of two, up to the 65,536 seconds that an entry counts. */
const AGES = 17

/** A test whether an entry is at or below a name; '' matches all. */
export const below = (name: string): ((entry: Entry) => boolean) => {
  const wanted = name.toLowerCase().replace(/\.$/, '')
  if (wanted === '') return () => true
  return entry => {
    const text = nameOf(entry)
    return text === wanted || text.endsWith(`.${wanted}`)
  }
}

/** Deletes the entries at or below a name; returns their number. */
export function* flush(cache: PacketCache, name: string): Generator<void, number> {
  const isBelow = below(name)
  let count = 0
  let n = 0
  for (const entry of cache.scan(new Entry())) {
    if (isBelow(entry)) {
      cache.delete(entry)
      count++
    }
    if (++n % STEP === 0) yield
  }
  return count
}

/** The entries that `wanted` accepts, recently used ones first. */
export function* recentFirst(
  cache: PacketCache,
  now: number,
  wanted: (entry: Entry) => boolean,
): Generator<void, Ref[]> {
  const byAge: Ref[][] = Array.from({ length: AGES }, () => [])
  const second = Math.trunc(now / 1000)
  let n = 0
  for (const entry of cache.scan(new Entry())) {
    if (wanted(entry)) {
      const age = (second - entry.touched) & 0xffff
      byAge[32 - Math.clz32(age)]!.push(entry.ref)
    }
    if (++n % STEP === 0) yield
  }
  return byAge.flat()
}
