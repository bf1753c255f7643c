/**
 * Handles each query of any transport: UDP batches, TCP frames and our own self-queries. A hit is answered at once;
 * a miss becomes a Query for the resolver (misses.ts).
 *
 * This file is long, because it is the whole way of a hit: what is split off it costs a call for each query.
 */
import { clientOf } from '../../base/ip.ts'
import { SLOT, ZONES } from '../../boundary/counters.ts'
import { Entry, keyBits, POSITIVE } from '../cache/entry.ts'
import { hashQuestion } from '../cache/hash.ts'
import { hitLength, putHit, shownTtl } from '../cache/hit.ts'
import { rcodeOf } from '../cache/packet-cache.ts'
import { Sampler, type TopName } from '../cache/sampler.ts'
import { FRESH } from '../cache/validity.ts'
import { wantsRefresh } from '../forward/prefetch.ts'
import { keepHead } from '../forward/query.ts'
import type { Watch } from '../forward/race-context.ts'
import type { Batch, Peer } from '../io/packet-io.ts'
import { TX_SLOT } from '../io/packet-io.ts'
import { CLASS, EDE, RCODE } from '../../wire/codes.ts'
import { PAYLOAD } from '../../wire/edns.ts'
import { HEADER } from '../../wire/header.ts'
import { copy } from '../../wire/octets.ts'
import { putReply, reply } from '../../wire/reply.ts'
import { ACCEPT, admit, DROP_RESPONSE, DROP_RUNT, Head } from './admit.ts'
import type { Allow } from './allow.ts'
import { Datagram } from './datagram.ts'
import { INTERNAL, Misses, type MissContext } from './misses.ts'
import { MOST, respond, response } from './respond.ts'
import { singleQuery } from './single-query.ts'
import { tally, tallyLookup, tallyTime } from './tally.ts'
import type { From } from './tcp/connection.ts'
import type { Answered, Watchers } from './watchers.ts'

export type FrontContext = MissContext & {
  /** Whether a query that came from this peer was sent by ourselves: a loop. */
  readonly isOurs: (peer: Peer) => boolean
  /**
   * Answers a query before everything else: a complete response, undefined for no response, or 'outside' to continue
   * as usual.
   */
  readonly bypass?:
    ((query: Buffer, transport: 'udp' | 'tcp') => Buffer | 'outside' | undefined) | undefined
}

export class Front {
  allow: Allow
  readonly watchers: Watchers
  readonly #context: FrontContext
  readonly #head = new Head()
  readonly #hitsByZone = new Int32Array(ZONES)
  readonly #sampler = new Sampler()
  readonly #hit = new Entry()
  /** Of the question that was looked up last. */
  #hash = 0
  readonly #misses: Misses

  constructor(allow: Allow, context: FrontContext) {
    this.allow = allow
    this.#context = context
    this.#misses = new Misses(context)
    this.watchers = this.#misses.watchers
  }

  /**
   * Answers what it can in a batch at once; other queries continue to the resolver. `server` is the listener's index
   * in the counters. True if all were answered at once.
   */
  batch(batch: Batch, server: number): boolean {
    this.#misses.began = false
    const t = this.#context.now()
    let hits = 0
    for (let i = 0; i < batch.count; i++) {
      try {
        if (this.#datagram(batch, i, server, t)) hits++
      } catch (er) {
        this.#misses.began = true
        this.#context.onBug(er)
        const { rx, rxAt, tx, txAt } = batch
        batch.txLen[i] = putReply(rx, rxAt[i]!, this.#head, RCODE.SERVFAIL, tx, txAt[i]!, EDE.OTHER)
      }
    }
    if (hits > 0) this.#timeHits(server, t)
    return !this.#misses.began
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
        this.#refuse(batch, i, server, head.rcode, head.ede, t)
      }
      return false
    }
    if (!this.#allows(batch, i, source)) {
      counters[SLOT.refusedClient]! += 1
      this.#refuse(batch, i, server, RCODE.REFUSED, EDE.PROHIBITED, t)
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
    const atOnce = this.#misses.admits()
    const refused = !atOnce && this.#misses.refuses(client, t)
    const stale = refused ? this.#misses.stale(rx, at, head, this.#hash, t) : undefined
    if (refused && !stale) {
      counters[SLOT.shed]! += 1
      this.#refuse(batch, i, server, RCODE.SERVFAIL, EDE.OTHER, t)
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
    if (stale) this.#misses.giveStale(query, stale)
    else if (atOnce) this.#misses.ask(query)
    else this.#misses.wait(query, t)
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
      tally(counters, server, this.#misses.otherZone, 1, family, head, rcode, wire.length, length)
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
      const query = singleQuery(
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
      if (from === undefined || this.#misses.admits()) return this.#misses.ask(query)
      return this.#misses.refuses(client, t)
        ? this.#misses.shed(query)
        : this.#misses.wait(query, t)
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

  /** Answers the i-th datagram with an RCODE and no records. */
  #refuse(batch: Batch, i: number, server: number, rcode: number, ede: number, t: number): void {
    const { counters } = this.#context
    const head = this.#head
    const { rx, rxAt, rxLen, tx, txAt } = batch
    const length = putReply(rx, rxAt[i]!, head, rcode, tx, txAt[i]!, ede)
    batch.txLen[i] = length
    const family = batch.source4(i) >= 0 ? 0 : 1
    const { otherZone } = this.#misses
    tally(counters, server, otherZone, 0, family, head, rcode, rxLen[i]!, length)
    if (this.watchers.any) this.#watchDatagram(batch, i, server, rcode, ede, t, false)
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

  /** Index of the zone label for queries without a route. */
  set otherZone(zone: number) {
    this.#misses.otherZone = zone
  }

  /** Works on queries that had to wait; call it at the end of each turn. True if there were any. */
  endTurn(): boolean {
    return this.#misses.endTurn()
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
    if (wantsRefresh(entry, t) && resolver.prefetch(entry))
      this.#misses.began = entry.refreshing = true
    return entry
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
