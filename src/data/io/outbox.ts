/**
 * Datagrams waiting to be sent: a bounded store of copies, one queue per
 * socket through it, flushed with one sendmmsg per socket and turn. What the
 * kernel has no room for waits here for a later turn.
 */
import { Messages } from './arena.ts'
import { NAME_WORDS } from './inet.ts'
import type { InetPeer } from './inet.ts'
import { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, ENOMEM, MSG_DONTWAIT } from './libc.ts'
import type { Libc } from './libc.ts'
import { TX_SLOT } from './packet-io.ts'
import type { IoStats } from './packet-io.ts'
import { LIST, SendList } from './send-list.ts'

/** Datagrams taken or sent by one call. */
export const BATCH = LIST
/** Datagrams held at most: 1.6 MiB, of which only what is used becomes resident. */
const SLOTS = 1024
/** Datagrams one socket may hold of them, so that one without room leaves the others theirs. */
const SLOTS_PER_SOCKET = 512
/** How long a socket may be without room before its datagrams are given up; clients ask again after a second or more. */
const GIVE_UP_MS = 250
/** And how often it must have been tried by then: we may just have been kept from running. */
const GIVE_UP_TRIES = 20
/** Room for one pktinfo control message, and its alignment. */
export const CONTROL_BYTES = 64

/** A socket as the outbox sees it; the fields are the outbox's own. */
export class Sender {
  /** -1 once closed. */
  fd: number
  /** Whether the kernel reports ICMP errors here; such an error fails the next send, whoever it is for. */
  readonly reportsErrors: boolean
  /** Whether datagrams for the same peer may share a message; false for good once the kernel refused one. */
  joins: boolean
  head = -1
  tail = -1
  queued = 0
  dirty = false
  /** When the kernel first had no room, 0 while it has. */
  blockedSince = 0
  /** Failed tries since. */
  tries = 0

  constructor(fd: number, reportsErrors: boolean, joins: boolean) {
    this.fd = fd
    this.reportsErrors = reportsErrors
    this.joins = joins
  }
}

/** Whether a failed send may succeed a little later. */
export const isFull = (errno: number): boolean =>
  errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM

/**
 * Whether a message of several datagrams was refused for being one: the
 * device cannot sum them (EIO), they do not fit its MTU or the kernel is too
 * old (EINVAL, EMSGSIZE).
 */
export const cannotJoin = (errno: number): boolean =>
  errno === EIO || errno === EINVAL || errno === EMSGSIZE

/** Told of a datagram that could not be sent; `names` at word `at` holds its destination. */
export type OnFailedSend = (sender: Sender, errno: number, names: Int32Array, at: number) => void

export class Outbox {
  readonly #libc: Libc
  readonly #stats: IoStats
  readonly #failed: OnFailedSend
  readonly #messages: Messages
  readonly #next: Int32Array
  readonly #length = new Int32Array(SLOTS)
  readonly #controlLength = new Int32Array(SLOTS)
  readonly #list: SendList
  readonly #dirty: Sender[] = []
  #free = 0
  #blocked = false
  #now = 0

  constructor(libc: Libc, stats: IoStats, failed: OnFailedSend) {
    this.#libc = libc
    this.#stats = stats
    this.#failed = failed
    this.#messages = new Messages(libc, {
      headers: 0,
      packets: SLOTS,
      packetBytes: TX_SLOT,
      controlBytes: CONTROL_BYTES,
    })
    this.#list = new SendList(libc, this.#messages)
    this.#next = Int32Array.from({ length: SLOTS }, (_, i) => (i + 1 < SLOTS ? i + 1 : -1))
  }

  /** Whether something waits for room in the kernel. */
  get blocked(): boolean {
    return this.#blocked
  }

  /**
   * Queues a copy of bytes[at .. at + length) for a peer. Without a free slot
   * what is queued is sent first. False when there is still none.
   */
  put(sender: Sender, bytes: Uint8Array, at: number, length: number, peer: InetPeer): boolean {
    if (sender.queued >= SLOTS_PER_SOCKET) this.#send(sender, this.#now)
    else if (this.#free < 0) this.flush(this.#now)
    const slot = sender.queued < SLOTS_PER_SOCKET ? this.#free : -1
    if (slot < 0 || sender.fd < 0 || length > TX_SLOT) {
      this.#stats.sendDropped++
      return false
    }
    this.#free = this.#next[slot]!
    const m = this.#messages
    const to = m.packetAt[slot]!
    // A loop beats set(subarray()) at these sizes and makes no object.
    for (let i = 0; i < length; i++) m.bytes[to + i] = bytes[at + i]!
    peer.put(m.names, slot * NAME_WORDS)
    this.#length[slot] = length
    this.#controlLength[slot] = 0
    this.#append(sender, slot)
    return true
  }

  /** Gives the datagram queued last on this socket control data: the address it must leave from. */
  control(sender: Sender, bytes: Buffer, at: number, length: number): void {
    const slot = sender.tail
    bytes.copy(this.#messages.bytes, this.#messages.controlAt[slot]!, at, at + length)
    this.#controlLength[slot] = length
  }

  #append(sender: Sender, slot: number): void {
    this.#next[slot] = -1
    sender.queued++
    if (sender.tail < 0) sender.head = slot
    else this.#next[sender.tail] = slot
    sender.tail = slot
    if (!sender.dirty) {
      sender.dirty = true
      this.#dirty.push(sender)
    }
  }

  /** Sends what is queued; call once a turn. */
  flush(now: number): void {
    this.#now = now
    const dirty = this.#dirty
    if (dirty.length === 0) return
    this.#blocked = false
    let kept = 0
    for (let i = 0; i < dirty.length; i++) {
      const sender = dirty[i]!
      this.#send(sender, now)
      if (sender.head < 0) sender.dirty = false
      else dirty[kept++] = sender
    }
    dirty.length = kept
    this.#blocked = kept > 0
  }

  #send(sender: Sender, now: number): void {
    const list = this.#list
    let again = sender.reportsErrors
    while (sender.head >= 0) {
      this.#load(sender)
      let done = 0
      while (done < list.count) {
        const left = list.count - done
        const sent = this.#libc.sendmmsg(sender.fd, list.addressOf(done), left, MSG_DONTWAIT)
        this.#stats.sendCalls++
        if (sent > 0) {
          for (const end = done + sent; done < end; done++) {
            this.#stats.sent += list.packetsOf(done, this.#release)
          }
          unblock(sender)
          again = sender.reportsErrors
          continue
        }
        const errno = this.#libc.errno()
        if (errno === EINTR) continue
        if (list.isJoined(done) && cannotJoin(errno)) {
          sender.joins = false
          this.#unload(sender, done)
          break
        }
        if (isFull(errno)) {
          this.#unload(sender, done)
          this.#stats.sendRetried++
          if (sender.tries++ === 0) sender.blockedSince = now
          const long = now - sender.blockedSince > GIVE_UP_MS
          if (long && sender.tries > GIVE_UP_TRIES) this.forget(sender)
          return
        }
        if (again) {
          again = false
          continue
        }
        again = sender.reportsErrors
        this.#stats.sendDropped += list.packetsOf(done++, slot => {
          this.#failed(sender, errno, this.#messages.names, slot * NAME_WORDS)
          this.#release(slot)
        })
      }
    }
  }

  /** Takes the first datagrams of a queue into the list. */
  #load(sender: Sender): void {
    const list = this.#list
    list.clear()
    let slot = sender.head
    let n = 0
    for (; slot >= 0 && n < BATCH; slot = this.#next[slot]!, n++) {
      list.add(slot, this.#length[slot]!, this.#controlLength[slot]!, sender.joins)
    }
    list.seal()
    sender.head = slot
    sender.queued -= n
    if (slot < 0) sender.tail = -1
  }

  /** Puts what the list still holds, from this message on, back before the queue. */
  #unload(sender: Sender, from: number): void {
    let last = -1
    const rest = sender.head
    for (let message = from; message < this.#list.count; message++) {
      this.#list.packetsOf(message, slot => {
        if (last < 0) sender.head = slot
        else this.#next[last] = slot
        last = slot
        sender.queued++
      })
    }
    this.#next[last] = rest
    if (rest < 0) sender.tail = last
  }

  #release = (slot: number): void => {
    this.#next[slot] = this.#free
    this.#free = slot
  }

  /** Gives up everything queued on a socket, counted as dropped. */
  forget(sender: Sender): void {
    while (sender.head >= 0) {
      const slot = sender.head
      sender.head = this.#next[slot]!
      this.#release(slot)
      this.#stats.sendDropped++
    }
    sender.tail = -1
    sender.queued = 0
    unblock(sender)
  }
}

const unblock = (sender: Sender): void => {
  sender.blockedSince = 0
  sender.tries = 0
}
