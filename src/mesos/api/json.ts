/**
 * Accessors for JSON of unknown shape. Each returns a value of its type for any input, so that a missing or
 * malformed field only affects what it describes.
 */

export type Json = Readonly<Record<string, unknown>>

const NOTHING: Json = Object.freeze({})
const NONE: readonly unknown[] = Object.freeze([])

/** The value if it is an object (no array), else an empty one. */
export const object = (value: unknown): Json => (isObject(value) ? value : NOTHING)

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The value if it is an array, else an empty one. */
export const list = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? (value as readonly unknown[]) : NONE

/** The value if it is a string, else ''. */
export const text = (value: unknown): string => (typeof value === 'string' ? value : '')

/** The value if it is a finite number, else 0. */
export const number = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : 0

/** A port number 1 to 65535, else 0. */
export const port = (value: unknown): number =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 65_536 ? value : 0

/** An id, bare as in `/state` or wrapped in `{value}` as in the operator API. */
export const id = (value: unknown): string =>
  typeof value === 'string' ? value : text(object(value).value)
