/**
 * What may be given when nothing fresh can be had (RFC 8767): the question's
 * own answer past its end, or one that was stored for other DO and CD bits.
 *
 *     asked with    stored with      given?
 *     DO=0          DO=1             yes, without the DNSSEC records
 *     DO=1          DO=0             yes: without signatures a validator says
 *                                    SERVFAIL, as it would without any answer
 *     CD=1          CD=0             yes: what was validated upstream
 *     CD=0          CD=1             no: nobody validated it. In the cluster
 *                                    zones yes: nothing there is signed
 */
import { SLOT } from '../../boundary/counters.ts'
import { Entry, FAILURE, keyBits, NEGATIVE } from '../cache/entry.ts'
import { FRESH, STALE } from '../cache/validity.ts'
import type { AnswerContext, Asker } from '../answer/answerer.ts'
import { allRecords } from '../answer/local-fill.ts'
import { EDE, TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { Records, scan } from '../../wire/scan.ts'
import { apart, keepAge, metaOf, secondsLeft } from './entries.ts'
import { prepare } from './prepare.ts'
import type { Question } from './query.ts'
import { failureTtl } from './ttl-policy.ts'

/** A view of an entry that may stand in for a question's answer. */
export type StandIn = Entry

const DO = keyBits(true, false)
const CD = keyBits(false, true)
/** What another variant of a question differs in, the nearest first. */
const OTHERS = [CD, DO, DO | CD]
/** The same with the question itself, for a caller that has not looked for its own answer. */
export const OWN_TOO = [0, ...OTHERS]
const DNSSEC: ReadonlySet<number> = new Set([TYPE.RRSIG, TYPE.NSEC, TYPE.NSEC3])
/** Limit of failed refreshes that lengthen the pause before the next one. */
const MOST_FAILURES = 5

const found = new Entry()
const records = new Records()

/**
 * What may stand in for the answer to a question: the answer to the same question with another DO or CD; the caller has
 * looked for its own. `cluster`: no zone of this route is signed.
 */
export const standInFor = (
  question: Question,
  cluster: boolean,
  { cache, validity, now }: AnswerContext,
  variants: readonly number[] = OTHERS,
): StandIn | undefined => {
  const own = keyBits(question.dnssecOk, question.checkingDisabled)
  const { wire, qnameEnd, qtype } = question
  const t = now()
  for (const other of variants) {
    const bits = own ^ other
    if (!cache.hasBits(bits)) continue
    if ((bits & CD) !== 0 && (own & CD) === 0 && !cluster) continue
    const entry = cache.find(wire, HEADER, qnameEnd, qtype, bits, found)
    if (!entry || entry.kind === FAILURE) continue
    const verdict = validity.of(entry, t)
    if (verdict === STALE || verdict === FRESH) return entry.held()
  }
  return undefined
}

/** Whether it may still be used: it exists, is unchanged, and is within its stale limit. */
export const stands = (
  standIn: StandIn | undefined,
  { validity, now }: AnswerContext,
): standIn is StandIn => {
  if (!standIn || standIn.gone) return false
  const verdict = validity.of(standIn, now())
  return verdict === STALE || verdict === FRESH
}

/** The extended error of an answer that is given although it is stale. */
export const staleEde = ({ kind }: Entry): number =>
  kind === NEGATIVE ? EDE.STALE_NXDOMAIN : EDE.STALE

/** Gives it to all askers if it may still be used; returns whether it was. */
export const giveStandIn = (
  standIn: StandIn | undefined,
  question: Question,
  askers: readonly Asker[],
  context: AnswerContext,
): boolean => {
  if (!stands(standIn, context)) return false
  const { counters, now, validity } = context
  const t = now()
  const stale = validity.of(standIn, t) === STALE
  const ede = stale ? staleEde(standIn) : 0
  const strip = (standIn.bits & DO) !== 0 && !question.dnssecOk
  const entry = strip
    ? unsigned(standIn, question, t)
    : askers.length > 1
      ? standIn.copy()
      : standIn
  for (const asker of askers) {
    if (stale) counters[SLOT.staleServed]! += 1
    asker.answer(entry, ede)
  }
  return true
}

/** A refresh has failed: the next one is tried after a growing pause (RFC 8767 §5). */
export const refreshFailed = (standIn: StandIn, now: number): void => {
  standIn.failures = Math.min(standIn.failures + 1, MOST_FAILURES)
  standIn.retryAt = Math.round(now) + failureTtl(standIn.failures) * 1000
}

/** The same answer without the DNSSEC records, which were not requested (RFC 4035 §3.2.1). */
const unsigned = (entry: Entry, question: Question, now: number): Entry => {
  const b = entry.bytes.subarray(entry.at, entry.at + entry.length)
  if (!scan(b, b.length, records)) return entry
  const asked = (type: number): boolean => type === question.qtype || !DNSSEC.has(type)
  const keep = allRecords(records).filter(i => asked(records.type[i]!))
  const fill = prepare(b, records, keep, false, {
    ...metaOf(question, entry.kind, secondsLeft(entry, now), entry.zone, entry.source, false),
    staleTtl: entry.staleTtl,
  })
  if (!fill) return entry
  const plain = apart(fill, now)
  keepAge(plain, entry)
  return plain
}
