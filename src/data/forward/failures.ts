/** Failures that are remembered for a while, so that they are not asked for again at once (RFC 9520). */
import { FAILURE, type Entry } from '../cache/entry.ts'
import { SLOT } from '../../boundary/counters.ts'
import type { AnswerContext } from '../answer/answerer.ts'
import { keep, metaOf } from './entries.ts'
import type { Flight } from './flight.ts'
import { bareFill } from './prepare.ts'
import { failureTtl } from './ttl-policy.ts'

/** Why a question has no answer. */
export type Reason = {
  readonly rcode: number
  /** Extended error. */
  readonly ede: number
  /** For the person who runs dig. */
  readonly why: string
}

/**
 * Keeps the failure of a flight: for a second, twice as long after each in a
 * row. Not in the cache if the route has changed since the flight began.
 */
export const keepFailure = (
  flight: Flight,
  { rcode, ede, why }: Reason,
  current: boolean,
  context: AnswerContext,
): Entry => {
  const { question, route, failures } = flight
  const { spec } = route
  const ttl = current ? failureTtl(failures) : 0
  if (current) context.counters[SLOT.failuresCached]! += 1
  const meta = {
    ...metaOf(question, FAILURE, ttl, spec.label, spec.kind === 'forward' ? spec.number : 0, false),
    ede,
    edeText: why,
    failures,
  }
  const fill = bareFill(question.wire, question.questionEnd, question.qtype, rcode, meta)
  return keep(fill, context)
}
