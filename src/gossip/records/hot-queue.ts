/**
 * New deltas on their way out: to 6 random peers at once after a batching
 * window of 20 ms, then to 3 others every 200 ms until each was sent T times,
 * T being 2 to 3 times the digits of the ring's size. It has a byte budget of
 * its own, so that membership cannot starve it nor it membership; over the
 * budget the oldest are given up, and the digest repairs what they would have.
 *
 * What was sent often enough is kept for some seconds more: a peer whose
 * digest differs gets the latest news at once. At a quarter of datagrams lost
 * one update in eight misses some node of a thousand, and waiting for the
 * digest's own repair took that node up to 4.8 s.
 *
 * An item says which versions of which owner, not their octets: those are
 * written when it is sent, so an item waiting grows no staler.
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
 * Peers of the first sending, while the budget is there. What 3 each leave out
 * is one node in 16, which then waits for ticks; what 6 leave out is one in
 * 400. As the ticks then have less to do, an update costs the same: all of 30
 * nodes had it after 126 ms instead of 291, of 1,000 after 300 instead of 600.
 */
const EAGER_FANOUT = 6
/**
 * A small ring is treated as one of 1,000: with six sends of each of 30 nodes
 * one update in fifteen missed somebody, with twelve one in 5,000; and at a
 * quarter of datagrams lost among 100 nodes, one in 80 instead of one in nine.
 */
const DIGITS_LEAST = 4
/** Items waiting; beyond it the oldest go. */
const MAX_ITEMS = 1_024
/** Items of one owner are joined into one while they stay below this size, so that order hardly matters. */
const JOIN_BYTES = 600
/** Packets of one item, and packets to one peer in one tick. */
const MAX_PIECES = 2
const TICK_PACKETS = 3
/** Octets of a packet that are not its delta: type and version; with them a tag and a length. */
const HEAD = 2
const FRAME = 6

/** How long news is news, and how much of it is kept. */
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

  /** A peer lacks something, or has something: tell it our latest news. */
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
      // Newest first: when the budget ends, the oldest are what is left.
      const peers = this.#peers.some(this.#rich ? EAGER_FANOUT : FANOUT)
      this.#push(fresh.reverse(), now, sends, Infinity, peers)
      this.#spread.push(...fresh)
      // At a random point of the first interval: ticks of all nodes in step would leave the last few waiting for all of it.
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

  /** How often each item is to be sent. */
  #wanted(): number {
    const digits = Math.max(DIGITS_LEAST, Math.ceil(Math.log10(this.#peers.count + 2)))
    return digits * (this.#rich ? 3 : 2)
  }

  /** Whether there is budget to spare. */
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
      // Nobody to tell; whoever joins asks for all of it.
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

  /** As many items as fit into `most` packets; `done` are those there is nothing left to say of. */
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

  /** An item as deltas that fit a packet each; one too large for that is only announced, and fetched by stream. */
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
