/**
 * Answers questions that the cache could not: finds the route of the name, and passes the question to the answerer for
 * that kind of route.
 *
 *     local ───▶ answer/local     records held here
 *     rename ──▶ answer/rename    ask again under the other suffix, put the asked one back
 *     special ─▶ answer/special   NXDOMAIN, so that it does not leak
 *     forward ─▶ answer/forward   ask upstreams
 *
 * Every question is answered exactly once: with a fresh answer, a stale one, an upstream's failure, or our own failure.
 */
import type { Snapshot } from '../../boundary/messages.ts'
import { EDE, RCODE } from '../../wire/codes.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import type { Answerer, Asker } from '../answer/answerer.ts'
import { ForwardAnswerer, type ForwardContext } from '../answer/forward.ts'
import { LocalAnswerer } from '../answer/local.ts'
import { RenameAnswerer } from '../answer/rename.ts'
import { Router } from '../answer/router.ts'
import { SpecialAnswerer } from '../answer/special.ts'
import type { Entry } from '../cache/entry.ts'
import { failureEntry } from './entries.ts'
import type { Question } from './query.ts'

export type ResolverContext = ForwardContext

export class Resolver {
  /**
   * Whether a question went to the answerer that asks upstreams, since this was last set to false. Only what that one
   * begins goes on after `resolve`.
   */
  forwarded = false
  readonly #context: ResolverContext
  readonly #forward: ForwardAnswerer
  readonly #answerers: Readonly<
    Record<'local' | 'rename' | 'special' | 'refuse' | 'forward', Answerer>
  >

  constructor(context: ResolverContext) {
    this.#context = context
    const resolve = this.resolve.bind(this)
    this.#forward = new ForwardAnswerer(context, resolve)
    this.#answerers = {
      local: new LocalAnswerer(context, resolve),
      rename: new RenameAnswerer(context, resolve),
      special: new SpecialAnswerer(context),
      refuse: { answer: this.#refuse.bind(this) },
      forward: this.#forward,
    }
  }

  get router(): Router {
    return this.#context.sources.router
  }

  /** Routes names by this snapshot from now on. */
  take(snapshot: Snapshot): void {
    const { sources, validity } = this.#context
    sources.router = new Router(snapshot, sources.router)
    validity.epoch++
  }

  get inFlight(): number {
    return this.#forward.inFlight.size
  }

  /** Questions in flight, including answered ones whose race still waits for slower upstreams. */
  get inTheAir(): number {
    return this.#forward.inFlight.inTheAir
  }

  /** Askers that wait for questions in flight. */
  get waiting(): number {
    return this.#forward.inFlight.waiting
  }

  /** Finds the answer and gives it to the asker, now or later, exactly once. */
  resolve(question: Question, asker: Asker): void {
    const route = this.router.match(question.name)
    const { kind, zone } = route.spec
    asker.watch?.('route', `${kind} ${zone}`)
    if (kind === 'forward') this.forwarded = true
    this.#answerers[kind].answer(question, asker, route)
  }

  /** Refreshes an entry before it expires. False if too many questions are in flight. */
  prefetch(entry: Entry): boolean {
    if (!this.#forward.inFlight.hasRoomForRefresh) return false
    const held = entry.held()
    const route = this.router.match(foldedText(held.bytes, held.at + HEADER))
    this.#forward.prefetch(held, route)
    return true
  }

  /** Gives up questions that have been in flight too long, which only a bug can cause. Call it periodically. */
  sweep(now: number): void {
    this.#forward.sweep(now)
  }

  /** Ends everything in flight. Waiting askers get a stale answer or SERVFAIL. */
  close(): void {
    this.#forward.close()
  }

  #refuse(question: Question, asker: Asker): void {
    const { label } = this.router.match(question.name).spec
    const why = 'no server is configured for this name'
    const reason = { rcode: RCODE.REFUSED, ede: EDE.NOT_AUTHORITATIVE, why }
    asker.answer(failureEntry(question, label, reason, this.#context.now()), 0)
  }
}
