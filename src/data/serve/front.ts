/**
 * The front of the data plane: one query in, its response out, whichever
 * transport brought it. Batches, TCP frames and our own self-queries meet
 * here; a hit is answered in place, a miss becomes a Query for the resolver.
 */
import { ACCEPT, admit, DROP_RESPONSE, DROP_RUNT, Head } from './admit.ts'
import type { Allow } from './allow.ts'
import { BLOCK, countTime, SLOT, TIME_CELLS, ZONES } from '../../boundary/counters.ts'
import { Entry, keyBits, POSITIVE } from '../cache/entry.ts'
import { hitLength, putHit, shownTtl } from '../cache/hit.ts'
import { rcodeOf, type PacketCache } from '../cache/packet-cache.ts'
import { Sampler, type TopName } from '../cache/sampler.ts'
import { cell, tally, tallyLookup } from '../cache/tally.ts'
import { FRESH, type Validity } from '../cache/validity.ts'
import { Datagram } from './datagram.ts'
import { QueryAsker } from './query-asker.ts'
import { chaosReply } from './chaos.ts'
import type { Batch, Peer } from '../io/packet-io.ts'
import { TX_SLOT } from '../io/packet-io.ts'
import { wantsRefresh } from '../forward/prefetch.ts'
import { keepHead, type Query, type Question } from '../forward/query.ts'
import type { Watch } from '../forward/race.ts'
import type { Resolver } from '../forward/resolver.ts'
import { CLASS, EDE, RCODE } from '../../wire/codes.ts'
import { addOption, hasOption, OPT_LENGTH, PAYLOAD } from '../../wire/edns.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { copy, put16 } from '../../wire/octets.ts'
import { putReply, reply } from '../../wire/reply.ts'
import { truncate } from '../../wire/truncate.ts'

/** Largest response: a TCP frame. */
const MOST = 65_535
const NO_TEXT = new Uint8Array(0)

export type FrontMeans = {
  readonly cache: PacketCache
  readonly validity: Validity
  readonly counters: Float64Array
  readonly resolver: Resolver
  readonly node: string
  readonly identity: boolean
  readonly tcpIdleMs: number
  /** Whether a query that came from this peer was sent by ourselves: a loop. */
  readonly isOurs: (peer: Peer) => boolean
  readonly now: () => number
  /** A clock that moves within a turn, for latencies. */
  readonly clock: () => number
  readonly onBug: (er: unknown) => void
  /** A whole response that passes all else by, undefined for none at all, 'outside' to go on as usual. */
  readonly bypass?:
    ((query: Buffer, transport: 'udp' | 'tcp') => Buffer | 'outside' | undefined) | undefined
}

export class Front {
  allow: Allow
  /** Index of the zone label for what never got a zone. */
  otherZone = 0
  readonly #means: FrontMeans
  readonly #head = new Head()
  readonly #scratch = Buffer.allocUnsafeSlow(MOST + 512)
  readonly #hitsByZone = new Int32Array(ZONES)
  readonly #sampler = new Sampler()
  readonly #hit = new Entry()

  constructor(allow: Allow, means: FrontMeans) {
    this.allow = allow
    this.#means = means
  }

  /** Answers what it can of a batch in place; the rest goes on its way. `server` is the listener's column in the counters. */
  batch(batch: Batch, server: number): void {
    const { counters, now } = this.#means
    const t = now()
    const head = this.#head
    const { rx, rxAt, rxLen, tx, txAt, txLen } = batch
    let hits = 0
    for (let i = 0; i < batch.count; i++) {
      const at = rxAt[i]!
      const length = rxLen[i]!
      if (this.#means.bypass && this.#bypassed(batch, i)) continue
      const verdict = admit(rx, at, length, head)
      const source = batch.source4(i)
      if (verdict !== ACCEPT) {
        if (verdict === DROP_RUNT) counters[SLOT.droppedRunt]! += 1
        else if (verdict === DROP_RESPONSE) counters[SLOT.droppedResponse]! += 1
        else {
          if (head.rcode === RCODE.FORMERR) counters[SLOT.malformed]! += 1
          txLen[i] = putReply(rx, at, head, head.rcode, tx, txAt[i]!, head.ede)
          this.#count(server, this.otherZone, 0, source, head, head.rcode, length, txLen[i]!)
        }
        continue
      }
      if (source >= 0 ? !this.allow.allows4(source) : !this.allow.allows(batch.peer(i).address)) {
        counters[SLOT.refusedClient]! += 1
        txLen[i] = putReply(rx, at, head, RCODE.REFUSED, tx, txAt[i]!, EDE.PROHIBITED)
        this.#count(server, this.otherZone, 0, source, head, RCODE.REFUSED, length, txLen[i]!)
        continue
      }
      const limit = Math.min(head.payload, PAYLOAD)
      const entry = this.#find(rx, at, head, t)
      if (entry !== undefined) {
        const put =
          hitLength(entry, head) <= limit && head.optionsEnd === 0
            ? putHit(entry, rx, at, head, tx, txAt[i]!, shownTtl(entry, t))
            : this.#putSlowly(entry, rx, at, head, limit, t, tx, txAt[i]!, false)
        txLen[i] = put
        this.#count(server, entry.zone, 0, source, head, rcodeOf(entry), length, put)
        tallyLookup(counters, cell(server, entry.zone), entry.kind === POSITIVE ? 0 : 1)
        this.#hitsByZone[entry.zone]! += 1
        hits++
        continue
      }
      const peer = batch.peer(i)
      const { socket } = batch
      if (this.#means.isOurs(peer)) {
        counters[SLOT.loops]! += 1
        continue
      }
      const wire = Buffer.allocUnsafe(length)
      copy(rx, at, at + length, wire, 0)
      this.#miss(new Datagram(wire, keepHead(head), limit, t, server, socket, peer, counters))
    }
    if (hits > 0) this.#timeHits(server, t)
  }

  /** A query by TCP, or one of our own; `respond` is called once, perhaps at once, or never for what is no query. */
  single(
    wire: Buffer,
    from: { family: 4 | 6; address: string } | undefined,
    server: number,
    respond: (response: Uint8Array) => void,
    watch?: Watch,
  ): void {
    const { counters, now } = this.#means
    const t = now()
    const head = this.#head
    const { bypass } = this.#means
    if (bypass && (from === undefined || this.allow.allows(from.address))) {
      const direct = bypass(wire, 'tcp')
      if (direct !== 'outside') return direct && respond(direct)
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
      const response = reply(wire, head, rcode, refused ? EDE.PROHIBITED : head.ede)
      this.#count(
        server,
        this.otherZone,
        1,
        family === 0 ? 0 : -1,
        head,
        rcode,
        wire.length,
        response.length,
      )
      return respond(response)
    }
    const entry = this.#find(wire, 0, head, t)
    if (entry === undefined)
      return this.#miss(asked(wire, head, t, server, family, respond, watch, from?.address ?? ''))
    watch?.('hit', `${shownTtl(entry, t)} s left`)
    tallyLookup(counters, cell(server, entry.zone), entry.kind === POSITIVE ? 0 : 1)
    const length = this.#putSlowly(entry, wire, 0, head, MOST, t, this.#scratch, 0, true)
    respond(this.#scratch.subarray(0, length))
    const source = family === 0 ? 0 : -1
    this.#count(server, entry.zone, 1, source, head, rcodeOf(entry), wire.length, length)
    this.#time(server, entry.zone, t)
  }

  /** Answers datagram i past all else; false if it goes the usual way, as who may not ask does. */
  #bypassed(batch: Batch, i: number): boolean {
    const source = batch.source4(i)
    if (source >= 0 ? !this.allow.allows4(source) : !this.allow.allows(batch.peer(i).address))
      return false
    const at = batch.rxAt[i]!
    const response = this.#means.bypass!(batch.rx.subarray(at, at + batch.rxLen[i]!), 'udp')
    if (response === 'outside') return false
    if (response) batch.txLen[i] = response.copy(batch.tx, batch.txAt[i]!, 0, TX_SLOT)
    return true
  }

  /** The names asked most lately. */
  top(limit: number): TopName[] {
    return this.#sampler.top(limit)
  }

  /** A fresh entry that still answers for its question. */
  #find(b: Uint8Array, at: number, head: Head, t: number): Entry | undefined {
    const { cache, resolver, validity } = this.#means
    if (head.qclass !== CLASS.IN) return undefined
    const entry = cache.find(
      b,
      at + HEADER,
      at + head.qnameEnd,
      head.qtype,
      keyBits(head.dnssecOk, head.checkingDisabled),
      this.#hit,
    )
    this.#sampler.see(b, at + HEADER, head.qtype)
    if (entry === undefined || validity.of(entry, t) !== FRESH) return undefined
    entry.hits++
    cache.touch(entry, t)
    // Without room the next hit tries again.
    if (wantsRefresh(entry, t) && resolver.prefetch(entry)) entry.refreshing = true
    return entry
  }

  #miss(query: Query): void {
    const { resolver, onBug, counters } = this.#means
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
    }
    try {
      resolver.resolve(question, new QueryAsker(query, this))
    } catch (er) {
      counters[SLOT.internalErrors]! += 1
      onBug(er)
      const response = reply(wire, head, RCODE.SERVFAIL, EDE.OTHER, 'internal error')
      query.respond(response, response.length)
    }
  }

  /** The answer to a query that had to wait for it. */
  answer(query: Query, entry: Entry, ede: number): void {
    const { now, counters } = this.#means
    tallyLookup(counters, cell(query.server, entry.zone), -1)
    const { head, wire } = query
    const length = this.#putSlowly(
      entry,
      wire,
      0,
      head,
      query.limit,
      now(),
      this.#scratch,
      0,
      query.proto === 1,
      ede,
    )
    query.respond(this.#scratch, length)
    this.#count(
      query.server,
      entry.zone,
      query.proto,
      query.family === 0 ? 0 : -1,
      head,
      rcodeOf(entry),
      wire.length,
      length,
    )
    this.#time(query.server, entry.zone, query.receivedAt)
  }

  /** One answer more of that age. */
  #time(server: number, zone: number, receivedAt: number): void {
    const { clock, counters } = this.#means
    const at = BLOCK.duration + cell(server, zone) * TIME_CELLS
    countTime(counters, at, Math.max(0, clock() - receivedAt) / 1000)
  }

  /**
   * A hit of any shape: with options to answer, too large, stale, or over TCP.
   * What does not fit goes in this order: our name and the text that explains
   * an error, then records.
   */
  #putSlowly(
    entry: Entry,
    b: Uint8Array,
    at: number,
    head: Head,
    limit: number,
    t: number,
    out: Buffer,
    outAt: number,
    tcp: boolean,
    ede = 0,
  ): number {
    const work = this.#scratch
    const ttl = ede > 0 ? entry.staleTtl : shownTtl(entry, t)
    const code = ede > 0 ? ede : entry.ede
    const text = ede > 0 ? NO_TEXT : (entry.edeText ?? NO_TEXT)
    const asksFor = (option: 'nsid' | 'keepalive'): boolean =>
      head.optionsEnd > 0 && hasOption(b, at + head.optionsAt, at + head.optionsEnd, option)
    let end = putHit(entry, b, at, head, work, 0, ttl, code, text)
    let optAt = end - OPT_LENGTH - (code < 0 ? 0 : 6 + text.length)
    if (asksFor('nsid'))
      end = addOption(work, optAt, end, 'nsid', Buffer.from(this.#means.node.slice(0, 128)))
    if (end > limit && head.edns) {
      end = putHit(entry, b, at, head, work, 0, ttl, code, NO_TEXT)
      optAt = end - OPT_LENGTH - (code < 0 ? 0 : 6)
    }
    if (tcp && asksFor('keepalive')) {
      const tenths = Buffer.alloc(2)
      put16(tenths, 0, Math.min(65_535, Math.trunc(this.#means.tcpIdleMs / 100)))
      end = addOption(work, optAt, end, 'keepalive', tenths)
    }
    if (end > limit) end = truncate(work.subarray(0, end), end, limit)
    if (out !== work) work.copy(out, outAt, 0, Math.min(end, TX_SLOT))
    return end
  }

  #chaos(query: Query): void {
    const { node, identity } = this.#means
    const { head, wire } = query
    const { rcode, response } = chaosReply(wire, head, node, identity)
    const source = query.family === 0 ? 0 : -1
    this.#count(
      query.server,
      this.otherZone,
      query.proto,
      source,
      head,
      rcode,
      wire.length,
      response.length,
    )
    query.respond(response, response.length)
  }

  /** `source` is the client's IPv4 address, or negative for IPv6. */
  #count(
    server: number,
    zone: number,
    proto: number,
    source: number,
    head: Head,
    rcode: number,
    asked: number,
    said: number,
  ): void {
    tally(
      this.#means.counters,
      cell(server, zone),
      proto,
      source >= 0 ? 0 : 1,
      head.questionEnd > 0 ? head.qtype : 0,
      head.dnssecOk,
      rcode,
      asked,
      said,
    )
  }

  /** All hits of a batch took as long as the batch so far: one look at the clock serves them. */
  #timeHits(server: number, since: number): void {
    const { counters, clock } = this.#means
    const seconds = Math.max(0, clock() - since) / 1000
    for (let zone = 0; zone < ZONES; zone++) {
      const n = this.#hitsByZone[zone]!
      if (n === 0) continue
      countTime(counters, BLOCK.duration + cell(server, zone) * TIME_CELLS, seconds, n)
      this.#hitsByZone[zone] = 0
    }
  }
}

/** A query by TCP that waits for its answer. Made only then: closures in `single` itself would be made for hits, too. */
const asked = (
  wire: Buffer,
  head: Head,
  receivedAt: number,
  server: number,
  family: 0 | 1,
  respond: (response: Uint8Array) => void,
  watch: Watch | undefined,
  client: string,
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
  watch,
})
