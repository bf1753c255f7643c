/** Answers from a local copy of a forwarded zone while its upstreams fail. */
import type { Entry } from '../cache/entry.ts'
import { EDE } from '../../wire/codes.ts'
import type { Question } from '../forward/query.ts'
import { follow, type AnswerContext, type Asker, type Resolve } from './answerer.ts'
import { renamedEntry } from './rename.ts'
import type { Route } from './router.ts'
import { renamed } from './suffix.ts'

/** Answers all askers from the copy, which is newer than any stale entry; returns whether there is a copy. */
export const answerFromCopy = (
  question: Question,
  { spec }: Route,
  askers: readonly Asker[],
  context: AnswerContext,
  resolve: Resolve,
): boolean => {
  if (spec.kind !== 'forward' || spec.copy === undefined) return false
  const copy = context.zones.get(spec.copy)
  const other = copy?.loaded && copy.names > 0 && renamed(question, spec.zone, copy.apex)
  if (!copy || !other) return false
  for (const asker of askers) {
    const back = (entry: Entry): void => {
      const renamed = renamedEntry(question, entry, copy.apex, spec.zone, spec.label, context)
      const given = renamed.apart ? renamed : renamed.copy()
      // The age of the copy is that of its last change.
      given.expiresAt = copy.changedAt + given.ttl * 1000
      asker.answer(given, EDE.STALE)
    }
    resolve(other, follow(asker, back))
  }
  return true
}
