/**
 * Every kind of route is an answerer: a question and whoever asks it go in,
 * and the asker is answered once, now or later.
 */
import type { Entry } from '../cache/entry.ts'
import type { PacketCache } from '../cache/packet-cache.ts'
import type { Validity } from '../cache/validity.ts'
import type { Question } from '../forward/query.ts'
import type { Watch } from '../forward/race-context.ts'
import type { Zones } from '../zones/zones.ts'
import type { Route } from './router.ts'
import type { Sources } from './sources.ts'

/** Who waits for an answer. */
export interface Asker {
  /** The address that asks, '' for ourselves: no client takes the room of others. */
  readonly client: string
  readonly recursionDesired: boolean
  /** Aliases that were followed to come to this question. */
  readonly links: number
  readonly watch: Watch | undefined
  /**
   * The answer. `ede` is 0, or the extended error that says it is stale. The
   * entry may be read during the call only.
   */
  answer(entry: Entry, ede: number): void
}

/** Who asks when a refresh does. */
export const NOBODY: Asker = {
  client: '',
  recursionDesired: true,
  links: 0,
  watch: undefined,
  answer: () => {},
}

export interface Answerer {
  answer(question: Question, asker: Asker, route: Route): void
}

/** Finds the route of a question and lets it answer. */
export type Resolve = (question: Question, asker: Asker) => void

/** What answerers share. */
export type AnswerContext = {
  readonly cache: PacketCache
  readonly validity: Validity
  readonly sources: Sources
  readonly zones: Zones
  readonly counters: Float64Array
  readonly now: () => number
}

/** An asker that goes on under another name, and passes the answer on to the first one. */
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
