/**
 * Parsers for sizes, times and whole numbers. Each returns either the value or a sentence that says what is
 * wrong, so that one bad value does not hide the next.
 */

/** Why a value cannot be used, and what was probably meant. */
export type Bad = { readonly problem: string; readonly suggestion?: string }

/** The result of parsing a value. */
export type Parsed<T> = { readonly value: T } | Bad

export const bad = (problem: string, suggestion?: string): Bad =>
  suggestion === undefined ? { problem } : { problem, suggestion }

/** The value in a few characters, for use inside a sentence. */
export const shown = (raw: unknown): string => {
  if (raw === undefined || raw === null) return 'nothing'
  if (Array.isArray(raw)) return 'a list'
  if (typeof raw === 'object') return 'a section'
  const text = typeof raw === 'string' ? `'${raw}'` : String(raw)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

const TIMES: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
}

/**
 * Milliseconds of '250ms', '5s', '1.5h', '1d'. A number without a unit is refused because its unit is
 * unknown; 0 needs none.
 */
export const parseTime = (raw: unknown): Parsed<number> => {
  if (raw === 0 || raw === '0') return { value: 0 }
  if (typeof raw === 'number') return bad(`${shown(raw)} has no unit`, `${raw}s`)
  const found =
    typeof raw === 'string' ? /^(\d{1,15}(?:\.\d{1,3})?) ?([a-z]+)$/.exec(raw.trim()) : null
  const scale = found && TIMES[found[2]!]
  if (!found || !scale) return bad(`${shown(raw)} is not a time: write 250ms, 5s, 10m, 2h or 1d`)
  return { value: Math.round(Number(found[1]) * scale) }
}

const SIZES: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
}

/** Bytes of '32MiB', '64kB' or a bare number of bytes. */
export const parseSize = (raw: unknown): Parsed<number> => {
  if (typeof raw === 'number' && Number.isSafeInteger(raw) && raw >= 0) return { value: raw }
  const found =
    typeof raw === 'string' ? /^(\d{1,15}(?:\.\d{1,3})?) ?([A-Za-z]*)$/.exec(raw.trim()) : null
  if (!found) return bad(`${shown(raw)} is not a size: write 64KiB, 32MiB or 1GiB`)
  const unit = found[2] || 'B'
  const scale = SIZES[unit]
  if (scale) return { value: Math.round(Number(found[1]) * scale) }
  const prefix = /^[kmg]/i.exec(unit)?.[0]?.toUpperCase()
  return bad(
    `${shown(raw)} is not a size: its unit is B, KiB, MiB or GiB`,
    prefix ? `${found[1]}${prefix}iB` : undefined,
  )
}

/** '20ms', '10s', '1d': the largest unit that gives a whole number. */
export const showTime = (ms: number): string => {
  for (const unit of ['w', 'd', 'h', 'm', 's']) {
    const scale = TIMES[unit]!
    if (ms >= scale && ms % scale === 0 && unit !== 'w') return `${ms / scale}${unit}`
  }
  return ms === 0 ? '0s' : `${ms}ms`
}

/** '32MiB', '1500B': the largest binary unit that gives a whole number. */
export const showSize = (bytes: number): string => {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const scale = SIZES[unit]!
    if (bytes >= scale && bytes % scale === 0) return `${bytes / scale}${unit}`
  }
  return `${bytes}B`
}
