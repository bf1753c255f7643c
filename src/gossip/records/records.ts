/**
 * The records of one node: publishing ours, merging those of others, replicating them, and serving reads. The
 * membership core uses it as its rider; the control plane reads and writes it. All calls are synchronous; long work is
 * done in small parts at each `poll`.
 *
 * This file is long, because it is the whole interface of this folder: half of it is types and calls that are passed
 * on.
 */
import type { MemberEvent, Rider, RiderSend } from '../rider.ts'
import type { Delta } from './delta.ts'
import { HotQueue } from './hot-queue.ts'
import { Merger, type Verdict } from './merge.ts'
import { DELTAS, readMessage } from './message.ts'
import { Own } from './own.ts'
import { isGone, type Owner, type Presence as State } from './owner.ts'
import { type PeerRoster, Peers } from './peers.ts'
import { Presence } from './presence.ts'
import { Repair } from './repair.ts'
import { Replica, type Work } from './replica.ts'
import { pieces, readSnapshot } from './snapshot.ts'
import {
  type Cap,
  type Counts,
  defaultLimits,
  type Entry,
  type Key,
  type Kind,
  kindOf,
  type Limits,
  zeroCounts,
} from './types.ts'
import { View } from './view.ts'

/** Limit of entries merged, and of changed keys reported, in one poll: about 2 ms. */
const MERGE_STEPS = 1_500
const TELL_KEYS = 1_000
/** A packet above this size is merged in several turns. */
const LARGE_PACKET = 4_096
const IDLE_MS = 1_000

export type RecordsOptions = {
  /** Our name in the member list. */
  readonly self: string
  /** Milliseconds that only grow. */
  readonly now: () => number
  /** 0 ≤ random() < 1. */
  readonly random: () => number
  /** Seconds since 1970 at start: our first epoch, unless a previous one of ours is higher. */
  readonly epoch: number
  /**
   * Called with each epoch before anything of it is sent. The next process needs a higher one: two states under one
   * epoch would be taken for one.
   */
  readonly onEpoch?: (epoch: number) => void
  readonly limits?: Partial<Limits>
  /**
   * Whether an owner may fill this name. Refused entries are replicated and counted, but never shown. Default:
   * always.
   */
  readonly allow?: (key: Key, owner: string) => boolean
  /** Whether there are seeds to wait for before the records count as synced. Default true. */
  readonly seeds?: boolean
  /** Called when a cap refuses records of an owner: ours (see `waiting` in the stats) or another's. */
  readonly onRefused?: (owner: string, cap: Cap) => void
  /**
   * Called when something is published while nothing waits, so that `poll` is called soon. Must not call `poll`
   * itself.
   */
  readonly wake?: () => void
  /** Initial peers, shared between simulated nodes. Default: none; peers are learned from member events. */
  readonly roster?: PeerRoster
}

export type OwnerInfo = {
  readonly name: string
  readonly epoch: number
  readonly version: number
  readonly entries: number
  readonly bytes: number
  readonly presence: State
  readonly held: boolean
  readonly stale: boolean
}

export type RecordsStats = Counts & {
  readonly entries: number
  readonly tombstones: number
  readonly keys: number
  readonly owners: number
  /** Octets of keys and values, and octets allocated for them. */
  readonly bytes: number
  readonly reserved: number
  readonly peers: number
  readonly queued: number
  /** Our records that the caps refuse. */
  readonly waiting: number
  /** Merges that wait for their turn, and changed keys that were not reported yet. */
  readonly backlog: number
  readonly untold: number
  readonly synced: boolean
  readonly holding: boolean
}

export class Records implements Rider {
  readonly #self: string
  readonly #now: () => number
  readonly #limits: Limits
  readonly #counts: Counts = zeroCounts()
  readonly #replica: Replica
  readonly #merger: Merger
  readonly #peers: Peers
  readonly #presence: Presence
  readonly #own: Own
  readonly #hot: HotQueue
  readonly #repair: Repair
  readonly #view: View
  #work: Work[] = []
  #restored = false

  constructor(options: RecordsOptions) {
    const { self, now, random, epoch, allow, onRefused = () => {} } = options
    const limits = (this.#limits = { ...defaultLimits, ...options.limits })
    const counts = this.#counts
    this.#self = self
    this.#now = now
    const peers = (this.#peers = new Peers(random, self, options.roster))
    this.#presence = new Presence({ self, replica: () => this.#replica, peers, limits, counts })
    this.#replica = new Replica({
      limits,
      counts,
      seed: Math.floor(random() * 2 ** 32),
      onOwner: owner => this.#presence.onOwner(owner),
      allow: (code, name, owner) => {
        const kind = kindOf(code)
        return kind !== undefined && (!allow || allow({ kind, name }, owner))
      },
    })
    this.#merger = new Merger(this.#replica, limits, counts, onRefused)
    this.#hot = new HotQueue(this.#replica, peers, limits, counts, random)
    const start = now()
    this.#own = new Own({
      name: self,
      epoch,
      replica: this.#replica,
      limits,
      counts,
      now: start,
      heard: now => this.#repair.sync.heard(now),
      onEpoch: options.onEpoch ?? (() => {}),
      onPut: options.wake ?? (() => {}),
      onBatch: (owner, from, to) => this.#hot.add(owner, from, to, 0, this.#now()),
      onRefused: cap => onRefused(self, cap),
    })
    this.#repair = new Repair({
      self,
      replica: this.#replica,
      peers,
      presence: this.#presence,
      own: this.#own,
      limits,
      counts,
      seeds: options.seeds ?? true,
      now: start,
      take: (from, deltas, spread) => void this.#work.push(this.#takeAll(from, deltas, spread)),
      pending: () => this.#work.length > 0,
      onDiffer: (peer, now) => this.#hot.offer(peer, now),
    })
    this.#view = new View(this.#replica, () => this.synced)
  }

  // For the control plane.

  /**
   * Sets one of our keys; it is sent within 100 ms together with other changes. Returns false if the entry is
   * invalid. An entry that a cap refuses waits for room, and `onRefused` is called.
   */
  publish(key: Key, value: Uint8Array): boolean {
    return this.#own.put(key, value, this.#now())
  }

  /** Removes one of our keys. */
  withdraw(key: Key): boolean {
    return this.#own.put(key, undefined, this.#now())
  }

  /**
   * All shown entries of a kind, unordered: for each name those of its live owners, or of dead owners if none is
   * alive.
   */
  entries(kind: Kind): Generator<Entry> {
    return this.#view.entries(kind)
  }

  /** The entries shown under one key. */
  lookup(key: Key): Entry[] {
    return this.#view.lookup(key)
  }

  /**
   * Calls the listener with keys whose entries may have changed, at most 1,000 at a time. The returned function
   * unsubscribes it.
   */
  onChange(listener: (keys: readonly Key[]) => void): () => void {
    return this.#view.onChange(listener)
  }

  /** Another node had our name: what we publish gets this epoch, or the next one, so that it replaces the other's. */
  renew(epoch: number): void {
    this.#own.renew(epoch)
  }

  /** Whether a name without records may be reported as nonexistent. */
  get synced(): boolean {
    return this.#repair.sync.done
  }

  /** Says that there are no peers to wait for: names that are not in the records do not exist. */
  alone(): void {
    this.#repair.sync.alone()
  }

  /** Our epoch. */
  get epoch(): number {
    return this.#own.epoch
  }

  /** Owners with records, unordered. */
  *owners(): Generator<OwnerInfo> {
    for (const o of this.#replica.owners.values())
      if (o.version > 0)
        yield {
          name: o.name,
          epoch: o.epoch,
          version: o.version,
          entries: o.count,
          bytes: o.bytes,
          presence: o.presence,
          held: o.held,
          stale: o.restored && !this.synced,
        }
  }

  stats(): RecordsStats {
    const { table, entries, owners } = this.#replica
    return {
      ...this.#counts,
      refused: { ...this.#counts.refused },
      entries,
      tombstones: table.rows - entries,
      keys: table.keys.count,
      owners: owners.size,
      bytes: table.bytes,
      reserved: table.slabs.reserved,
      peers: this.#peers.count,
      queued: this.#hot.length,
      waiting: this.#own.waiting,
      backlog: this.#work.length,
      untold: this.#view.pending,
      synced: this.synced,
      holding: this.#presence.holding,
    }
  }

  /**
   * The records for the disk, in pieces of about 32 kB; each piece is the work of one turn. `wallMs`: since 1970.
   */
  pieces(wallMs: number): Generator<Buffer> {
    return pieces(
      this.#self,
      this.epoch,
      this.#replica,
      owner => this.#presence.gone(owner, this.#now()),
      wallMs,
    )
  }

  /** Equal for two moments at which `pieces` has the same content, apart from the time in it. */
  get fingerprint(): string {
    const { digest, entries, owners } = this.#replica
    // Whether an owner is gone is stored, too, and one whose records are just being merged is left out.
    const special = [...owners.values()].filter(owner => owner.busy || isGone(owner))
    const states = special.map(({ name, busy, presence }) => `${busy} ${presence} ${name}`)
    return [digest.root(true, owners.size, entries).toString('hex'), ...states].join('\n')
  }

  toBytes(wallMs: number): Buffer {
    return Buffer.concat([...this.pieces(wallMs)])
  }

  /**
   * Loads a snapshot; call it before any message is received. Returns the number of entries, -1 if the bytes are not
   * a snapshot.
   */
  fromBytes(bytes: Uint8Array, wallMs: number): number {
    const now = this.#now()
    const found = readSnapshot(bytes, this.#limits.valueBytes, wallMs)
    if (!found) return -1
    for (const delta of found.deltas) {
      finish(this.#merger.merge(delta, now))
      const owner = this.#replica.owners.get(delta.owner)
      if (owner) owner.restored = true
    }
    for (const item of found.gone) {
      const owner = this.#replica.byHash(item.hash)
      if (owner)
        this.#presence.restore(owner, Math.max(0, item.goneMs) + found.ageMs, item.left, now)
    }
    this.#restored = true
    return this.#replica.entries
  }

  // For the membership core.

  digest(): Uint8Array {
    const { digest, owners, entries } = this.#replica
    return digest.root(this.synced, owners.size, entries)
  }

  onDigest(from: string, digest: Uint8Array, now: number): void {
    this.#repair.onRoot(from, digest, now)
  }

  onPacket(from: string, body: Uint8Array, now: number): void {
    this.#counts.packetsIn++
    this.#counts.bytesIn += body.length
    const large = body.length > LARGE_PACKET
    // A message that is processed later must not stay in the receive buffer, which is reused.
    const message = readMessage(large ? Buffer.from(body) : body, this.#limits.valueBytes)
    if (typeof message === 'string') this.#counts.refused[message]++
    else if (message.type !== DELTAS) this.#repair.onMessage(from, message, now)
    else if (large) this.#work.push(this.#takeAll(from, message.deltas, true))
    else for (const delta of message.deltas) finish(this.#take(from, delta, true))
  }

  onStreamRequest(_from: string, body: Uint8Array, now: number): Uint8Array | undefined {
    this.#counts.streamsIn++
    this.#counts.streamBytesIn += body.length
    const response = this.#repair.responder.stream(body, now)
    this.#counts.streamBytesOut += response?.length ?? 0
    return response
  }

  onStreamResponse(_from: string, token: number, body: Uint8Array | undefined, now: number): void {
    this.#counts.streamBytesIn += body?.length ?? 0
    this.#repair.onStreamResponse(token, body, now)
  }

  onMember(event: MemberEvent, now: number): void {
    this.#presence.onMember(event, now)
  }

  poll(now: number): { sends: readonly RiderSend[]; nextMs: number } {
    const sends: RiderSend[] = []
    this.#own.poll(now)
    this.#step()
    this.#presence.sweep(now, job => void this.#work.push(job))
    this.#replica.forgetOld(now, MERGE_STEPS)
    this.#hot.poll(now, sends)
    const repairMs = this.#repair.poll(now, sends)
    if (this.#restored && this.synced) this.#confirm()
    if (this.#view.pending > 0) this.#view.tell(TELL_KEYS)
    for (const send of sends) this.#countSend(send)
    if (this.#work.length > 0 || this.#view.pending > 0) return { sends, nextMs: 0 }
    // The sweep is not waited for: each call that is due anyway makes it, and one comes within IDLE_MS.
    const dueMs = Math.min(this.#own.dueAt, this.#hot.dueAt) - now
    return { sends, nextMs: Math.max(0, Math.min(IDLE_MS, dueMs, repairMs)) }
  }

  // Internals.

  /** Does a part of the waiting work. */
  #step(): void {
    for (let steps = MERGE_STEPS; steps > 0 && this.#work.length > 0; steps--)
      if ((this.#work[0] as Work).next().done) this.#work.shift()
  }

  *#takeAll(from: string, deltas: readonly Delta[], spread: boolean): Work {
    for (const delta of deltas) {
      yield* this.#take(from, delta, spread)
      yield
    }
  }

  /** Merges one delta and handles the result. */
  *#take(from: string, delta: Delta, spread: boolean): Work {
    const now = this.#now()
    const counts = this.#counts
    counts.deltasIn++
    if (delta.owner === this.#self && this.#own.opened) {
      this.#own.outbid(delta.epoch, delta.to, now)
      return
    }
    const before = this.#replica.owners.get(delta.owner)
    const since = before?.epoch === delta.epoch ? before.version : 0
    const verdict: Verdict = yield* this.#merger.merge(delta, now)
    if (verdict === 'old') counts.deltasOld++
    else if (verdict === 'gap') {
      counts.deltasGap++
      this.#repair.onGap(delta, from, now)
    } else if (verdict === 'applied' && spread) {
      const owner = this.#replica.owners.get(delta.owner) as Owner
      if (!owner.quiet) this.#hot.add(owner, since, owner.version, delta.age, now)
      if (delta.age === 0) return
      counts.lagCount++
      counts.lagSumMs += delta.age
      counts.lagMaxMs = Math.max(counts.lagMaxMs, delta.age)
    }
  }

  /** After the first sync, entries from disk are no longer marked as stale. */
  #confirm(): void {
    this.#restored = false
    for (const owner of this.#replica.owners.values()) {
      if (!owner.restored) continue
      owner.restored = false
      this.#replica.touch(owner)
    }
  }

  #countSend(send: RiderSend): void {
    if (send.via === 'packet') {
      this.#counts.packetsOut++
      this.#counts.bytesOut += send.body.length
    } else {
      this.#counts.streamsOut++
      this.#counts.streamBytesOut += send.body.length
    }
  }
}

const finish = <T>(work: Work<T>): T => {
  for (;;) {
    const step = work.next()
    if (step.done) return step.value
  }
}

/** Creates the records of one node. */
export const createRecords = (options: RecordsOptions): Records => new Records(options)
