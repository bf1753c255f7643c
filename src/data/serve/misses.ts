/**
 * Queries that the cache did not answer at once. While the thread is busy they wait (backlog.ts); then the resolver is
 * asked, and the client answered when it has an entry. A client that must give way gets what is stale, or SERVFAIL.
 */
import { countAge, SLOT, type StaleSource } from '../../boundary/counters.ts'
import type { Client } from '../../base/ip.ts'
import { Entry, FAILURE, keyBits } from '../cache/entry.ts'
import { rcodeOf, type PacketCache } from '../cache/packet-cache.ts'
import { STALE, type Validity } from '../cache/validity.ts'
import type { Query, Question } from '../forward/query.ts'
import type { Resolver } from '../forward/resolver.ts'
import { staleEde } from '../forward/stale.ts'
import { CLASS, EDE, RCODE } from '../../wire/codes.ts'
import { AA, HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { reply } from '../../wire/reply.ts'
import type { Head } from './admit.ts'
import { Backlog } from './backlog.ts'
import { chaosReply } from './chaos.ts'
import { QueryAsker, type Responder } from './query-asker.ts'
import { ageOf, respond, response, type Responding } from './respond.ts'
import { tally, tallyLookup, tallyTime } from './tally.ts'
import { Watchers, type Answered } from './watchers.ts'

/** The text of the extended error for a query that failed because of a bug. */
export const INTERNAL = 'internal error'
/** The same for one that was given up because its client, or everybody, asks too much. */
const BUSY = 'too many queries'

export type MissContext = Responding & {
  readonly cache: PacketCache
  readonly validity: Validity
  readonly counters: Float64Array
  readonly resolver: Resolver
  /**
   * What a reload may change, read at each use. An object of its own: with getters in the context, V8 would keep the
   * context as a dictionary, and each hit would search in it.
   */
  readonly settings: { readonly identity: boolean }
  readonly now: () => number
  /** A clock that advances within a turn, for latencies. */
  readonly clock: () => number
  readonly onBug: (er: unknown) => void
}

export class Misses implements Responder {
  /** Index of the zone label for queries without a route. */
  otherZone = 0
  /** Whether something has begun that ends later, since this was last set to false. */
  began = false
  readonly watchers = new Watchers()
  readonly #context: MissContext
  readonly #backlog = new Backlog<Query>()
  readonly #stored = new Entry()

  constructor(context: MissContext) {
    this.#context = context
  }

  /** Whether a query that just came may go to the resolver at once. If so, it counts as one that did. */
  admits(): boolean {
    return this.#backlog.admits()
  }

  /** Whether there is no room for another query of this client. */
  refuses(client: Client, now: number): boolean {
    return this.#backlog.refuses(client, now)
  }

  /** Keeps a query for a later turn. */
  wait(query: Query, now: number): void {
    const gone = this.#backlog.add(query.client, query, now)
    if (gone) this.shed(gone)
  }

  /** An answer that may be given although it is stale, for a query that there is no time for. */
  stale(b: Uint8Array, at: number, head: Head, hash: number, t: number): Entry | undefined {
    if (head.qclass !== CLASS.IN) return undefined
    const { cache, validity } = this.#context
    const bits = keyBits(head.dnssecOk, head.checkingDisabled)
    const end = at + head.qnameEnd
    const entry = cache.findBy(hash, b, at + HEADER, end, head.qtype, bits, this.#stored)
    if (!entry || entry.kind === FAILURE || validity.of(entry, t) !== STALE) return undefined
    return entry
  }

  giveStale(query: Query, entry: Entry): void {
    this.#context.counters[SLOT.staleServed]! += 1
    this.answer(query, entry, staleEde(entry))
  }

  /** Answers a query that there is no time for: with what is stale (RFC 8767), otherwise with SERVFAIL. */
  shed(query: Query): void {
    const { counters, now } = this.#context
    const { family, head, proto, server, wire } = query
    const stale = this.stale(wire, 0, head, query.hash, now())
    if (stale) return this.giveStale(query, stale)
    counters[SLOT.shed]! += 1
    const answer = this.#apologise(query, BUSY)
    const { length } = answer
    if (this.watchers.any)
      this.#watchQuery(query, answer, { rcode: RCODE.SERVFAIL, ede: EDE.OTHER, lookup: 'none' })
    tally(
      counters,
      server,
      this.otherZone,
      proto,
      family,
      head,
      RCODE.SERVFAIL,
      wire.length,
      length,
    )
  }

  /** Works on queries that had to wait; call it at the end of each turn. True if there were any. */
  endTurn(): boolean {
    const backlog = this.#backlog
    const now = this.#context.now()
    const any = backlog.size > 0
    for (let query = backlog.take(now); query; query = backlog.take(now)) {
      query.onTrial = backlog.isFromHeaviest
      this.ask(query)
    }
    backlog.endTurn()
    return any
  }

  ask(query: Query): void {
    const { resolver, onBug } = this.#context
    const { head, wire } = query
    if (head.qclass !== CLASS.IN) return this.#chaos(query)
    const question: Question = {
      wire,
      qnameEnd: head.qnameEnd,
      questionEnd: head.questionEnd,
      qtype: head.qtype,
      dnssecOk: head.dnssecOk,
      checkingDisabled: head.checkingDisabled,
      name: foldedText(wire, HEADER),
      hash: query.hash,
      onTrial: query.onTrial,
    }
    const asker = new QueryAsker(query, this)
    resolver.forwarded = false
    try {
      resolver.resolve(question, asker)
      if (resolver.forwarded) this.began = true
    } catch (er) {
      this.began = true
      onBug(er)
      if (asker.take()) this.#apologise(query, INTERNAL)
    }
  }

  /** Answers a query that had to wait. Never throws, because other queries may wait for the same answer. */
  answer(query: Query, entry: Entry, ede: number): void {
    try {
      this.#answer(query, entry, ede)
    } catch (er) {
      this.#context.onBug(er)
      this.#apologise(query, INTERNAL)
    }
  }

  /** Responds with SERVFAIL and says why. */
  #apologise(query: Query, why: string): Buffer {
    const failure = reply(query.wire, query.head, RCODE.SERVFAIL, EDE.OTHER, why)
    query.respond(failure, failure.length)
    return failure
  }

  #answer(query: Query, entry: Entry, ede: number): void {
    const { clock, counters, now } = this.#context
    const { family, head, limit, proto, server, wire } = query
    tallyLookup(counters, server, entry.zone, -1)
    const t = now()
    const length = respond(entry, ede, wire, 0, head, limit, t, proto === 1, this.#context)
    if (ede > 0) countAge(counters, entry.zone, staleSource(entry), ageOf(entry, t))
    query.respond(response, length)
    tally(counters, server, entry.zone, proto, family, head, rcodeOf(entry), wire.length, length)
    tallyTime(counters, server, entry.zone, clock() - query.receivedAt)
    if (this.watchers.any)
      this.#watchQuery(query, response.subarray(0, length), {
        rcode: rcodeOf(entry),
        ede: ede > 0 ? ede : entry.ede,
        lookup: 'asked',
      })
  }

  /** Shows the answer to a query that had to wait to those who watch; not that to one of our own. */
  #watchQuery(
    { wire, head, proto, server, receivedAt, from }: Query,
    answer: Uint8Array,
    how: Pick<Answered, 'rcode' | 'ede' | 'lookup'>,
  ): void {
    if (from === undefined) return
    const tookMs = this.#context.clock() - receivedAt
    this.watchers.see({ query: wire, head, answer, ...how, proto, server, tookMs, client: from })
  }

  #chaos(query: Query): void {
    const { counters, node, settings } = this.#context
    const { family, head, proto, server, wire } = query
    const { rcode, response: said } = chaosReply(wire, head, node, settings.identity)
    tally(counters, server, this.otherZone, proto, family, head, rcode, wire.length, said.length)
    query.respond(said, said.length)
    if (this.watchers.any) this.#watchQuery(query, said, { rcode, ede: -1, lookup: 'none' })
  }
}

/** Only the copy of a zone that this node holds is given with authority. */
const staleSource = (entry: Entry): StaleSource =>
  entry.restored ? 'snapshot' : (entry.bytes[entry.at + 2]! & AA) !== 0 ? 'gossiped' : 'stale'
