/**
 * Decides whether a query is for this node, by names and by a regular expression on a tag. The expression comes from
 * the wire and JavaScript's engine backtracks, so only safe ones are run: a short value, few repetitions, no
 * back-references.
 */
import { readNodeFilter, readTagFilter } from '../wire/serf.ts'
import type { Tags } from './tags.ts'

const FILTER_NODE = 0
const FILTER_TAG = 1
const EXPRESSION_MOST = 128
const VALUE_MOST = 64
/** Limit of repetitions in one expression: three over 64 octets take at most about 40,000 steps. */
const REPEATS_MOST = 3

/** Whether the expression matches the value; undefined if it is not safe to run. */
export const safeMatch = (expression: string, value: string): boolean | undefined => {
  if (expression.length > EXPRESSION_MOST || value.length > VALUE_MOST) return undefined
  const repeats = expression.match(/[*+{?]/g)?.length ?? 0
  // a repeated group, or a back-reference, can make backtracking exponential
  if (repeats > REPEATS_MOST || /\)[*+{?]|\\[1-9k]|\(\?/.test(expression)) return undefined
  if (/\{[^}]{4,}/.test(expression)) return undefined
  try {
    return new RegExp(expression, 'u').test(value)
  } catch {
    return undefined
  }
}

/** Whether all filters match this node. A filter that cannot be evaluated does not match. */
export const isForUs = (filters: readonly Uint8Array[], name: string, tags: Tags): boolean =>
  filters.every(filter => {
    const body = filter.subarray(1)
    if (filter[0] === FILTER_NODE) return readNodeFilter(body)?.includes(name) ?? false
    if (filter[0] !== FILTER_TAG) return false
    const wanted = readTagFilter(body)
    return wanted !== undefined && safeMatch(wanted.expression, tags[wanted.tag] ?? '') === true
  })
