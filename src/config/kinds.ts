/**
 * The kinds of value that a key may have: a name for the manual, and the zod schema that parses it. All
 * problems in a list are reported, not only the first.
 */
import * as z from 'zod'
import { nearest } from './nearest.ts'
import { showPath, type Path } from './source.ts'
import { bad, shown, showSize, showTime, parseSize, parseTime, type Parsed } from './units.ts'

// A process reads its configuration once, so parsers compiled for it would cost more than they save: 10 ms of a start.
z.config({ jitless: true })

export type Kind<T> = { readonly type: string; readonly schema: z.ZodType<T, unknown> }

/** Data of a problem that passes through zod, beside its message and path. */
export type Params = {
  readonly suggestion?: string | undefined
  readonly what?: 'key' | 'value' | undefined
}

/** Limit of reported problems in one value; a list may have a hundred thousand. */
const MAX_NOTES = 250

type Note = (path: Path, problem: string, params?: Params) => void

/** A kind that is parsed by one function, which may report problems inside the value. */
const kind = <T>(type: string, read: (raw: unknown, note: Note) => T): Kind<T> => ({
  type,
  schema: z.unknown().transform((raw, ctx): T => {
    let notes = 0
    const note: Note = (path, message, params = {}) => {
      // zod passes all issues as arguments of one call, and the number of arguments is limited.
      if (notes++ > MAX_NOTES) return
      ctx.issues.push({ code: 'custom', input: raw, path: [...path], message, params })
    }
    if (raw === undefined) {
      note([], 'is required')
      return z.NEVER
    }
    if (raw === null) {
      note([], 'has no value: leave the key out to get its default')
      return z.NEVER
    }
    return read(raw, note)
  }),
})

/** A kind of one value. */
export const of = <T>(type: string, parse: (raw: unknown) => Parsed<T>): Kind<T> =>
  kind(type, (raw, note) => {
    const read = parse(raw)
    if ('value' in read) return read.value
    note([], read.problem, read)
    return z.NEVER
  })

/** A list of at most `most` elements. */
export const listOf = <T>(
  type: string,
  parse: (raw: unknown) => Parsed<T>,
  { least = 0, most = Infinity }: { least?: number; most?: number } = {},
): Kind<readonly T[]> =>
  kind(`list of ${type}`, (raw, note) => {
    if (!Array.isArray(raw)) {
      note(
        [],
        `${shown(raw)} is not a list: write [${typeof raw === 'string' ? raw.slice(0, 60) : 'one, two'}]`,
      )
      return z.NEVER
    }
    if (raw.length < least) note([], `needs at least ${least} element${least === 1 ? '' : 's'}`)
    if (raw.length > most) note([], `has ${raw.length} elements, at most ${most} can be used`)
    return raw.flatMap((item, i): T[] => {
      const read = parse(item)
      if ('value' in read) return [read.value]
      note([i], read.problem, read)
      return []
    })
  })

/** A section whose keys the operator chooses, such as the forward zones. */
export const mapOf = <T>(
  type: string,
  parseKey: (raw: unknown) => Parsed<string>,
  value: Kind<T>,
): Kind<Readonly<Record<string, T>>> =>
  kind(type, (raw, note) => {
    const entries = new Map<string, T>()
    if (typeof raw !== 'object' || Array.isArray(raw)) {
      note([], `${shown(raw)} is not a section of 'key: value' lines`)
      return z.NEVER
    }
    for (const [word, inner] of Object.entries(raw as object)) {
      const key = parseKey(word)
      if ('problem' in key) note([word], key.problem, { what: 'key' })
      else if (entries.has(key.value))
        note([word], `is the same as ${showPath([key.value])}`, { what: 'key' })
      const read = value.schema.safeParse(inner)
      for (const issue of read.error?.issues ?? []) {
        note(
          [word, ...issue.path],
          issue.message,
          'params' in issue ? (issue.params as Params) : {},
        )
      }
      if ('value' in key && read.success) entries.set(key.value, read.data)
    }
    return Object.fromEntries(entries)
  })

export const flag = of<boolean>('true or false', raw =>
  typeof raw === 'boolean'
    ? { value: raw }
    : bad(`${shown(raw)} is neither true nor false`, yes(raw)),
)
/** Accepts true and false in the spellings of YAML 1.1. */
const yes = (raw: unknown): string | undefined => {
  // Not every value can be converted to a string: {toString: 0} throws.
  const text = typeof raw === 'string' || typeof raw === 'number' ? String(raw) : ''
  return /^(yes|on|1)$/i.test(text) ? 'true' : /^(no|off|0)$/i.test(text) ? 'false' : undefined
}

/** Reads one of a fixed list of words. */
export const oneOf =
  <const W extends string>(words: readonly W[]) =>
  (raw: unknown): Parsed<W> =>
    words.includes(raw as W)
      ? { value: raw as W }
      : bad(
          `${shown(raw)} is not one of ${words.join(', ')}`,
          nearest(typeof raw === 'string' ? raw : '', words),
        )

/** One of a fixed list of words. */
export const word = <const W extends string>(words: readonly W[]): Kind<W> =>
  of(words.join(', '), oneOf(words))

/** A whole number within bounds, both included. */
export const count = (least: number, most: number): Kind<number> =>
  of('number', raw =>
    typeof raw === 'number' && Number.isInteger(raw) && raw >= least && raw <= most
      ? { value: raw }
      : bad(`${shown(raw)} is not a whole number from ${least} to ${most}`),
  )

const within = (
  read: Parsed<number>,
  least: number,
  most: number,
  show: (value: number) => string,
): Parsed<number> => {
  if ('problem' in read || (read.value >= least && read.value <= most)) return read
  return bad(`${show(read.value)} is outside ${show(least)} to ${show(most)}`)
}

/** Bytes, within bounds in bytes. */
export const size = (least: number, most: number): Kind<number> =>
  of('size', raw => within(parseSize(raw), least, most, showSize))

/** Milliseconds, within bounds in milliseconds. */
export const time = (least: number, most: number): Kind<number> =>
  of('time', raw => within(parseTime(raw), least, most, showTime))

/** Whole seconds, as TTLs are, within bounds in milliseconds. */
export const ttl = (most: number): Kind<number> =>
  of('time', raw => {
    const read = within(parseTime(raw), 0, most, showTime)
    if ('problem' in read) return read
    if (read.value % 1000) return bad(`${shown(raw)} is not a whole number of seconds, as TTLs are`)
    return { value: read.value / 1000 }
  })

/** Text that must match a pattern; '' is accepted and means none. */
export const text = (type: string, pattern: RegExp, problem: string): Kind<string> =>
  of(type, raw =>
    typeof raw === 'string' && pattern.test(raw) ? { value: raw } : bad(`${shown(raw)} ${problem}`),
  )

/** An absolute path; '' is accepted and means none. */
export const file = (what: 'file' | 'folder' | 'socket' = 'file'): Kind<string> =>
  of(what, parsePath)

/** An absolute path or ''. A relative one would depend on where the daemon was started. */
export const parsePath = (raw: unknown): Parsed<string> => {
  if (typeof raw !== 'string' || raw.includes('\0') || raw.length > 4096)
    return bad(`${shown(raw)} is not a path`)
  return raw === '' || raw.startsWith('/')
    ? { value: raw }
    : bad(`${shown(raw)} is not an absolute path`)
}
