/**
 * Whether a query is meant for this node: filters by name, and by a regular
 * expression over a tag. The expression comes from the wire and JavaScript's
 * engine backtracks, so only what cannot run away is tried: a short value,
 * few repetitions, no references back.
 */
import { readNodeFilter, readTagFilter } from '../wire/serf.ts'
import type { Tags } from './tags.ts'

const FILTER_NODE = 0
const FILTER_TAG = 1
const EXPRESSION_MOST = 128
const VALUE_MOST = 64
/** Repetitions in one expression: three over 64 octets are at most some 40,000 steps. */
const REPEATS_MOST = 3

/** Whether the expression matches the value; undefined if it will not be tried. */
export const safeMatch = (expression: string, value: string): boolean | undefined => {
  if (expression.length > EXPRESSION_MOST || value.length > VALUE_MOST) return undefined
  const repeats = expression.match(/[*+{?]/g)?.length ?? 0
  // a repeated group of repetitions, or a reference, is where backtracking explodes
  if (repeats > REPEATS_MOST || /\)[*+{?]|\\[1-9k]|\(\?/.test(expression)) return undefined
  if (/\{[^}]{4,}/.test(expression)) return undefined
  try {
    return new RegExp(expression, 'u').test(value)
  } catch {
    return undefined
  }
}

/** Whether all filters let us pass. A filter that cannot be judged does not. */
export const isForUs = (filters: readonly Uint8Array[], name: string, tags: Tags): boolean =>
  filters.every(filter => {
    const body = filter.subarray(1)
    if (filter[0] === FILTER_NODE) return readNodeFilter(body)?.includes(name) ?? false
    if (filter[0] !== FILTER_TAG) return false
    const wanted = readTagFilter(body)
    return wanted !== undefined && safeMatch(wanted.expression, tags[wanted.tag] ?? '') === true
  })
