/**
 * Handles each query of any transport: UDP batches, TCP frames and our own self-queries. A hit is answered at once;
 * a miss becomes a Query for the resolver.
 */
import { clientOf, type Client } from '../../base/ip.ts'
import { ACCEPT, admit, DROP_RESPONSE, DROP_RUNT, Head } from './admit.ts'
import type { Allow } from './allow.ts'
import { Backlog } from './backlog.ts'
import { countAge, SLOT, ZONES, type StaleSource } from '../../boundary/counters.ts'
import { Entry, FAILURE, keyBits, POSITIVE } from '../cache/entry.ts'
import { hashQuestion } from '../cache/hash.ts'
import { hitLength, putHit, shownTtl } from '../cache/hit.ts'
import { rcodeOf, type PacketCache } from '../cache/packet-cache.ts'
import { Sampler, type TopName } from '../cache/sampler.ts'
import { FRESH, STALE, type Validity } from '../cache/validity.ts'
import { Datagram } from './datagram.ts'
import { QueryAsker } from './query-asker.ts'
import { chaosReply } from './chaos.ts'
import type { From } from './tcp/connection.ts'
import { ageOf, MOST, respond, response, type Responding } from './respond.ts'
import { tally, tallyLookup, tallyTime } from './tally.ts'
import { Watchers, type Answered } from './watchers.ts'
import type { Batch, Peer } from '../io/packet-io.ts'
import { TX_SLOT } from '../io/packet-io.ts'
import { wantsRefresh } from '../forward/prefetch.ts'
import { keepHead, type Query, type Question } from '../forward/query.ts'
import type { Watch } from '../forward/race-context.ts'
import type { Resolver } from '../forward/resolver.ts'
import { staleEde } from '../forward/stale.ts'
import { CLASS, EDE, RCODE } from '../../wire/codes.ts'
import { PAYLOAD } from '../../wire/edns.ts'
import { AA, HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { copy } from '../../wire/octets.ts'
import { putReply, reply } from '../../wire/reply.ts'

/** The text of the extended error for a query that failed because of a bug. */
const INTERNAL = 'internal error'
/** The same for one that was given up because its client, or everybody, asks too much. */
const BUSY = 'too many queries'

export type FrontContext = Responding & {
  readonly cache: PacketCache
  readonly validity: Validity
  readonly counters: Float64Array
  readonly resolver: Resolver
  readonly identity: boolean
  /** Whether a query that came from this peer was sent by ourselves: a loop. */
  readonly isOurs: (peer: Peer) => boolean
  readonly now: () => number
  /** A clock that advances within a turn, for latencies. */
  readonly clock: () => number
  readonly onBug: (er: unknown) => void
  /**
   * Answers a query before everything else: a complete response, undefined for no response, or 'outside' to continue
   * as usual.
   */
  readonly bypass?:
    ((query: Buffer, transport: 'udp' | 'tcp') => Buffer | 'outside' | undefined) | undefined
}

export class Front {
  allow: Allow
  /** Index of the zone label for queries without a route. */
  otherZone = 0
  readonly watchers = new Watchers()
  readonly #context: FrontContext
  readonly #head = new Head()
  readonly #hitsByZone = new Int32Array(ZONES)
  readonly #sampler = new Sampler()
  readonly #hit = new Entry()
  /** Of the question that was looked up last. */
  #hash = 0
  readonly #backlog = new Backlog<Query>()
  /** Whether the current batch has begun something that ends later: a miss or a refresh. */
  #began = false

  constructor(allow: Allow, context: FrontContext) {
    this.allow = allow
    this.#context = context
  }

  /**
   * Answers what it can in a batch at once; other queries continue to the resolver. `server` is the listener's index
   * in the counters. True if all were answered at once.
   */
  batch(batch: Batch, server: number): boolean {
    this.#began = false
    const t = this.#context.now()
    let hits = 0
    for (let i = 0; i < batch.count; i++) {
      try {
        if (this.#datagram(batch, i, server, t)) hits++
      } catch (er) {
        this.#began = true
        this.#context.onBug(er)
        const { rx, rxAt, tx, txAt } = batch
        batch.txLen[i] = putReply(rx, rxAt[i]!, this.#head, RCODE.SERVFAIL, tx, txAt[i]!, EDE.OTHER)
      }
    }
    if (hits > 0) this.#timeHits(server, t)
    return !this.#began
  }

  /** Whether the i-th datagram was a hit. */
  #datagram(batch: Batch, i: number, server: number, t: number): boolean {
    if (this.#context.bypass && this.#bypassed(batch, i, server)) return false
    const { counters } = this.#context
    const head = this.#head
    const { rx, tx, txLen } = batch
    const at = batch.rxAt[i]!
    const outAt = batch.txAt[i]!
    const length = batch.rxLen[i]!
    const verdict = admit(rx, at, length, head)
    const source = batch.source4(i)
    const family = source >= 0 ? 0 : 1
    if (verdict !== ACCEPT) {
      if (verdict === DROP_RUNT) counters[SLOT.droppedRunt]! += 1
      else if (verdict === DROP_RESPONSE) counters[SLOT.droppedResponse]! += 1
      else {
        if (head.rcode === RCODE.FORMERR) counters[SLOT.malformed]! += 1
        txLen[i] = putReply(rx, at, head, head.rcode, tx, outAt, head.ede)
        tally(counters, server, this.otherZone, 0, family, head, head.rcode, length, txLen[i]!)
        if (this.watchers.any) this.#watchDatagram(batch, i, server, head.rcode, head.ede, t, false)
      }
      return false
    }
    if (!this.#allows(batch, i, source)) {
      counters[SLOT.refusedClient]! += 1
      txLen[i] = putReply(rx, at, head, RCODE.REFUSED, tx, outAt, EDE.PROHIBITED)
      tally(counters, server, this.otherZone, 0, family, head, RCODE.REFUSED, length, txLen[i]!)
      if (this.watchers.any)
        this.#watchDatagram(batch, i, server, RCODE.REFUSED, EDE.PROHIBITED, t, false)
      return false
    }
    const limit = Math.min(head.payload, PAYLOAD)
    const entry = this.#find(rx, at, head, t)
    if (entry !== undefined) {
      const put =
        hitLength(entry, head) <= limit && head.optionsEnd === 0
          ? putHit(entry, rx, at, head, tx, outAt, shownTtl(entry, t))
          : this.#putSlowly(entry, rx, at, head, limit, t, tx, outAt)
      txLen[i] = put
      tally(counters, server, entry.zone, 0, family, head, rcodeOf(entry), length, put)
      tallyLookup(counters, server, entry.zone, entry.kind === POSITIVE ? 0 : 1)
      this.#hitsByZone[entry.zone]! += 1
      if (this.watchers.any)
        this.#watchDatagram(batch, i, server, rcodeOf(entry), entry.ede, t, true)
      return true
    }
    const client = source >= 0 ? source : batch.client(i)
    const atOnce = this.#backlog.admits()
    const refused = !atOnce && this.#backlog.refuses(client, t)
    const stale = refused ? this.#stale(rx, at, head, this.#hash, t) : undefined
    if (refused && !stale) {
      counters[SLOT.shed]! += 1
      txLen[i] = putReply(rx, at, head, RCODE.SERVFAIL, tx, outAt, EDE.OTHER)
      tally(counters, server, this.otherZone, 0, family, head, RCODE.SERVFAIL, length, txLen[i]!)
      if (this.watchers.any)
        this.#watchDatagram(batch, i, server, RCODE.SERVFAIL, EDE.OTHER, t, false)
      return false
    }
    const peer = batch.peer(i)
    if (this.#context.isOurs(peer)) {
      counters[SLOT.loops]! += 1
      return false
    }
    const wire = Buffer.allocUnsafe(length)
    copy(rx, at, at + length, wire, 0)
    const { socket } = batch
    const kept = keepHead(head)
    const query = new Datagram(
      wire,
      kept,
      limit,
      t,
      server,
      client,
      this.#hash,
      socket,
      peer,
      counters,
    )
    if (stale) this.#giveStale(query, stale)
    else if (atOnce) this.#miss(query)
    else this.#wait(query, t)
    return false
  }

  /** Handles a query over TCP, or one of our own. `respondWith` is called once, or never if it is no query. */
  single(
    wire: Buffer,
    from: From | undefined,
    server: number,
    respondWith: (response: Uint8Array) => void,
    watch?: Watch,
  ): void {
    try {
      this.#single(wire, from, server, respondWith, watch)
    } catch (er) {
      this.#context.onBug(er)
      respondWith(reply(wire, this.#head, RCODE.SERVFAIL, EDE.OTHER, INTERNAL))
    }
  }

  #single(
    wire: Buffer,
    from: From | undefined,
    server: number,
    respondWith: (response: Uint8Array) => void,
    watch?: Watch,
  ): void {
    const { bypass, clock, counters, now } = this.#context
    const t = now()
    const head = this.#head
    if (bypass && (from === undefined || this.allow.allows(from.address))) {
      const direct = bypass(wire, 'tcp')
      if (direct !== 'outside') {
        if (!direct) return
        this.#countBypassed(wire, 0, wire.length, direct, server, 1, from?.family === 6 ? 1 : 0)
        return respondWith(direct)
      }
    }
    const verdict = admit(wire, 0, wire.length, head)
    const family = from?.family === 6 ? 1 : 0
    if (verdict === DROP_RUNT || verdict === DROP_RESPONSE) {
      counters[verdict === DROP_RUNT ? SLOT.droppedRunt : SLOT.droppedResponse]! += 1
      return
    }
    const refused = verdict === ACCEPT && from !== undefined && !this.allow.allows(from.address)
    if (verdict !== ACCEPT || refused) {
      if (refused) counters[SLOT.refusedClient]! += 1
      else if (head.rcode === RCODE.FORMERR) counters[SLOT.malformed]! += 1
      const rcode = refused ? RCODE.REFUSED : head.rcode
      const refusal = reply(wire, head, rcode, refused ? EDE.PROHIBITED : head.ede)
      const { length } = refusal
      tally(counters, server, this.otherZone, 1, family, head, rcode, wire.length, length)
      const ede = refused ? EDE.PROHIBITED : head.ede
      if (from && this.watchers.any)
        this.#watchSingle(from, {
          query: wire,
          answer: refusal,
          rcode,
          ede,
          lookup: 'none',
          server,
          tookMs: clock() - t,
        })
      return respondWith(refusal)
    }
    const entry = this.#find(wire, 0, head, t)
    if (entry === undefined) {
      const client = clientOf(from?.address ?? '')
      const query = asked(
        wire,
        head,
        t,
        server,
        family,
        respondWith,
        watch,
        client,
        this.#hash,
        from,
      )
      if (from === undefined || this.#backlog.admits()) return this.#miss(query)
      return this.#backlog.refuses(client, t) ? this.#shed(query) : this.#wait(query, t)
    }
    watch?.('hit', `${shownTtl(entry, t)} s left`)
    tallyLookup(counters, server, entry.zone, entry.kind === POSITIVE ? 0 : 1)
    const length = respond(entry, 0, wire, 0, head, MOST, t, true, this.#context)
    respondWith(response.subarray(0, length))
    tally(counters, server, entry.zone, 1, family, head, rcodeOf(entry), wire.length, length)
    tallyTime(counters, server, entry.zone, clock() - t)
    if (from && this.watchers.any) {
      this.#watchSingle(from, {
        query: wire,
        answer: response.subarray(0, length),
        rcode: rcodeOf(entry),
        ede: entry.ede,
        lookup: 'found',
        server,
        tookMs: clock() - t,
      })
    }
  }

  #allows(batch: Batch, i: number, source: number): boolean {
    return source >= 0 ? this.allow.allows4(source) : this.allow.allows(batch.peer(i).address)
  }

  /** Answers datagram i by the bypass. False if it must be handled as usual, for example if the client is not allowed. */
  #bypassed(batch: Batch, i: number, server: number): boolean {
    const source = batch.source4(i)
    if (!this.#allows(batch, i, source)) return false
    const at = batch.rxAt[i]!
    const response = this.#context.bypass!(batch.rx.subarray(at, at + batch.rxLen[i]!), 'udp')
    if (response === 'outside') return false
    if (!response) return true
    batch.txLen[i] = response.copy(batch.tx, batch.txAt[i]!, 0, TX_SLOT)
    const length = batch.rxLen[i]!
    this.#countBypassed(batch.rx, at, length, response, server, 0, source >= 0 ? 0 : 1)
    return true
  }

  /** Counts an answer of the bypass, whose zone has the first label. */
  #countBypassed(
    query: Buffer,
    at: number,
    length: number,
    response: Buffer,
    server: number,
    proto: 0 | 1,
    family: 0 | 1,
  ): void {
    const head = this.#head
    if (admit(query, at, length, head) !== ACCEPT) return
    const rcode = response[3]! & 0x0f
    tally(this.#context.counters, server, 0, proto, family, head, rcode, length, response.length)
  }

  /** The names queried most often lately. */
  top(limit: number): TopName[] {
    return this.#sampler.top(limit)
  }

  /** A fresh and valid entry for the question. */
  #find(b: Uint8Array, at: number, head: Head, t: number): Entry | undefined {
    const { cache, resolver, validity } = this.#context
    if (head.qclass !== CLASS.IN) return undefined
    const bits = keyBits(head.dnssecOk, head.checkingDisabled)
    const hash = hashQuestion(b, at + HEADER, at + head.qnameEnd, head.qtype, bits)
    this.#hash = hash
    const entry = cache.findBy(
      hash,
      b,
      at + HEADER,
      at + head.qnameEnd,
      head.qtype,
      bits,
      this.#hit,
    )
    this.#sampler.see(b, at + HEADER, head.qtype)
    if (entry === undefined || validity.of(entry, t) !== FRESH) return undefined
    entry.hits++
    cache.touch(entry, t)
    // If there is no room for a refresh, the next hit tries again.
    if (wantsRefresh(entry, t) && resolver.prefetch(entry)) this.#began = entry.refreshing = true
    return entry
  }

  /** Keeps a query for a later turn. */
  #wait(query: Query, now: number): void {
    const gone = this.#backlog.add(query.client, query, now)
    if (gone) this.#shed(gone)
  }

  /** An answer that may be given although it is stale, for a query that there is no time for. */
  #stale(b: Uint8Array, at: number, head: Head, hash: number, t: number): Entry | undefined {
    if (head.qclass !== CLASS.IN) return undefined
    const { cache, validity } = this.#context
    const bits = keyBits(head.dnssecOk, head.checkingDisabled)
    const end = at + head.qnameEnd
    const entry = cache.findBy(hash, b, at + HEADER, end, head.qtype, bits, this.#hit)
    if (!entry || entry.kind === FAILURE || validity.of(entry, t) !== STALE) return undefined
    return entry
  }

  #giveStale(query: Query, entry: Entry): void {
    this.#context.counters[SLOT.staleServed]! += 1
    this.answer(query, entry, staleEde(entry))
  }

  /** Answers a query that there is no time for: with what is stale (RFC 8767), otherwise with SERVFAIL. */
  #shed(query: Query): void {
    const { counters, now } = this.#context
    const { family, head, proto, server, wire } = query
    const stale = this.#stale(wire, 0, head, query.hash, now())
    if (stale) return this.#giveStale(query, stale)
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
      this.#miss(query)
    }
    backlog.endTurn()
    return any
  }

  #miss(query: Query): void {
    this.#began = true
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
    try {
      resolver.resolve(question, asker)
    } catch (er) {
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

  /** Shows the answer to the i-th datagram to those who watch. */
  #watchDatagram(
    batch: Batch,
    i: number,
    server: number,
    rcode: number,
    ede: number,
    since: number,
    found: boolean,
  ): void {
    const rxAt = batch.rxAt[i]!
    const txAt = batch.txAt[i]!
    this.watchers.see({
      query: batch.rx.subarray(rxAt, rxAt + batch.rxLen[i]!),
      head: this.#head,
      answer: batch.tx.subarray(txAt, txAt + batch.txLen[i]!),
      rcode,
      ede,
      lookup: found ? 'found' : 'none',
      proto: 0,
      server,
      tookMs: this.#context.clock() - since,
      client: batch.peer(i),
    })
  }

  /** The same for a query over TCP. */
  #watchSingle(client: From, answered: Omit<Answered, 'head' | 'proto' | 'client'>): void {
    this.watchers.see({ ...answered, head: this.#head, proto: 1, client })
  }

  /** Writes a hit that `putHit` alone cannot: into a separate buffer first, and from there into the batch. */
  #putSlowly(
    entry: Entry,
    b: Uint8Array,
    at: number,
    head: Head,
    limit: number,
    t: number,
    out: Buffer,
    outAt: number,
  ): number {
    const length = respond(entry, 0, b, at, head, limit, t, false, this.#context)
    response.copy(out, outAt, 0, Math.min(length, TX_SLOT))
    return length
  }

  #chaos(query: Query): void {
    const { counters, node, identity } = this.#context
    const { family, head, proto, server, wire } = query
    const { rcode, response: said } = chaosReply(wire, head, node, identity)
    tally(counters, server, this.otherZone, proto, family, head, rcode, wire.length, said.length)
    query.respond(said, said.length)
    if (this.watchers.any) this.#watchQuery(query, said, { rcode, ede: -1, lookup: 'none' })
  }

  /** All hits of a batch get the latency of the batch so far, so that the clock is read once. */
  #timeHits(server: number, since: number): void {
    const { counters, clock } = this.#context
    const ms = clock() - since
    for (let zone = 0; zone < ZONES; zone++) {
      const n = this.#hitsByZone[zone]!
      if (n === 0) continue
      tallyTime(counters, server, zone, ms, n)
      this.#hitsByZone[zone] = 0
    }
  }
}

/** Only the copy of a zone that this node holds is given with authority. */
const staleSource = (entry: Entry): StaleSource =>
  entry.restored ? 'snapshot' : (entry.bytes[entry.at + 2]! & AA) !== 0 ? 'gossiped' : 'stale'

/**
 * A query over TCP that waits for its answer. A separate function, because closures in `single` would also be
 * created for hits.
 */
const asked = (
  wire: Buffer,
  head: Head,
  receivedAt: number,
  server: number,
  family: 0 | 1,
  respond: (response: Uint8Array) => void,
  watch: Watch | undefined,
  client: Client,
  hash: number,
  from: From | undefined,
): Query => ({
  wire,
  head: keepHead(head),
  limit: MOST,
  receivedAt,
  respond: (bytes, length) => respond(bytes.subarray(0, length)),
  server,
  proto: 1,
  family,
  client,
  onTrial: false,
  hash,
  from,
  watch,
})
