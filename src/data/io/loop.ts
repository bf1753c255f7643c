/**
 * An event loop around libuv's: our epoll_wait waits for the UDP sockets and for libuv's own epoll descriptor
 * together. After every turn the thread runs one round of libuv's loop (setImmediate), which handles promises, TCP
 * sockets, timers and message ports.
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { Socket } from 'node:net'
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
 * Turns without waiting after libuv had work or wake() was called. libuv registers a new watcher only at its next
 * poll, and a setImmediate of other code runs after ours. Three rounds are enough for both.
 */
const LIVELY_TURNS = 3
/** The same after datagrams only. Three turns would cost 1.4 µs more per answer when queries come one at a time. */
const LIVELY_TURNS_UDP = 1
/**
 * The longest wait. libuv's timers are not visible on its descriptor, so they may be this late when nothing else
 * happens.
 */
const MAX_WAIT_MS = 50

/** The object that the loop calls. */
export interface Driven {
  /** A watched descriptor is readable or has an error. */
  ready(fd: number, error: boolean): void
  /** Called after the events of a turn; see OnTurn. */
  turn(now: number, seen: number): number
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
  /** Undefined if the thread should always sleep at once, because it shares its core. */
  readonly #spin: Spin | undefined
  #driven: Driven | undefined
  #lively = LIVELY_TURNS
  #wait = 0
  #closed = false
  #now = performance.now()

  private constructor(libc: Libc, libuv: number, spin: Spin | undefined) {
    this.#libc = libc
    this.#libuv = libuv
    this.#spin = spin
    this.#eventsAt = libc.addressOf(this.#events.buffer as ArrayBuffer)
    this.#epoll = libc.epoll_create1(EPOLL_CLOEXEC)
    if (this.#epoll < 0) throw fail(`epoll_create1: ${errnoName(libc.errno())}`, 'ESTATE')
    this.watch(libuv)
  }

  /** Rejects with ESTATE if libuv's descriptor cannot be found. */
  static async create(libc: Libc, spin?: Spin): Promise<Loop> {
    return new Loop(libc, await libuvDescriptor(libc), spin)
  }

  /** Monotonic milliseconds when the clock was last read. */
  get now(): number {
    return this.#now
  }

  /** Reads the clock: once per turn, and before each further batch of it. */
  tick(): number {
    return (this.#now = performance.now())
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
    setImmediate(this.#turn)
  }

  /** Makes the next turns not wait. */
  wake(): void {
    this.#lively = LIVELY_TURNS
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#libc.close(this.#epoll)
  }

  /** Whatever a handler throws, the next turn comes: until then packets that wait would wait for nobody. */
  #turn = (): void => {
    if (this.#closed) return
    try {
      this.#once()
    } finally {
      if (!this.#closed) setImmediate(this.#turn)
    }
  }

  #once(): void {
    const driven = this.#driven!
    const before = this.#now
    const timeout = this.#lively > 0 ? 0 : this.#wait
    const count =
      timeout > 0 && this.#spin ? this.#spinThenPoll(this.#spin, timeout) : this.#poll(timeout)
    this.#spin?.turn(count)
    if (count < 0 && this.#libc.errno() !== EINTR) {
      throw fail(`epoll_wait: ${errnoName(this.#libc.errno())}`, 'EFATAL')
    }
    this.tick()
    if (this.#lively > 0) this.#lively--
    if (count > 0 && this.#lively < LIVELY_TURNS_UDP) this.#lively = LIVELY_TURNS_UDP
    for (let i = 0; i < count; i++) {
      const fd = this.#events[i * EVENT_WORDS + EVENT_DATA]!
      if (fd === this.#libuv) {
        this.#lively = LIVELY_TURNS
        continue
      }
      driven.ready(fd, (this.#events[i * EVENT_WORDS]! & EPOLLERR) !== 0)
      if (this.#closed) return
    }
    // After packets the next turn does not wait, so nothing that becomes due in between is late.
    const next = driven.turn(this.#now, count > 0 ? before : this.#now)
    if (this.#closed) return
    this.#wait = next > 0 ? Math.min(Math.ceil(next), MAX_WAIT_MS) : 0
  }

  #poll(timeout: number): number {
    return this.#libc.epoll_wait(this.#epoll, this.#eventsAt, EVENTS, timeout)
  }

  #spinThenPoll(spin: Spin, timeout: number): number {
    const since = performance.now()
    const { pays } = spin
    let count = 0
    if (pays) {
      do count = this.#poll(0)
      while (count === 0 && performance.now() - since < SPIN_MS)
    }
    if (count === 0) count = this.#poll(timeout)
    spin.waited(performance.now() - since, pays)
    return count
  }
}
