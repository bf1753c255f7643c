/**
 * Stores the result of a race: an answer, or a failure, which is remembered for a while so that it is not asked for
 * again at once (RFC 9520). Nothing is stored if the route has changed since the flight began.
 */
import { FAILURE, type Entry } from '../cache/entry.ts'
import { SLOT } from '../../boundary/counters.ts'
import { EDE, rcodeName } from '../../wire/codes.ts'
import type { AnswerContext } from '../answer/answerer.ts'
import { keep, metaOf, servfail, type Reason } from './entries.ts'
import type { Flight } from './flight.ts'
import { rcodeForClient } from './client-rcode.ts'
import { bareFill, kindOf, prepare } from './prepare.ts'
import type { Outcome } from './race-context.ts'
import { failureTtl, negativeTtl, positiveTtl, staleTtlOf, type TtlClamps } from './ttl-policy.ts'

export type Response = Extract<Outcome, { kind: 'response' }>

/** Stores an upstream's answer; undefined if it is unusable. `current`: the route is still the same. */
export const keepResponse = (
  { question, route: { spec } }: Flight,
  { is, wire, records }: Response,
  current: boolean,
  context: AnswerContext & { readonly clamps: TtlClamps },
): Entry | undefined => {
  if (is.kind === 'soft' || is.kind === 'truncated' || spec.kind !== 'forward') return undefined
  const { clamps } = context
  const ttl =
    is.kind === 'positive'
      ? positiveTtl(spec.ttl, question.name, is.ttl ?? 0, clamps)
      : negativeTtl(spec.ttl, is.ttl, clamps)
  const stale = ttl > 0 ? clamps.serveStale : 0
  const kept = current ? ttl : 0
  const kind = kindOf(is.kind)
  const { label, number } = spec
  // Not a spread with two changes, which would copy the object.
  const meta = metaOf(question, kind, kept, label, number, false, stale, staleTtlOf(spec.ttl))
  const fill = prepare(wire, records, is.keep, is.whole, meta)
  return fill && keep(fill, context)
}

/** Stores the failure of a flight: for a second, doubled after each further failure. */
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

/** Why a question for `qtype` has no answer, from the result of its race. */
export const reasonOf = (
  { why, rcode, upstream, because }: Extract<Outcome, { kind: 'failed' }>,
  qtype: number,
): Reason => {
  switch (why) {
    case 'silence':
      return servfail(EDE.NO_REACHABLE_AUTHORITY, 'no upstream answered in time')
    case 'dead':
      return servfail(EDE.NO_REACHABLE_AUTHORITY, 'every upstream is known to be dead')
    case 'unreachable':
      return servfail(EDE.NETWORK_ERROR, 'no upstream could be reached')
    case 'soft':
      return {
        rcode: rcodeForClient(rcode, qtype),
        ede: EDE.NO_REACHABLE_AUTHORITY,
        why: `${upstream?.name ?? 'upstream'} ${because ?? `said ${rcodeName(rcode)}`}`,
      }
  }
}
