/**
 * Names that must not leave the host (RFC 6761, 6303): NXDOMAIN with the SOA of an empty zone. Below resolver.arpa
 * every name is NODATA (RFC 9462 section 6.4). Answers are computed each time and never stored, so that such names
 * cannot fill the cache.
 */
import type { ZoneApex } from '../../boundary/messages.ts'
import { NEGATIVE } from '../cache/entry.ts'
import { LocalZone } from '../zones/local-zone.ts'
import { apart, failureEntry, metaOf, servfail } from '../forward/entries.ts'
import type { Question } from '../forward/query.ts'
import { EDE, RCODE } from '../../wire/codes.ts'
import type { AnswerContext, Answerer, Asker } from './answerer.ts'
import { localFill } from './local-fill.ts'
import type { Route } from './router.ts'

const SOA: ZoneApex = {
  mname: 'ns.spartan',
  rname: 'support.mesosphere.com',
  ttl: 3600,
  refresh: 60,
  retry: 180,
  expire: 86_400,
  minimum: 3600,
}

export class SpecialAnswerer implements Answerer {
  readonly #context: AnswerContext
  /** One for each name in the list of special zones. */
  readonly #zones = new Map<string, LocalZone>()

  constructor(context: AnswerContext) {
    this.#context = context
  }

  answer(question: Question, asker: Asker, { spec }: Route): void {
    const now = this.#context.now()
    let zone = this.#zones.get(spec.zone)
    if (!zone) {
      zone = new LocalZone(spec.zone, SOA, SOA.mname, 1)
      this.#zones.set(spec.zone, zone)
    }
    const found = zone.answer(question.name, question.qtype, () => undefined)
    const rcode = spec.zone === 'resolver.arpa' ? RCODE.NOERROR : found.rcode
    const meta = metaOf(question, NEGATIVE, found.ttl, spec.label, 0, true)
    const fill = localFill(question, rcode, found, meta)
    const unusable = servfail(EDE.OTHER, 'no response can be written')
    asker.answer(fill ? apart(fill, now) : failureEntry(question, spec.label, unusable, now), 0)
  }
}
