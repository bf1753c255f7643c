/**
 * Zones that are aliases of other zones: the question is asked under the other suffix, and every name of the answer
 * below that suffix is moved back, so that the client only sees the zone that it asked for.
 */
import type { Entry } from '../cache/entry.ts'
import {
  edeTextOf,
  failureEntry,
  keep,
  keepAge,
  metaOf,
  secondsLeft,
  servfail,
} from '../forward/entries.ts'
import { prepare } from '../forward/prepare.ts'
import type { Question } from '../forward/query.ts'
import { EDE, RCODE } from '../../wire/codes.ts'
import { AA } from '../../wire/header.ts'
import { u8 } from '../../wire/octets.ts'
import { Records, scan } from '../../wire/scan.ts'
import { follow, type AnswerContext, type Answerer, type Asker, type Resolve } from './answerer.ts'
import { allRecords } from './local-fill.ts'
import type { Route } from './router.ts'
import { renameBack, renamed } from './suffix.ts'

/** Limit of aliases of aliases; a longer chain is a loop. */
const MAX_LINKS = 8

const records = new Records()

export class RenameAnswerer implements Answerer {
  readonly #context: AnswerContext
  readonly #resolve: Resolve

  constructor(context: AnswerContext, resolve: Resolve) {
    this.#context = context
    this.#resolve = resolve
  }

  answer(question: Question, asker: Asker, { spec }: Route): void {
    if (spec.kind !== 'rename') return
    const { zone, to, label } = spec
    const fail = (rcode: number, why: string): void =>
      asker.answer(
        failureEntry(question, label, { rcode, ede: EDE.OTHER, why }, this.#context.now()),
        0,
      )
    if (asker.links >= MAX_LINKS) return fail(RCODE.SERVFAIL, 'alias loop')
    const other = renamed(question, zone, to)
    if (!other) return fail(RCODE.NXDOMAIN, 'the name under its other suffix is too long')
    this.#resolve(
      other,
      follow(asker, (entry, ede) =>
        asker.answer(renamedEntry(question, entry, to, zone, label, this.#context), ede),
      ),
    )
  }
}

/** The answer in `entry` with every name below `from` moved below `to`. It has the lifetime of `entry`. */
export const renamedEntry = (
  question: Question,
  entry: Entry,
  from: string,
  to: string,
  label: number,
  context: AnswerContext,
): Entry => {
  const now = context.now()
  const b = entry.bytes.subarray(entry.at, entry.at + entry.length)
  const { expiresAt } = entry
  const keepable = context.validity.mayBeBuiltOn(entry, now)
  const meta = {
    ...metaOf(
      question,
      entry.kind,
      keepable ? secondsLeft(entry, now) : 0,
      label,
      // The moved names have the same sources: those of the names that they are moved from.
      entry.source,
      (u8(b, 2) & AA) !== 0,
    ),
    several: entry.several,
    staleTtl: entry.staleTtl,
    ede: entry.ede,
    edeText: edeTextOf(entry),
    failures: entry.failures,
  }
  const fill = scan(b, b.length, records)
    ? prepare(b, records, allRecords(records), false, meta, renameBack(from, to))
    : undefined
  const tooLong = 'a name of the answer is too long under the asked suffix'
  if (!fill) return failureEntry(question, label, servfail(EDE.OTHER, tooLong), now)
  const kept = keep(fill, context)
  if (kept.apart) keepAge(kept, entry)
  else kept.expiresAt = expiresAt
  return kept
}
