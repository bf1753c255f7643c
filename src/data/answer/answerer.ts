/**
 * The interface of all kinds of routes: an answerer gets a question and an asker, and answers the asker exactly
 * once, now or later.
 */
import { OURSELVES, type Client } from '../../base/ip.ts'
import type { Entry } from '../cache/entry.ts'
import type { PacketCache } from '../cache/packet-cache.ts'
import type { Validity } from '../cache/validity.ts'
import type { Question } from '../forward/query.ts'
import type { Watch } from '../forward/race-context.ts'
import type { Zones } from '../zones/zones.ts'
import type { Route } from './router.ts'
import type { Sources } from './sources.ts'

/** The receiver of an answer. */
export interface Asker {
  /** Questions in flight are limited per client. */
  readonly client: Client
  readonly recursionDesired: boolean
  /** Number of aliases followed so far to reach this question. */
  readonly links: number
  readonly watch: Watch | undefined
  /**
   * Called with the answer. `ede` is 0, or the extended error for a stale answer. The entry is only valid during the
   * call.
   */
  answer(entry: Entry, ede: number): void
}

/** The asker of a refresh, which needs no answer. */
export const NOBODY: Asker = {
  client: OURSELVES,
  recursionDesired: true,
  links: 0,
  watch: undefined,
  answer: () => {},
}

export interface Answerer {
  answer(question: Question, asker: Asker, route: Route): void
}

/** Finds the route of a question and lets its answerer answer. */
export type Resolve = (question: Question, asker: Asker) => void

/** What all answerers use. */
export type AnswerContext = {
  readonly cache: PacketCache
  readonly validity: Validity
  readonly sources: Sources
  readonly zones: Zones
  readonly counters: Float64Array
  readonly now: () => number
}

/** An asker that continues with another name and passes the answer to the first asker. */
export const follow = (
  asker: Asker,
  answer: (entry: Entry, ede: number) => void,
  links = asker.links + 1,
): Asker => ({
  client: asker.client,
  recursionDesired: asker.recursionDesired,
  links,
  watch: asker.watch,
  answer,
})
