/** Builds responses from local records. */
import type { Fill, FillMeta } from '../cache/entry.ts'
import { prepare } from '../forward/prepare.ts'
import type { Question } from '../forward/query.ts'
import { HEADER } from '../../wire/header.ts'
import { Records, scan } from '../../wire/scan.ts'
import { encodeLocal, type Sections } from './message.ts'

const MOST = 65_535
const records = new Records()

/** The fill for an authoritative response; undefined if it is too large for a message. */
export const localFill = (
  question: Question,
  rcode: number,
  sections: Sections,
  meta: FillMeta,
): Fill | undefined => {
  const wire = encodeLocal(question.wire.subarray(HEADER, question.questionEnd), rcode, sections)
  if (wire.length > MOST || !scan(wire, wire.length, records)) return undefined
  return prepare(wire, records, allRecords(records), false, meta)
}

/** Numbers of all records of a scanned message. */
export const allRecords = (r: Records): number[] => Array.from({ length: r.count }, (_, i) => i)
