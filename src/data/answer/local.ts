/**
 * Answers from local zones. CNAMEs are followed from zone to zone, also to forwarded names. Such an answer has the
 * rcode, the SOA and the age of the last name's answer (RFC 6604).
 */
import { SLOT } from '../../boundary/counters.ts'
import { FAILURE, NEGATIVE, POSITIVE, type Entry } from '../cache/entry.ts'
import { apart, failureEntry, keep, metaOf, servfail } from '../forward/entries.ts'
import type { Question } from '../forward/query.ts'
import type { LocalAnswer, LocalZone } from '../zones/local-zone.ts'
import { EDE, RCODE } from '../../wire/codes.ts'
import { follow, type AnswerContext, type Answerer, type Asker, type Resolve } from './answerer.ts'
import { chained, questionFor } from './chain.ts'
import { localFill } from './local-fill.ts'
import type { OwnedRrset, Sections } from './message.ts'
import type { Route } from './router.ts'

/** Limit of CNAMEs from zone to zone; a longer chain is a loop. */
export const MAX_LINKS = 8

const NOTHING: Sections = { answer: [], authority: [], additional: [] }
const TOO_LARGE = 'the answer is too large for one response'

export class LocalAnswerer implements Answerer {
  readonly #context: AnswerContext
  readonly #resolve: Resolve

  constructor(context: AnswerContext, resolve: Resolve) {
    this.#context = context
    this.#resolve = resolve
  }

  answer(question: Question, asker: Asker, route: Route): void {
    const { zones, counters, sources } = this.#context
    const zone = zones.get(route.spec.zone)
    if (!zone?.knows(question.name)) {
      const why = `the data of ${route.spec.zone} has not arrived yet`
      return this.#fail(question, asker, route, EDE.NOT_READY, why)
    }
    counters[SLOT.localAnswers]! += 1
    const chain: OwnedRrset[] = []
    let ttl = Infinity
    let within: LocalZone = zone
    let { name } = question
    for (let { links } = asker; links < MAX_LINKS; links++) {
      const found = within.answer(name, question.qtype, n => zones.lookup(n))
      ttl = Math.min(ttl, found.ttl)
      if (found.chase === undefined)
        return asker.answer(this.#whole(question, route, zone, chain, found, ttl), 0)
      chain.push(...found.answer)
      name = found.chase
      asker.watch?.('cname', name)
      const next = sources.router.match(name)
      const target = next.spec.kind === 'local' ? zones.get(next.spec.zone) : undefined
      if (!target?.knows(name))
        return this.#leave(question, asker, route, { chain, ttl, name, links: links + 1 })
      within = target
    }
    this.#fail(question, asker, route, EDE.OTHER, 'CNAME chain too long')
  }

  /** The answer if all of it is local. */
  #whole(
    question: Question,
    { spec }: Route,
    zone: LocalZone,
    chain: readonly OwnedRrset[],
    found: LocalAnswer,
    ttl: number,
  ): Entry {
    const { sources, now } = this.#context
    const kind = found.rcode === RCODE.NXDOMAIN || found.answer.length === 0 ? NEGATIVE : POSITIVE
    const sections = { ...found, answer: [...chain, ...found.answer] }
    const meta = metaOf(question, kind, ttl, spec.label, zone.number, true)
    const fill = localFill(question, found.rcode, sections, meta)
    if (!fill) return failureEntry(question, spec.label, servfail(EDE.OTHER, TOO_LARGE), now())
    if (!sections.answer.some(leadsOn)) return keep(fill, this.#context)
    const source = sources.ofMessage(fill.wire, fill.length)
    return keep({ ...fill, meta: { ...meta, source, several: true } }, this.#context)
  }

  /** Continues with a name that is not local. */
  #leave(question: Question, asker: Asker, route: Route, left: Left): void {
    const { sources, now } = this.#context
    const { label } = route.spec
    const { chain, ttl, name, links } = left
    const meta = metaOf(question, POSITIVE, 0, label, 0, true)
    const fill = localFill(question, RCODE.NOERROR, { ...NOTHING, answer: chain }, meta)
    const target = questionFor(question, name)
    if (!fill || !target)
      return this.#fail(question, asker, route, EDE.OTHER, 'an alias leads to no name')
    const aliases = Buffer.from(fill.wire.subarray(0, fill.length))
    const source = sources.ofMessage(aliases, aliases.length)
    const chase = (entry: Entry, ede: number): void => {
      // A question without RD gets only the local part (RFC 1034 §4.3.1).
      if (entry.kind === FAILURE && !asker.recursionDesired) {
        const held = localFill(question, RCODE.NOERROR, { ...NOTHING, answer: chain }, meta)
        if (held) return asker.answer(apart(held, now()), 0)
      }
      // Our zones may have changed while the target was resolved.
      const same = sources.ofMessage(aliases, aliases.length) === source
      const context = this.#context
      const entire = chained(question, aliases, entry, { label, ttl, keepable: same, context })
      if (entire) asker.answer(entire, ede)
      else this.#fail(question, asker, route, EDE.OTHER, TOO_LARGE)
    }
    this.#resolve(target, follow(asker, chase, links))
  }

  #fail(question: Question, asker: Asker, route: Route, ede: number, why: string): void {
    const now = this.#context.now()
    asker.answer(failureEntry(question, route.spec.label, servfail(ede, why), now), 0)
  }
}

/** The end of a chain of aliases in the local zones. */
type Left = {
  readonly chain: readonly OwnedRrset[]
  /** Lowest TTL in the chain. */
  readonly ttl: number
  /** The name it leads to. */
  readonly name: string
  /** Aliases so far. */
  readonly links: number
}

const leadsOn = ({ rrset }: OwnedRrset): boolean => rrset.type === 'CNAME' || rrset.type === 'SRV'
