/**
 * Pushes new deltas to other nodes: to 6 random peers after a batching window of 20 ms, then to 3 others every 200
 * ms, until each delta was sent T times; T is 2 to 3 times the number of digits of the ring's size. It has its own
 * byte budget, so that membership and records cannot starve each other. Over the budget the oldest deltas are
 * dropped, and the digest repairs the loss.
 *
 * A delta that was sent often enough is kept for some seconds: a peer whose digest differs gets the latest ones at
 * once, which is faster than a repair.
 *
 * An item stores the versions and the owner, not the encoded delta. It is encoded when it is sent, so a waiting item
 * never becomes outdated.
 */
import type { RiderSend } from '../rider.ts'
import { writeDelta, writeNotice } from './delta.ts'
import { begin, DELTAS, PACKET, writeField } from './message.ts'
import { Writer } from './octets.ts'
import type { Owner } from './owner.ts'
import type { Peers } from './peers.ts'
import type { Replica } from './replica.ts'
import type { Counts, Limits } from './types.ts'

const EAGER_MS = 20
const TICK_MS = 200
const FANOUT = 3
/**
 * Peers of the first sending, while there is budget. After 3 peers each, one node in 16 is missed and must wait for
 * ticks; after 6, one in 400. The total cost is equal, because fewer sends remain for the ticks.
 */
const EAGER_FANOUT = 6
/**
 * A small ring is treated like one of 1,000 nodes, because with fewer sends an update often misses a node,
 * especially on a bad network.
 */
const DIGITS_LEAST = 4
/** Limit of waiting items; beyond it the oldest are dropped. */
const MAX_ITEMS = 1_024
/**
 * Items of one owner are merged while the result stays below this size, so that the order of packets hardly matters.
 */
const JOIN_BYTES = 600
/** Limits of packets for one item, and for one peer in one tick. */
const MAX_PIECES = 2
const TICK_PACKETS = 3
/** Header octets: type and version of a packet; and those with the tag and length of a delta. */
const HEAD = 2
const FRAME = 6

/** How long deltas are kept after they were sent, and how many octets of them. */
const RECENT_MS = 5_000
const MAX_RECENT = 32

type Item = {
  readonly owner: Owner
  readonly epoch: number
  from: number
  to: number
  born: number
  sends: number
}
type Packet = { readonly body: Buffer; readonly items: Item[] }

export class HotQueue {
  readonly #replica: Replica
  readonly #peers: Peers
  readonly #counts: Counts
  readonly #rate: number
  readonly #random: () => number
  #fresh: Item[] = []
  #spread: Item[] = []
  #recent: Item[] = []
  #offers: string[] = []
  #freshAt = Infinity
  #tickAt = Infinity
  #tokens: number
  #filledAt = 0
  readonly #out = new Writer()
  readonly #part = new Writer()

  constructor(
    replica: Replica,
    peers: Peers,
    limits: Limits,
    counts: Counts,
    random: () => number,
  ) {
    this.#replica = replica
    this.#peers = peers
    this.#counts = counts
    this.#random = random
    this.#rate = limits.hotBytes
    this.#tokens = limits.hotBytes
  }

  get length(): number {
    return this.#fresh.length + this.#spread.length
  }

  get dueAt(): number {
    return this.#offers.length > 0 ? 0 : Math.min(this.#freshAt, this.#tickAt)
  }

  /** A peer's digest differs: send it our latest deltas. */
  offer(peer: string, now: number): void {
    this.#recent = this.#recent.filter(item => now - item.born < RECENT_MS).slice(-MAX_RECENT)
    if (this.#recent.length + this.#spread.length > 0 && !this.#offers.includes(peer))
      this.#offers.push(peer)
  }

  /** An owner changed in (from, to], `age` ms ago. */
  add(owner: Owner, from: number, to: number, age: number, now: number): void {
    const { epoch } = owner
    const born = now - age
    if (this.#freshAt === Infinity) this.#freshAt = now + EAGER_MS
    if (from > 0) {
      for (const list of [this.#fresh, this.#spread]) {
        const i = list.findIndex(
          item => item.owner === owner && item.epoch === epoch && item.to === from,
        )
        const item = list[i]
        if (!item || this.#sizeSince(owner, item.from) > JOIN_BYTES) continue
        list.splice(i, 1)
        this.#fresh.push({ owner, epoch, from: item.from, to, born, sends: 0 })
        return
      }
    }
    this.#fresh.push({ owner, epoch, from, to, born, sends: 0 })
    if (this.length > MAX_ITEMS) this.#giveUpOldest()
  }

  #giveUpOldest(): void {
    const list = this.#spread.length > 0 ? this.#spread : this.#fresh
    let oldest = 0
    list.forEach((item, i) => {
      if (item.born < (list[oldest] as Item).born) oldest = i
    })
    list.splice(oldest, 1)
    this.#counts.hotDropped++
  }

  #sizeSince(owner: Owner, version: number): number {
    const { table } = this.#replica
    let size = 0
    for (
      let e = owner.tail;
      e !== 0 && (table.version[e] as number) > version && size <= JOIN_BYTES;
      e = table.before[e] as number
    )
      size +=
        (table.length[e] as number) + (table.keys.length[table.key[e] as number] as number) + 6
    return size
  }

  poll(now: number, sends: RiderSend[]): void {
    if (now < this.dueAt) return
    this.#tokens = Math.min(
      this.#rate,
      this.#tokens + ((now - this.#filledAt) * this.#rate) / 1_000,
    )
    this.#filledAt = now
    for (const peer of this.#offers)
      this.#push([...this.#spread, ...this.#recent.toReversed()], now, sends, 1, [peer])
    this.#offers = []
    if (now >= this.#freshAt) {
      this.#freshAt = Infinity
      const fresh = this.#fresh
      this.#fresh = []
      // Newest first: when the budget ends, the oldest items are dropped.
      const peers = this.#peers.some(this.#rich ? EAGER_FANOUT : FANOUT)
      this.#push(fresh.reverse(), now, sends, Infinity, peers)
      this.#spread.push(...fresh)
      // Starts at a random moment of the first interval. If all nodes ticked at the same time, the last few nodes
      // would wait for a whole interval.
      if (this.#tickAt === Infinity) this.#tickAt = now + this.#random() * TICK_MS
    }
    if (now >= this.#tickAt) {
      this.#tickAt = now + TICK_MS
      this.#spread.sort((a, b) => a.sends - b.sends || b.born - a.born)
      this.#push(this.#spread, now, sends, TICK_PACKETS)
    }
    const enough = this.#wanted()
    for (const item of this.#spread)
      if (item.sends >= enough && item.sends !== Infinity) this.#recent.push(item)
    this.#spread = this.#spread.filter(item => item.sends < enough && now - item.born < RECENT_MS)
    if (this.#spread.length === 0) this.#tickAt = Infinity
  }

  /** How often to send each item. */
  #wanted(): number {
    const digits = Math.max(DIGITS_LEAST, Math.ceil(Math.log10(this.#peers.count + 2)))
    return digits * (this.#rich ? 3 : 2)
  }

  /** Whether there is spare budget. */
  get #rich(): boolean {
    return this.#tokens > this.#rate / 2
  }

  #push(
    items: readonly Item[],
    now: number,
    sends: RiderSend[],
    most: number,
    peers = this.#peers.some(FANOUT),
  ): void {
    if (peers.length === 0) {
      // There is no peer; a node that joins later requests everything.
      for (const item of items) item.sends = Infinity
      return
    }
    const { packets, done } = this.#pack(items, now, most)
    let starved = false
    for (const { body, items: inside } of packets) {
      for (const to of peers) {
        if (this.#tokens < body.length) {
          starved = true
          break
        }
        this.#tokens -= body.length
        sends.push({ via: 'packet', to, body })
        this.#counts.deltasOut += inside.length
        for (const item of inside) item.sends++
      }
    }
    if (starved) {
      for (const { items: inside } of packets)
        for (const item of inside) {
          if (item.sends > 0) continue
          item.sends = Infinity
          this.#counts.hotDropped++
        }
    }
    for (const item of done) item.sends = Infinity
  }

  /** As many items as fit into `most` packets; `done` are those that no longer need to be sent. */
  #pack(items: readonly Item[], now: number, most: number): { packets: Packet[]; done: Item[] } {
    const packets: Packet[] = []
    const done: Item[] = []
    const w = this.#out
    let inside: Item[] = []
    begin(w, DELTAS)
    const close = (): void => {
      if (w.at > HEAD) packets.push({ body: w.done(), items: inside })
      inside = []
      begin(w, DELTAS)
    }
    for (const item of items) {
      if (packets.length >= most) break
      const { owner } = item
      if (owner.epoch !== item.epoch || owner.quiet || this.#replica.byId(owner.id) !== owner)
        done.push(item)
      if (owner.busy || done.at(-1) === item) continue
      const pieces = this.#pieces(item, now)
      pieces.forEach((piece, i) => {
        if (w.at + piece.length + 4 > PACKET) close()
        writeField(w, 1, piece)
        // An item counts as sent with its last piece.
        if (i === pieces.length - 1) inside.push(item)
      })
    }
    close()
    return { packets, done }
  }

  /**
   * An item as deltas that fit into one packet each. A change too large for a packet is only announced; peers fetch
   * it by stream.
   */
  #pieces({ owner, from, to, born }: Item, now: number): Buffer[] {
    const pieces: Buffer[] = []
    for (let at = from; at < to;) {
      const part = this.#part
      part.at = 0
      const reached =
        pieces.length < MAX_PIECES
          ? writeDelta(part, this.#replica.table, owner, at, to, PACKET - FRAME, now - born)
          : 0
      if (reached === 0) {
        writeNotice(part, owner, from, to, now - born)
        return [part.done()]
      }
      pieces.push(part.done())
      at = reached
    }
    return pieces
  }
}
