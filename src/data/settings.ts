/**
 * The data thread's settings. A reload changes some values in place, so code must read a value from these objects at
 * each use.
 */
import type { DataThreadStart, Settings } from '../boundary/messages.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
export type Adjustable = Mutable<DataThreadStart>

/** A copy with separate objects for the groups of settings. */
export const adjustable = (start: DataThreadStart): Adjustable => ({
  ...start,
  cache: { ...start.cache },
  tcp: { ...start.tcp },
  race: { ...start.race },
})

export const adjust = (start: Adjustable, { cache, tcp, race, ...rest }: Settings): void => {
  Object.assign(start.cache, cache)
  Object.assign(start.tcp, tcp)
  Object.assign(start.race, race)
  Object.assign(start, rest)
}
