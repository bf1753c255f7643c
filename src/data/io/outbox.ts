/**
 * Datagrams that wait to be sent: a limited store of copies with one queue per socket, sent with one sendmmsg per
 * socket and turn. Datagrams that the kernel has no room for wait for a later turn.
 */
import { Messages } from './arena.ts'
import { NAME_WORDS } from './inet.ts'
import type { InetPeer } from './inet.ts'
import { EAGAIN, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, ENOMEM, MSG_DONTWAIT } from './libc.ts'
import type { Libc } from './libc.ts'
import { TX_SLOT } from './packet-io.ts'
import type { IoStats } from './packet-io.ts'
import { LIST, SendList } from './send-list.ts'

/** Limit of datagrams received or sent by one call. */
export const BATCH = LIST
/** Limit of datagrams held: 1.6 MiB; only used memory becomes resident. */
const SLOTS = 1024
/** Limit for one socket, so that one without room in the kernel does not block the others. */
const SLOTS_PER_SOCKET = 512
/** If a socket has no room for this long, its datagrams are dropped; clients ask again after a second or more. */
const GIVE_UP_MS = 250
/** Also required before dropping: this many attempts, because the thread itself may have been suspended. */
const GIVE_UP_TRIES = 20
/** Room for one aligned pktinfo control message. */
export const CONTROL_BYTES = 64

/** A socket's state in the outbox. */
export class Sender {
  /** -1 once closed. */
  fd: number
  /**
   * Whether the kernel reports ICMP errors on this socket; such an error fails the next send, whatever its
   * destination.
   */
  readonly reportsErrors: boolean
  /** Whether datagrams for one peer may share a message; false after the kernel refused one. */
  joins: boolean
  head = -1
  tail = -1
  queued = 0
  dirty = false
  /** Since when the kernel has had no room, 0 if it has. */
  blockedSince = 0
  /** Failed attempts since then. */
  tries = 0

  constructor(fd: number, reportsErrors: boolean, joins: boolean) {
    this.fd = fd
    this.reportsErrors = reportsErrors
    this.joins = joins
  }
}

/** Whether a failed send may succeed shortly afterwards. */
export const isFull = (errno: number): boolean =>
  errno === EAGAIN || errno === ENOBUFS || errno === ENOMEM

/**
 * Whether the kernel refused a message because it joins several datagrams: the device cannot compute their checksums
 * (EIO), they exceed its MTU, or the kernel is too old (EINVAL, EMSGSIZE).
 */
export const cannotJoin = (errno: number): boolean =>
  errno === EIO || errno === EINVAL || errno === EMSGSIZE

/** Called for a datagram that could not be sent; its destination is in `names` at word `at`. */
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

  /** Whether datagrams wait for room in the kernel. */
  get blocked(): boolean {
    return this.#blocked
  }

  /**
   * Queues a copy of bytes[at .. at + length) for a peer. Without a free slot, queued datagrams are sent first.
   * False if there is still no slot.
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
    // At these sizes a loop is faster than set(subarray()), and allocates nothing.
    for (let i = 0; i < length; i++) m.bytes[to + i] = bytes[at + i]!
    peer.put(m.names, slot * NAME_WORDS)
    this.#length[slot] = length
    this.#controlLength[slot] = peer.control?.copy(m.bytes, m.controlAt[slot]!) ?? 0
    this.#append(sender, slot)
    return true
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

  /** Sends queued datagrams; call once a turn. */
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

  /** Moves the first datagrams of a queue into the list. */
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

  /** Moves the datagrams that the list still holds, from this message on, back to the front of the queue. */
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

  /** Drops everything queued on a socket, and counts it. */
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
