/**
 * Look-ups in a document that the schema has not checked yet. A value that is missing or has the wrong type
 * is treated as absent.
 */
import { parsePort } from './address.ts'
import type { Path } from './source.ts'
import type { Parsed } from './units.ts'

/** A document or a part of it, not checked yet. */
export type Raw = unknown

/** The value at a path; undefined if there is none. */
export const look = (raw: Raw, ...path: string[]): Raw =>
  path.reduce<Raw>(
    (at, step) =>
      typeof at === 'object' && at !== null && Object.hasOwn(at, step)
        ? (at as Record<string, Raw>)[step]
        : undefined,
    raw,
  )

/** A valid element and its path. */
export type Item<T> = { readonly path: Path; readonly value: T }

/** The valid elements of the list at `path`. */
export const items = <T>(
  raw: Raw,
  path: readonly string[],
  parse: (raw: Raw) => Parsed<T>,
): Item<T>[] => {
  const list = look(raw, ...path)
  if (!Array.isArray(list)) return []
  return list.flatMap((one, i) => {
    const read = parse(one)
    return 'value' in read ? [{ path: [...path, i], value: read.value }] : []
  })
}

/** The keys of the section at `path`; none if there is no section. */
export const keysAt = (raw: Raw, ...path: string[]): string[] => {
  const at = look(raw, ...path)
  return typeof at === 'object' && at !== null && !Array.isArray(at) ? Object.keys(at) : []
}

/** The port at `path`; `fallback` if there is none or it is not valid. */
export const portAt = (raw: Raw, path: readonly string[], fallback: number): number => {
  const read = parsePort(look(raw, ...path))
  return 'value' in read ? read.value : fallback
}
