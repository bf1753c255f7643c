/** Joins aliases and the answer for the name they lead to (RFC 1034 §3.6.2, RFC 6604). */
import { FAILURE, type Entry } from '../cache/entry.ts'
import { rcodeOf } from '../cache/packet-cache.ts'
import { edeTextOf, failureEntry, keep, keepAge, metaOf } from '../forward/entries.ts'
import { prepare } from '../forward/prepare.ts'
import { hashed, type Question } from '../forward/query.ts'
import { compose } from '../../wire/compose.ts'
import { HEADER, setRcode } from '../../wire/header.ts'
import { nameWire } from '../../wire/name.ts'
import { copy, put16, u16 } from '../../wire/octets.ts'
import { ADDITIONAL, Records, scan } from '../../wire/scan.ts'
import type { AnswerContext } from './answerer.ts'
import { allRecords } from './local-fill.ts'

const MOST = 65_535
const records = new Records()
const aliasPart = Buffer.allocUnsafeSlow(MOST)
const targetPart = Buffer.allocUnsafeSlow(MOST)

/** The same question about another name; undefined if the text is not a name. */
export const questionFor = (question: Question, name: string): Question | undefined => {
  const plain = nameWire(name)
  if (!plain) return undefined
  const qnameEnd = HEADER + plain.length
  const wire = Buffer.alloc(qnameEnd + 4)
  wire.set(plain, HEADER)
  copy(question.wire, question.qnameEnd, question.questionEnd, wire, qnameEnd)
  return hashed({ ...question, wire, name, qnameEnd, questionEnd: qnameEnd + 4 })
}

export type ChainOptions = {
  /** Metric label. */
  readonly label: number
  /** TTL of the aliases in seconds. */
  readonly ttl: number
  /** True if what the aliases depend on has not changed since they were looked up. */
  readonly keepable: boolean
  readonly context: AnswerContext
}

/**
 * The answers of `aliases`, which end in a CNAME, followed by the answer `target` for the name it leads to. Its
 * lifetime is the shorter of the two. Undefined if it is too large for a message.
 */
export const chained = (
  question: Question,
  aliases: Uint8Array,
  target: Entry,
  { label, ttl, keepable, context }: ChainOptions,
): Entry | undefined => {
  const now = context.now()
  const rcode = rcodeOf(target)
  if (target.kind === FAILURE)
    return failureEntry(question, label, { rcode, ede: target.ede, why: edeTextOf(target) }, now)
  const end = joinedWire(aliases, target)
  if (end < 0 || !scan(aliasPart, end, records)) return undefined
  setRcode(aliasPart, rcode)
  const lives = Math.min(ttl * 1000, target.expiresAt - now)
  const kept = keepable && lives > 0 && context.validity.mayBeBuiltOn(target, now)
  const fill = prepare(aliasPart, records, allRecords(records), true, {
    ...metaOf(question, target.kind, Math.max(0, Math.ceil(lives / 1000)), label, 0, false),
    staleTtl: target.staleTtl,
    several: true,
  })
  if (!fill) return undefined
  const meta = kept
    ? { ...fill.meta, source: context.sources.ofMessage(fill.wire, fill.length) }
    : { ...fill.meta, ttl: 0 }
  const entry = keep({ ...fill, meta }, context)
  // To the millisecond, so that no TTL longer than the remaining time is shown.
  if (meta.ttl > 0) entry.expiresAt = Math.round(now + lives)
  else keepAge(entry, target)
  return entry
}

/**
 * Writes both messages to `aliasPart`: all answers, then the target's other sections. Returns the length, -1 if it
 * is too long.
 */
const joinedWire = (aliases: Uint8Array, target: Entry): number => {
  // Messages without compression pointers can be concatenated.
  if (!scan(aliases, aliases.length, records)) return -1
  const head = compose(aliases, records, allRecords(records), aliasPart, undefined, false)
  const b = target.bytes.subarray(target.at, target.at + target.length)
  if (head < 0 || !scan(b, b.length, records)) return -1
  const wanted = allRecords(records).filter(i => records.section[i] !== ADDITIONAL)
  const length = compose(b, records, wanted, targetPart, undefined, false)
  if (length < 0 || !scan(targetPart, length, records)) return -1
  const from = records.questionEnd
  if (head + length - from > MOST) return -1
  const end = copy(targetPart, from, length, aliasPart, head)
  put16(aliasPart, 6, u16(aliasPart, 6) + u16(targetPart, 6))
  put16(aliasPart, 8, u16(targetPart, 8))
  put16(aliasPart, 10, 0)
  return end
}
