/**
 * Computes what a reload changes: the keys that differ between the running configuration and the one in the
 * file, which of them apply at once, and the resulting configuration. Keys that need a restart keep the
 * running value, so that the next reload reports them again until the restart happens. Pure.
 */
import { APPLIES, type Applies, type Owner } from './applies.ts'
import type { Config } from './config.ts'

export type ReloadPlan = {
  /** Keys whose new values apply now, each with the parts that use it. */
  readonly applied: ReadonlyMap<string, readonly Owner[]>
  /** Keys whose new values apply after a restart. */
  readonly pending: readonly string[]
  /** The running configuration after the reload. */
  readonly next: Config
}

type Values = Readonly<Record<string, unknown>>

const valueAt = (config: Config, key: string): unknown =>
  key
    .split('.')
    .reduce<unknown>((at, step) => (at as Values | undefined)?.[step], config as unknown)

/**
 * The text that is compared to find out whether a key has changed. An `allow` that is not in the file differs
 * from the same list written in the file.
 */
const comparable = (config: Config, key: string): string =>
  JSON.stringify(key === 'allow' ? [config.allow, config.allowAttached] : valueAt(config, key)) ??
  ''

const withValue = (into: Values, steps: readonly string[], value: unknown): Values => {
  const [first = '', ...rest] = steps
  if (rest.length === 0) return { ...into, [first]: value }
  return { ...into, [first]: withValue((into[first] ?? {}) as Values, rest, value) }
}

/**
 * Plans a reload from `running` to `wanted`.
 * @param refused keys that turned out to need a restart
 */
export const planReload = (
  running: Config,
  wanted: Config,
  refused: readonly string[] = [],
): ReloadPlan => {
  const changed = [...APPLIES].filter(
    ([key]) => comparable(running, key) !== comparable(wanted, key),
  )
  const applies = (key: string, says: Applies): boolean =>
    says === 'at once' && !refused.includes(key)
  // A section is added or removed as a whole, so all its keys then apply together.
  const sectionOf = (key: string): string => key.slice(0, Math.max(0, key.indexOf('.')))
  const comesOrGoes = (section: string): boolean =>
    section !== '' &&
    (valueAt(running, section) === undefined) !== (valueAt(wanted, section) === undefined)
  const stuck = new Set(
    changed.filter(([key, row]) => !applies(key, row.applies)).map(([key]) => sectionOf(key)),
  )
  const atOnce = changed.filter(
    ([key, row]) =>
      applies(key, row.applies) && !(comesOrGoes(sectionOf(key)) && stuck.has(sectionOf(key))),
  )
  const applied = new Map(atOnce.map(([key, row]) => [key, row.owners]))
  let next = running as unknown as Values
  for (const key of applied.keys()) {
    const section = sectionOf(key)
    next = comesOrGoes(section)
      ? { ...next, [section]: valueAt(wanted, section) }
      : withValue(next, key.split('.'), valueAt(wanted, key))
    if (key === 'allow') next = { ...next, allowAttached: wanted.allowAttached }
  }
  return {
    applied,
    pending: changed.map(([key]) => key).filter(key => !applied.has(key)),
    next: next as unknown as Config,
  }
}
