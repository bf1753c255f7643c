/**
 * What the data thread began with, of which a reload changes some values in
 * place. Whoever uses a value reads it from these objects each time.
 */
import type { DataThreadStart, Settings } from '../boundary/messages.ts'

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
export type Adjustable = Mutable<DataThreadStart>

/** A copy whose groups of settings are its own. */
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
