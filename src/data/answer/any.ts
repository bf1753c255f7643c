/**
 * The minimal answer to an ANY question about a forwarded name (RFC 8482 §4.2). A question for its addresses, which
 * the cache usually answers, shows whether the name exists: ANY for a missing name is NXDOMAIN. Answers are computed
 * each time and never stored.
 */
import { FAILURE, NEGATIVE, POSITIVE, type Entry, type Fill } from '../cache/entry.ts'
import { rcodeOf } from '../cache/packet-cache.ts'
import {
  apart,
  edeTextOf,
  failureEntry,
  metaOf,
  secondsLeft,
  servfail,
  type Reason,
} from '../forward/entries.ts'
import { prepare } from '../forward/prepare.ts'
import { hashed, type Question } from '../forward/query.ts'
import { EDE, RCODE, TYPE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { copy, put16 } from '../../wire/octets.ts'
import { Records, scan } from '../../wire/scan.ts'
import { follow, type AnswerContext, type Asker, type Resolve } from './answerer.ts'
import { allRecords } from './local-fill.ts'
import { encodeLocal } from './message.ts'
import type { Route } from './router.ts'

/** RFC 8482 §4.2's example value. */
const HINFO_TTL = 3789
const MOST = 65_535
const records = new Records()
const work = Buffer.allocUnsafeSlow(MOST)

/** An HINFO record owned by the root, in a message. */
const HINFO = encodeLocal(Buffer.of(0, 0, 255, 0, 1), RCODE.NOERROR, {
  answer: [{ name: '.', rrset: { type: 'HINFO', ttl: HINFO_TTL, data: ['RFC8482'] } }],
  authority: [],
  additional: [],
})
/** Octets of a question for the root: a name of one octet, type and class. */
const ROOT_QUESTION = 5
/** Offset of the record's name in that message. */
const ROOT_NAME = 1

export const answerAny = (
  question: Question,
  asker: Asker,
  { spec }: Route,
  context: AnswerContext,
  resolve: Resolve,
): void => {
  const wire = Buffer.from(question.wire.subarray(0, question.questionEnd))
  put16(wire, question.qnameEnd, TYPE.A)
  resolve(
    hashed({ ...question, wire, qtype: TYPE.A }),
    follow(asker, (entry, ede) => {
      const now = context.now()
      const fail = (reason: Reason): void =>
        asker.answer(failureEntry(question, spec.label, reason, now), 0)
      const rcode = rcodeOf(entry)
      if (entry.kind === FAILURE) return fail({ rcode, ede: entry.ede, why: edeTextOf(entry) })
      const fill =
        rcode === RCODE.NXDOMAIN
          ? noSuchName(question, entry, spec.label, now)
          : minimal(question, spec.label)
      if (!fill) return fail(servfail(EDE.OTHER, ''))
      asker.answer(apart(fill, now), fill.meta.kind === NEGATIVE ? ede : 0)
    }),
  )
}

/** The NXDOMAIN in `entry` as the answer to this question. */
const noSuchName = (
  question: Question,
  entry: Entry,
  label: number,
  now: number,
): Fill | undefined => {
  const { bytes, at, length } = entry
  const end = copy(bytes, at, at + length, work, 0)
  put16(work, entry.qnameEnd, TYPE.ANY)
  if (!scan(work, end, records)) return undefined
  return prepare(work, records, allRecords(records), true, {
    ...metaOf(question, NEGATIVE, secondsLeft(entry, now), label, 0, false),
    staleTtl: entry.staleTtl,
  })
}

const minimal = (question: Question, label: number): Fill | undefined => {
  // The owner is a pointer to the question, so the asked name may contain any octets.
  copy(HINFO, 0, HEADER, work, 0)
  let end = copy(question.wire, HEADER, question.questionEnd, work, HEADER)
  put16(work, end, 0xc000 + HEADER)
  end = copy(HINFO, HEADER + ROOT_QUESTION + ROOT_NAME, HINFO.length, work, end + 2)
  if (!scan(work, end, records)) return undefined
  return prepare(work, records, [0], true, metaOf(question, POSITIVE, HINFO_TTL, label, 0, false))
}
