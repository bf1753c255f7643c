/**
 * Finds and fetches what pushes missed. One exchange at a time: it compares buckets with a peer whose digest differed
 * for over a second, compares the owners in the buckets that differ, requests what we lack, and sends what the peer
 * lacks. Small exchanges use packets; one without an answer, or with too large an answer, continues by stream. A
 * joiner's first sync is the same exchange, by stream and at once.
 *
 * This file is long, because it is one state machine: each stage of an exchange changes the same few fields.
 */
import type { RiderSend } from '../rider.ts'
import { answerWant, bucketsMessage, type Road, wantMessage } from './answers.ts'
import { Behind, type Target } from './behind.ts'
import { compare } from './compare.ts'
import { type Delta, writeNotice } from './delta.ts'
import { BUCKET_COUNT, readRoot } from './digest.ts'
import { seal, unseal } from './envelope.ts'
import { ownerHash } from './hash.ts'
import {
  begin,
  BUCKETS,
  DELTAS,
  LARGE,
  type Listed,
  type Message,
  OWNERS,
  type OwnersMessage,
  PACKET,
  readMessage,
  WANT,
  writeField,
} from './message.ts'
import { Writer } from './octets.ts'
import { isNewer, type Owner } from './owner.ts'
import type { Own } from './own.ts'
import type { Peers } from './peers.ts'
import type { Presence } from './presence.ts'
import type { Replica } from './replica.ts'
import { Responder } from './responder.ts'
import { SyncState } from './sync-state.ts'
import type { Counts, Limits } from './types.ts'

/** A digest must differ for this long before we act, because a push may be on its way. */
const PATIENCE_MS = 1_000
/** Shortest interval between exchanges; it grows up to the second number while exchanges change nothing. */
const INTERVAL_MS = 1_000
const INTERVAL_MOST_MS = 16_000
/** The interval after an owner announced a change that needs a stream: this is news, not repair. */
const NOTICE_INTERVAL_MS = 100
/** How long to wait for an answer to a packet, and how often to ask before a stream is used. */
const PACKET_WAIT_MS = 150
const PACKET_TRIES = 3
const STREAM_WAIT_MS = 5_000
/** Limit of owners requested at once. */
const PACKET_WANTS = 60
const STREAM_WANTS = 512

type Run = {
  readonly peer: string
  road: Road
  stage: 'buckets' | 'want' | 'apply'
  wants: Map<number, Target>
  askedAt: number
  token: number
  /** Packets without an answer, and pages without anything new. */
  tries: number
  stalls: number
  rounds: number
  /** Whether the exchange changed one of the two sides. */
  moved: boolean
  peerSynced: boolean
  /** The peer has more buckets to report after these. */
  more: boolean
  /** Whether the result is news that should be pushed on; false if we only catch up. */
  readonly spread: boolean
}

type Options = {
  self: string
  replica: Replica
  peers: Peers
  presence: Presence
  own: Own
  limits: Limits
  counts: Counts
  seeds: boolean
  now: number
  /** Merges deltas in turns, and pushes them on if `spread`; `pending` tells whether some still wait. */
  take: (from: string, deltas: readonly Delta[], spread: boolean) => void
  pending: () => boolean
  /** Called when a synced peer's digest differs from ours: our latest deltas may help it. */
  onDiffer: (peer: string, now: number) => void
}

export class Repair {
  readonly #o: Options
  readonly #selfHash: number
  readonly #behind = new Behind()
  readonly sync: SyncState
  readonly responder: Responder
  #run: Run | undefined
  #sends: RiderSend[] = []
  #token = 0
  /** Since when digests have differed without an equal one in between, and the last peer with a different one. */
  #differsSince = Infinity
  #differsFrom = ''
  /** The last exchange changed something and no digest has been equal since: the next one need not wait. */
  #hasty = false
  #startedAt = -Infinity
  #interval = INTERVAL_MS
  #wakeAt = Infinity

  constructor(options: Options) {
    this.#o = options
    this.#selfHash = ownerHash(options.self)
    this.sync = new SyncState(options.seeds, options.now, () => options.peers.count)
    this.responder = new Responder({ ...options, synced: () => this.sync.done })
  }

  /** Handles a peer's root digest. */
  onRoot(from: string, octets: Uint8Array, now: number): void {
    const root = readRoot(octets)
    if (!root) return
    const { counts, replica } = this.#o
    if (root.high === replica.digest.high && root.low === replica.digest.low) {
      counts.digestsEqual++
      this.#differsSince = Infinity
      this.#hasty = false
      return
    }
    // A node that has just started requests what it lacks by itself.
    if (!root.synced || !this.sync.done) return
    counts.digestMismatches++
    if (this.#differsSince === Infinity) this.#differsSince = this.#hasty ? now - PATIENCE_MS : now
    this.#differsFrom = from
    this.#o.onDiffer(from, now)
  }

  /** A delta left a gap. */
  onGap(delta: Delta, from: string, now: number): void {
    this.#behind.add(delta, from, now)
  }

  /** Handles a message other than deltas, from a packet. */
  onMessage(from: string, message: Message, now: number): void {
    switch (message.type) {
      case BUCKETS:
      case WANT:
        // A body of two octets is an empty list of deltas.
        for (const body of this.responder.packets(message, now))
          if (body.length > 2) this.#sends.push({ via: 'packet', to: from, body })
        return
      case OWNERS:
        if (this.#run?.peer === from && this.#run.stage !== 'apply')
          this.#onOwners(this.#run, message, now)
        return
      case LARGE:
        if (this.#run?.peer === from && this.#run.road === 'packet')
          this.#ask(this.#run, 'stream', now)
    }
  }

  onStreamResponse(token: number, body: Uint8Array | undefined, now: number): void {
    const run = this.#run
    // Tokens are never reused, so an answer to an older question is ignored.
    if (!run || run.token !== token) return
    run.token = 0
    const messages = body && unseal(body)
    if (!messages) {
      if (body) this.#o.counts.refused.malformed++
      this.#finish(run, false, now)
      return
    }
    for (const octets of messages) {
      const message = readMessage(octets, this.#o.limits.valueBytes)
      if (typeof message === 'string') this.#o.counts.refused[message]++
      else if (message.type === DELTAS) this.#o.take(run.peer, message.deltas, run.spread)
      else if (message.type === OWNERS && run.stage === 'buckets') this.#onOwners(run, message, now)
    }
    // Unless the comparison led to the next question.
    if (run.token === 0) run.stage = 'apply'
  }

  /** The peer listed its owners in the buckets that differ: request and send what is missing. */
  #onOwners(run: Run, message: OwnersMessage, now: number): void {
    const { replica, presence, own } = this.#o
    const { wants, ahead, gone } = compare(replica, presence, message, now)
    run.peerSynced = message.synced
    run.more = message.more
    for (const item of wants) {
      if (item.hash === this.#selfHash && own.opened) own.outbid(item.epoch, item.version, now)
      else run.wants.set(item.hash, item)
    }
    if (ahead.length > 0) this.#push(run, ahead)
    if (gone.length > 0)
      this.#sends.push({
        via: 'packet',
        to: run.peer,
        body: wantMessage([], gone.slice(0, PACKET_WANTS)),
      })
    run.stage = 'want'
    if (run.wants.size > 0) this.#ask(run, run.wants.size > PACKET_WANTS ? 'stream' : run.road, now)
    // More packets of the same answer may follow; a stream has only one.
    else if (run.road === 'stream') this.#next(run, now)
  }

  /** Sends what a peer lacks by packets; if that is too much, only announces it, and the peer asks by stream. */
  #push(run: Run, ahead: readonly (readonly [owner: Owner, from: number])[]): void {
    run.moved = true
    let bodies = answerWant(this.#o.replica, ahead, 'packet')
    if (bodies === 'large') {
      const w = new Writer()
      const part = new Writer()
      begin(w, DELTAS)
      for (const [owner, from] of ahead) {
        part.at = 0
        writeNotice(part, owner, from, owner.version, 0)
        if (w.at + part.at + 4 > PACKET) break
        writeField(w, 1, part.bytes.subarray(0, part.at))
      }
      bodies = [w.done()]
    }
    for (const body of bodies)
      if (body.length > 2) this.#sends.push({ via: 'packet', to: run.peer, body })
  }

  #begin(
    peer: string,
    road: Road,
    stage: Run['stage'],
    now: number,
    wants = new Map<number, Target>(),
    spread = false,
  ): void {
    this.#run = {
      peer,
      road,
      stage,
      wants,
      askedAt: now,
      token: 0,
      tries: 0,
      stalls: 0,
      rounds: 0,
      moved: false,
      peerSynced: false,
      more: false,
      spread,
    }
    this.#startedAt = now
    this.#differsSince = Infinity
    this.#o.counts.exchanges++
    this.#ask(this.#run, road, now)
  }

  /** Sends the question of the current stage. */
  #ask(run: Run, road: Road, now: number): void {
    const { replica } = this.#o
    run.road = road
    run.askedAt = now
    let body: Buffer
    if (run.stage === 'buckets') body = bucketsMessage(replica)
    else {
      run.stage = 'want'
      const list: Listed[] = []
      for (const hash of run.wants.keys()) {
        const owner = replica.byHash(hash)
        list.push({
          hash,
          epoch: owner?.epoch ?? 0,
          version: owner?.version ?? 0,
          goneMs: -1,
          left: false,
        })
        if (list.length >= (road === 'packet' ? PACKET_WANTS : STREAM_WANTS)) break
      }
      body = wantMessage(list, [])
    }
    if (road === 'packet') this.#sends.push({ via: 'packet', to: run.peer, body })
    else {
      run.token = ++this.#token
      this.#sends.push({ via: 'stream', to: run.peer, body: seal([body]), token: run.token })
    }
  }

  /** Removes wants that are satisfied; returns whether there were any. */
  #settle(run: Run, now: number): boolean {
    const before = run.wants.size
    for (const [hash, target] of run.wants) {
      const owner = this.#o.replica.byHash(hash)
      if (owner && (!isNewer(owner, target.epoch, target.version) || owner.blockedUntil > now))
        run.wants.delete(hash)
    }
    if (run.wants.size < before) run.moved = true
    return run.wants.size < before
  }

  /** All reported owners are settled: continue with the remaining buckets, if there are any. */
  #next(run: Run, now: number): void {
    // Each round settles some buckets, so more rounds than buckets show a faulty peer.
    if (!run.more || ++run.rounds > BUCKET_COUNT) return this.#finish(run, true, now)
    run.more = false
    run.stalls = 0
    run.stage = 'buckets'
    this.#ask(run, 'stream', now)
  }

  #finish(run: Run, ok: boolean, now: number): void {
    this.#run = undefined
    if (!ok) this.#o.counts.exchangesFailed++
    this.#hasty = run.moved
    this.#interval = run.moved ? INTERVAL_MS : Math.min(INTERVAL_MOST_MS, this.#interval * 2)
    this.sync.onExchange(run.peer, ok, run.peerSynced, now)
  }

  /** Adds what to send to `sends`; returns when to call again, in ms from `now`. */
  poll(now: number, sends: RiderSend[]): number {
    this.#wakeAt = Infinity
    const { peers } = this.#o
    this.sync.poll(now, () => peers.count > 0 && this.#learnt())
    if (this.#run) this.#continue(this.#run, now)
    if (!this.#run && !this.#o.pending() && peers.count > 0) this.#start(now)
    if (this.#sends.length > 0) {
      sends.push(...this.#sends)
      this.#sends = []
    }
    return this.#wakeAt - now
  }

  #learnt(): boolean {
    for (const { name, version, restored } of this.#o.replica.owners.values())
      if (name !== this.#o.self && version > 0 && !restored) return true
    return false
  }

  #continue(run: Run, now: number): void {
    if (run.stage === 'apply') {
      if (this.#o.pending()) return
      if (!this.#settle(run, now)) run.stalls++
      if (run.wants.size === 0) this.#next(run, now)
      else if (run.stalls > 1) this.#finish(run, false, now)
      else this.#ask(run, 'stream', now)
      return
    }
    if (run.road === 'packet' && run.stage === 'want') {
      this.#settle(run, now)
      if (run.wants.size === 0 && now - run.askedAt >= PACKET_WAIT_MS / 2)
        return this.#finish(run, true, now)
    }
    const deadline = run.askedAt + (run.road === 'packet' ? PACKET_WAIT_MS : STREAM_WAIT_MS)
    if (now < deadline) this.#wakeAt = Math.min(this.#wakeAt, deadline)
    else if (run.road === 'packet')
      this.#ask(run, ++run.tries < PACKET_TRIES ? 'packet' : 'stream', now)
    else this.#finish(run, false, now)
  }

  #start(now: number): void {
    const first = this.sync.wanted(now)
    if (first) {
      const peer = this.#o.peers.one(this.sync.lastPeer)
      if (peer !== undefined) this.#begin(peer, first, 'buckets', now)
      return
    }
    this.#wakeAt = Math.min(this.#wakeAt, this.sync.dueAt)
    this.#startBehind(now)
    if (this.#run || this.#differsSince === Infinity) return
    const dueAt = Math.max(this.#differsSince + PATIENCE_MS, this.#startedAt + this.#interval)
    if (now < dueAt) this.#wakeAt = Math.min(this.#wakeAt, dueAt)
    else this.#begin(this.#differsFrom, 'packet', 'buckets', now)
  }

  /** Requests what is known to be missing from the peer that has it. */
  #startBehind(now: number): void {
    const due = this.#behind.due(this.#o.replica)
    if (!due) return
    const interval = due.notice ? NOTICE_INTERVAL_MS : INTERVAL_MS
    const at = Math.max(due.at, this.#startedAt + interval)
    if (now < at) {
      this.#wakeAt = Math.min(this.#wakeAt, at)
      return
    }
    this.#behind.clear()
    const peer = this.#o.peers.has(due.peer) ? due.peer : (this.#o.peers.one() as string)
    const road = due.notice || due.wants.size > PACKET_WANTS ? 'stream' : 'packet'
    this.#begin(peer, road, 'want', now, due.wants, true)
  }
}
