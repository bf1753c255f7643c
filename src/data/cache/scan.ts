/**
 * Going through the whole cache in steps, between which queries are answered.
 * What is stored or goes away meanwhile may be missed; nothing is seen that is
 * not there.
 */
import { Entry } from './entry.ts'
import { nameOf } from './inspect.ts'
import type { PacketCache } from './packet-cache.ts'
import type { Ref } from './slab.ts'

/** Entries looked at in one step: some tens of microseconds. */
const STEP = 64
/** Ages are told apart by powers of two, up to the 65,536 seconds that an entry counts. */
const AGES = 17

/** Whether an entry lies at or below a name; all do at ''. */
export const below = (name: string): ((entry: Entry) => boolean) => {
  const wanted = name.toLowerCase().replace(/\.$/, '')
  if (wanted === '') return () => true
  return entry => {
    const text = nameOf(entry)
    return text === wanted || text.endsWith(`.${wanted}`)
  }
}

/** Deletes the entries at or below a name; how many. */
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

/** The entries for which `wanted` says yes, those that were used lately first. */
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
