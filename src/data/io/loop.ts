/**
 * An event loop around libuv's: our epoll_wait waits for the UDP sockets and for libuv's own epoll descriptor
 * together. A turn is one wait and the work after it. Promises, TCP sockets and message ports need libuv's loop, so
 * the thread runs one round of it (setImmediate) after every turn that may have begun something for it. Turns that
 * only answered from the cache follow each other directly, with three system calls for an answer that comes alone.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { Socket } from 'node:net'
// The global of this name is a getter.
import { performance } from 'node:perf_hooks'
import type { Milliseconds } from '../../boundary/messages.ts'
import { fail } from '../../base/error.ts'
import {
  AF_UNIX,
  EINTR,
  EPOLLERR,
  EPOLLIN,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  errnoName,
} from './libc.ts'
import type { Libc } from './libc.ts'
import { SPIN_MS, type Spin } from './spin.ts'

const EVENTS = 64
/** struct epoll_event is packed on x86-64 only (12 bytes). */
const EVENT_WORDS = process.arch === 'x64' ? 3 : 4
const EVENT_DATA = EVENT_WORDS - 2
/**
 * The longest wait and the longest stay in our own turns while other code of this thread may have timers of Node:
 * those are not visible on libuv's descriptor. Also the first wait after every round of libuv's loop.
 */
const PULSE_MS: Milliseconds = 50
/** The longest timeout of epoll_wait. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

/** The object that the loop calls. */
export interface Driven {
  /**
   * A watched descriptor is readable or has an error. True if this began nothing that needs libuv's loop: no
   * promise, no immediate, no stream.
   */
  ready(fd: number, error: boolean): boolean
  /**
   * Called after the events of a turn, and after a round of libuv's loop; see OnTurn. It calls `wake` if it began
   * something that needs libuv's loop, unless it does so at the time that it asked for.
   */
  turn(now: number, seen: number): number
}

export type LoopOptions = {
  /** Undefined if the thread should always sleep at once, because it shares its core. */
  readonly spin?: Spin | undefined
  /** Monotonic. Default: performance.now. */
  readonly clock?: () => Milliseconds
  /** Whether other code of this thread may have timers of Node. Default: always. */
  readonly othersHaveTimers?: () => boolean
}

const nextRound = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/**
 * The descriptor of this thread's libuv loop: the epoll instance in /proc/self/fd that watches a socket of this
 * thread. Throws ESTATE if there is none.
 */
const libuvDescriptor = async (libc: Libc): Promise<number> => {
  const pair = new Int32Array(new ArrayBuffer(8))
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  if (libc.socketpair(AF_UNIX, type, 0, libc.addressOf(pair.buffer)) < 0) {
    throw fail(`socketpair: ${errnoName(libc.errno())}`, 'ESTATE')
  }
  const [known = -1, other = -1] = pair
  const socket = new Socket({ fd: known, readable: true, writable: false })
  try {
    socket.resume()
    await nextRound()
    await nextRound()
    for (const name of readdirSync('/proc/self/fd')) {
      try {
        if (!readlinkSync(`/proc/self/fd/${name}`).includes('[eventpoll]')) continue
        const watched = readFileSync(`/proc/self/fdinfo/${name}`, 'latin1')
        if (new RegExp(`^tfd:\\s+${known}\\s`, 'm').test(watched)) return Number(name)
      } catch {
        // Descriptors of other threads may be closed while we look.
      }
    }
    throw fail('the event loop of this thread has no epoll descriptor to be seen', 'ESTATE')
  } finally {
    socket.destroy()
    libc.close(other)
    await nextRound()
  }
}

export class Loop {
  readonly #libc: Libc
  readonly #epoll: number
  readonly #libuv: number
  readonly #events = new Int32Array(new ArrayBuffer(EVENTS * EVENT_WORDS * 4))
  readonly #eventsAt: number
  /** One event for epoll_ctl; separate, because a handler may open a socket while we go through the other events. */
  readonly #change = new Int32Array(new ArrayBuffer(16))
  readonly #spin: Spin | undefined
  readonly #clock: () => Milliseconds
  readonly #othersHaveTimers: () => boolean
  #driven: Driven | undefined
  #immediate: NodeJS.Immediate | undefined
  #closed = false
  #now: Milliseconds
  /** Everything that had arrived by this time has been handled. */
  #seen: Milliseconds
  /** When `turn` is to be called again. */
  #due = 0
  /** Whether something was begun that needs libuv's loop: then the thread does not wait before its next round. */
  #begun = true
  /** Number of events that libuv had dispatched before its last round. */
  #dispatched = 0
  /** Whether a datagram has just begun something, so that a reply may be near. Only then a spin can pay. */
  #expects = false
  /** When the next round of libuv's loop is due even if nothing was begun. */
  #pulse = 0

  private constructor(libc: Libc, libuv: number, options: LoopOptions) {
    const { spin, clock = () => performance.now(), othersHaveTimers = () => true } = options
    this.#libc = libc
    this.#libuv = libuv
    this.#spin = spin
    this.#clock = clock
    this.#othersHaveTimers = othersHaveTimers
    this.#now = this.#seen = clock()
    this.#eventsAt = libc.addressOf(this.#events.buffer as ArrayBuffer)
    this.#epoll = libc.epoll_create1(EPOLL_CLOEXEC)
    if (this.#epoll < 0) throw fail(`epoll_create1: ${errnoName(libc.errno())}`, 'ESTATE')
    this.watch(libuv)
  }

  /** Rejects with ESTATE if libuv's descriptor cannot be found. */
  static async create(libc: Libc, options: LoopOptions = {}): Promise<Loop> {
    return new Loop(libc, await libuvDescriptor(libc), options)
  }

  /** Monotonic milliseconds when the clock was last read. */
  get now(): Milliseconds {
    return this.#now
  }

  /** Reads the clock: once per turn, and before each further batch of it. */
  tick(): Milliseconds {
    return (this.#now = this.#clock())
  }

  watch(fd: number): void {
    this.#change[0] = EPOLLIN | EPOLLERR
    this.#change[EVENT_DATA] = fd
    const change = this.#libc.addressOf(this.#change.buffer as ArrayBuffer)
    if (this.#libc.epoll_ctl(this.#epoll, EPOLL_CTL_ADD, fd, change) < 0) {
      throw fail(`epoll_ctl: ${errnoName(this.#libc.errno())}`, 'ESTATE')
    }
  }

  unwatch(fd: number): void {
    this.#libc.epoll_ctl(this.#epoll, EPOLL_CTL_DEL, fd, this.#eventsAt)
  }

  start(driven: Driven): void {
    this.#driven = driven
    this.#immediate = setImmediate(this.#round)
  }

  /** Something was begun that needs libuv's loop: its next round comes without a wait. */
  wake(): void {
    this.#begun = true
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearImmediate(this.#immediate)
    this.#libc.close(this.#epoll)
  }

  /**
   * Runs after every round of libuv's loop, and returns when it needs the next one.
   *
   * The next round is scheduled first. So it comes whatever a handler throws, and it precedes every immediate of
   * other code: what that code begins to watch is registered with libuv's descriptor before we look again.
   */
  #round = (): void => {
    if (this.#closed) return
    this.#immediate = setImmediate(this.#round)
    const before = this.#begun
    this.#begun = this.#libuvHasWork()
    // A round that only came because of the time, and found nothing, is the last one.
    this.tick()
    const calm = !before && !this.#begun && !this.#othersHaveTimers()
    this.#pulse = calm ? Infinity : this.#now + PULSE_MS
    // JavaScript that ran in that round may have queued datagrams and timers.
    this.#turn()
    while (!this.#closed && this.#once());
  }

  /**
   * Whether libuv's loop needs another round: an immediate of other code is waiting, or a callback ran in the last
   * round, and what it began to watch is registered with libuv's descriptor only in the next one.
   */
  #libuvHasWork(): boolean {
    const { events } = performance.nodeTiming.uvMetricsInfo
    const ran = events !== this.#dispatched
    this.#dispatched = events
    if (ran) return true
    let immediates = 0
    for (const kind of process.getActiveResourcesInfo()) if (kind === 'Immediate') immediates++
    return immediates > 1
  }

  /** One turn. False if libuv's loop is to run now. */
  #once(): boolean {
    const driven = this.#driven!
    const timeout = this.#timeout()
    const before = this.#now
    const count = timeout > 0 ? this.#wait(timeout) : this.#poll(0)
    this.#spin?.turn(count)
    if (count < 0 && this.#libc.errno() !== EINTR) {
      throw fail(`epoll_wait: ${errnoName(this.#libc.errno())}`, 'EFATAL')
    }
    this.tick()
    // What arrived during the wait may have arrived in more than one socket, or more often than a turn reads.
    this.#seen = count > 0 ? before : this.#now
    // A timer of ours that fires may begin anything.
    if (this.#now >= this.#due) this.#begun = true
    for (let i = 0; i < count; i++) {
      const fd = this.#events[i * EVENT_WORDS + EVENT_DATA]!
      const error = (this.#events[i * EVENT_WORDS]! & EPOLLERR) !== 0
      if (fd === this.#libuv) this.#begun = true
      else if (!driven.ready(fd, error)) this.#begun = this.#expects = true
      if (this.#closed) return false
    }
    this.#turn()
    return !this.#begun && this.#now < this.#pulse
  }

  #turn(): void {
    const next = this.#driven!.turn(this.#now, this.#seen)
    this.#due = this.#now + next
  }

  /** How long the next wait may be. */
  #timeout(): Milliseconds {
    if (this.#begun) return 0
    const wait = Math.min(this.#due, this.#pulse) - this.#now
    return Math.min(Math.max(0, Math.ceil(wait)), MAX_TIMEOUT_MS)
  }

  #poll(timeout: number): number {
    return this.#libc.epoll_wait(this.#epoll, this.#eventsAt, EVENTS, timeout)
  }

  #wait(timeout: Milliseconds): number {
    if (!this.#expects || !this.#spin) return this.#poll(timeout)
    this.#expects = false
    const since = this.#clock()
    const { pays } = this.#spin
    let count = 0
    if (pays) {
      do count = this.#poll(0)
      while (count === 0 && this.#clock() - since < SPIN_MS)
    }
    if (count === 0) count = this.#poll(timeout)
    this.#spin.waited(this.#clock() - since, pays)
    return count
  }
}
