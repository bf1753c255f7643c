/** Moves names and questions from one suffix to another. */
import { hashed, type Question } from '../forward/query.ts'
import type { Rename } from '../../wire/compose.ts'
import { HEADER } from '../../wire/header.ts'
import { MAX_NAME, nameWire, sameName } from '../../wire/name.ts'
import { copy } from '../../wire/octets.ts'

/** The question with the suffix `zone` replaced by `to`; undefined if the name becomes too long. */
export const renamed = (question: Question, zone: string, to: string): Question | undefined => {
  const from = nameWire(zone)!
  const next = nameWire(to)!
  const prefix = question.qnameEnd - HEADER - from.length
  const qnameEnd = HEADER + prefix + next.length
  if (prefix + next.length > MAX_NAME) return undefined
  const wire = Buffer.alloc(qnameEnd + 4)
  copy(question.wire, HEADER, HEADER + prefix, wire, HEADER)
  wire.set(next, HEADER + prefix)
  copy(question.wire, question.qnameEnd, question.questionEnd, wire, qnameEnd)
  const name = renamedText(question.name, zone, to)
  return hashed({ ...question, wire, qnameEnd, questionEnd: qnameEnd + 4, name })
}

/** A name at or below `zone`, as text, moved below `to`. */
export const renamedText = (name: string, zone: string, to: string): string =>
  name === zone ? to : name.slice(0, name.length - zone.length) + to

/** Moves names at or below `from` below `to`, in place; other names are not changed. */
export const renameBack = (from: string, to: string): Rename => {
  const suffix = nameWire(from)!
  const other = nameWire(to)!
  return (name, length) => {
    const prefix = length - suffix.length
    if (prefix < 0 || !startsLabel(name, prefix) || !sameName(name, prefix, suffix, 0))
      return length
    if (prefix + other.length > MAX_NAME) return -1
    name.set(other, prefix)
    return prefix + other.length
  }
}

const startsLabel = (name: Uint8Array, offset: number): boolean => {
  let at = 0
  while (at < offset) at += name[at]! + 1
  return at === offset
}
