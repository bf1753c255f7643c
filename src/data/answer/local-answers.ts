/**
 * Responses that need no upstream: from local zones, for names that must not
 * leak, for ANY, and an answer given back under the suffix that was asked.
 */
import type { ZoneApex } from '../../boundary/messages.ts'
import { SLOT } from '../../boundary/counters.ts'
import { FAILURE, NEGATIVE, POSITIVE, type Entry, type Kind } from '../cache/entry.ts'
import { EDE, RCODE } from '../../wire/codes.ts'
import { compose } from '../../wire/compose.ts'
import { AA, HEADER } from '../../wire/header.ts'
import { nameWire } from '../../wire/name.ts'
import { copy, u8 } from '../../wire/octets.ts'
import { ANSWER, Records, scan } from '../../wire/scan.ts'
import { failureEntry, keep, metaOf, type EntryMeans } from '../forward/entries.ts'
import type { Asker } from '../forward/flight.ts'
import { LocalZone, type LocalAnswer } from '../zones/local-zone.ts'
import { encodeLocal, type OwnedRrset, type Sections } from './message.ts'
import { prepare } from '../forward/prepare.ts'
import type { Question } from '../forward/query.ts'
import type { Watch } from '../forward/race.ts'
import { renameBack } from './rename.ts'
import type { Route, Router } from './router.ts'
import type { Zones } from '../zones/zones.ts'

export type LocalMeans = EntryMeans & { readonly zones: Zones; readonly counters: Float64Array }

/** Goes on with another name, as a fresh question would. */
export type GoOn = (question: Question, asker: Asker, links: number) => void

/** CNAMEs from zone to zone; a longer chain is a loop. */
export const MAX_LINKS = 8
/** RFC 8482 §4.2's example value. */
const ANY_TTL = 3789
const SPECIAL_SOA: ZoneApex = {
  mname: 'ns.spartan',
  rname: 'support.mesosphere.com',
  ttl: 3600,
  refresh: 60,
  retry: 180,
  expire: 86_400,
  minimum: 3600,
}
const NONE: Sections = { answer: [], authority: [], additional: [] }

const records = new Records()

/** The answer of a local zone, its CNAMEs followed from zone to zone and, by `goOn`, out of them. */
export const answerLocal = (
  question: Question,
  route: Route,
  router: Router,
  means: LocalMeans,
  asker: Asker,
  goOn: GoOn,
  watch: Watch | undefined,
  links: number,
): void => {
  const { zones, counters } = means
  const zone = zones.get(route.spec.zone)
  const { label } = route.spec
  if (!zone?.loaded) {
    const why = `the data of ${route.spec.zone} has not arrived yet`
    return asker(
      failureEntry(
        question,
        label,
        zone?.number ?? 0,
        RCODE.SERVFAIL,
        EDE.NOT_READY,
        why,
        means.now(),
      ),
      0,
    )
  }
  counters[SLOT.localAnswers]! += 1
  const chain: OwnedRrset[] = []
  let ttl = Infinity
  let name = question.name
  let within: LocalZone = zone
  for (; links < MAX_LINKS; links++) {
    const found: LocalAnswer = within.answer(name, question.qtype, n => zones.lookup(n))
    ttl = Math.min(ttl, found.ttl)
    if (found.chase === undefined) {
      const kind = found.rcode === RCODE.NXDOMAIN || found.answer.length === 0 ? NEGATIVE : POSITIVE
      const sections = { ...found, answer: [...chain, ...found.answer] }
      return asker(
        localEntry(question, label, zone.number, found.rcode, sections, ttl, kind, means),
        0,
      )
    }
    chain.push(...found.answer)
    name = found.chase
    watch?.('cname', name)
    const next = router.match(name)
    const target = next.spec.kind === 'local' ? zones.get(next.spec.zone) : undefined
    if (!target?.loaded) {
      const target = questionFor(question, name)
      const alone = (): Entry =>
        localEntry(
          question,
          label,
          zone.number,
          RCODE.NOERROR,
          { ...NONE, answer: chain },
          leastTtl(chain),
          POSITIVE,
          means,
        )
      if (!target) return asker(alone(), 0)
      return goOn(
        target,
        (entry, stale) =>
          asker(joined(question, chain, entry, label, zone.number, means) ?? alone(), stale),
        links + 1,
      )
    }
    within = target
  }
  asker(
    failureEntry(
      question,
      label,
      zone.number,
      RCODE.SERVFAIL,
      EDE.OTHER,
      'CNAME chain too long',
      means.now(),
    ),
    0,
  )
}

const questionFor = (question: Question, name: string): Question | undefined => {
  const plain = nameWire(name)
  if (!plain) return undefined
  const qnameEnd = HEADER + plain.length
  const wire = Buffer.alloc(qnameEnd + 4)
  wire.set(plain, HEADER)
  copy(question.wire, question.qnameEnd, question.questionEnd, wire, qnameEnd)
  return { ...question, wire, name, qnameEnd, questionEnd: qnameEnd + 4 }
}

/** Our CNAMEs followed by what their target's entry answers; undefined if that is no answer. */
const joined = (
  question: Question,
  chain: readonly OwnedRrset[],
  entry: Entry,
  label: number,
  source: number,
  means: LocalMeans,
): Entry | undefined => {
  if (entry.kind === FAILURE) return undefined
  const b = entry.bytes.subarray(entry.at, entry.at + entry.length)
  // Both halves without pointers can simply be laid end to end.
  const head = encodeLocal(question.wire.subarray(HEADER, question.questionEnd), RCODE.NOERROR, {
    ...NONE,
    answer: chain,
  })
  const tail = Buffer.allocUnsafe(65_535)
  if (!scan(b, b.length, records)) return undefined
  const length = compose(
    b,
    records,
    numbers(i => records.section[i] === ANSWER),
    tail,
    undefined,
    false,
  )
  if (length < 0 || !scan(tail, length, records)) return undefined
  const both = Buffer.concat([head, tail.subarray(records.questionEnd, length)])
  both.writeUInt16BE(head.readUInt16BE(6) + tail.readUInt16BE(6), 6)
  if (both.length > 65_535 || !scan(both, both.length, records)) return undefined
  const fill = prepare(
    both,
    records,
    numbers(),
    true,
    metaOf(question, POSITIVE, Math.min(leastTtl(chain), entry.ttl), label, source, false),
  )
  return fill && keep(fill, means)
}

const localEntry = (
  question: Question,
  label: number,
  source: number,
  rcode: number,
  sections: Sections,
  ttl: number,
  kind: Kind,
  means: EntryMeans,
): Entry => {
  const wire = encodeLocal(question.wire.subarray(HEADER, question.questionEnd), rcode, sections)
  const fits = wire.length <= 65_535 && scan(wire, wire.length, records)
  const fill = fits
    ? prepare(wire, records, numbers(), false, metaOf(question, kind, ttl, label, source, true))
    : undefined
  if (fill) return keep(fill, means)
  return failureEntry(
    question,
    label,
    source,
    RCODE.SERVFAIL,
    EDE.OTHER,
    'too many records for one response',
    means.now(),
  )
}

/** NXDOMAIN for a name that must not leave the host; its zone's apex exists. */
export const specialEntry = (question: Question, route: Route, means: EntryMeans): Entry => {
  const zone = new LocalZone(route.spec.zone, SPECIAL_SOA, SPECIAL_SOA.mname, 1)
  const answer = zone.answer(question.name, question.qtype, () => undefined)
  return localEntry(
    question,
    route.spec.label,
    0,
    answer.rcode,
    answer,
    answer.ttl,
    NEGATIVE,
    means,
  )
}

/** The minimal answer to ANY (RFC 8482 §4.2). */
export const anyEntry = (
  question: Question,
  label: number,
  source: number,
  means: EntryMeans,
): Entry => {
  const hinfo = { type: 'HINFO', ttl: ANY_TTL, data: ['RFC8482'] }
  const root = encodeLocal(Buffer.of(0, 0, 255, 0, 1), RCODE.NOERROR, {
    ...NONE,
    answer: [{ name: '.', rrset: hinfo }],
  })
  const out = Buffer.allocUnsafe(question.questionEnd + root.length)
  // The owner is the asked name, whatever octets it has: a pointer to the question.
  copy(root, 0, HEADER, out, 0)
  let end = copy(question.wire, HEADER, question.questionEnd, out, HEADER)
  out.writeUInt16BE(0xc00c, end)
  end = copy(root, HEADER + 6, root.length, out, end + 2)
  const fill = scan(out, end, records)
    ? prepare(out, records, [0], true, metaOf(question, POSITIVE, ANY_TTL, label, source, false))
    : undefined
  return fill
    ? keep(fill, means)
    : failureEntry(question, label, source, RCODE.SERVFAIL, EDE.OTHER, '', means.now())
}

/** The answer in `entry`, with every name below `from` put below `to`. */
export const renamedEntry = (
  question: Question,
  entry: Entry,
  from: string,
  to: string,
  label: number,
  means: EntryMeans,
): Entry => {
  const b = entry.bytes.subarray(entry.at, entry.at + entry.length)
  if (!scan(b, b.length, records)) return entry
  const left = Math.max(0, Math.floor((entry.expiresAt - means.now()) / 1000))
  const meta = {
    ...metaOf(question, entry.kind, left, label, entry.source, (u8(b, 2) & AA) !== 0),
    staleTtl: entry.staleTtl,
    ede: entry.ede,
    edeText: entry.edeText ? Buffer.from(entry.edeText).toString() : '',
    failures: entry.failures,
  }
  const fill = prepare(b, records, numbers(), false, meta, renameBack(from, to))
  if (fill) return keep(fill, means)
  return failureEntry(
    question,
    label,
    entry.source,
    RCODE.SERVFAIL,
    EDE.OTHER,
    'a name of the answer is too long under the asked suffix',
    means.now(),
  )
}

/** Numbers of the records in the table last scanned, those that `wanted` takes. */
const numbers = (wanted: (i: number) => boolean = () => true): number[] =>
  Array.from({ length: records.count }, (_, i) => i).filter(wanted)

const leastTtl = (sets: readonly OwnedRrset[]): number => Math.min(...sets.map(s => s.rrset.ttl))
