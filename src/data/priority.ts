/**
 * The thread that answers goes before the rest: metrics, zones and garbage
 * collection run in slices of milliseconds, so do the other programs of the
 * host, and on a busy core a query would wait for them.
 *
 * First by nice, within what the unit allows (p99 at 20,000 queries a second,
 * the whole daemon on one core: 2.3 ms at nice -5, 1.7 at -10, 1.4 at -15 and
 * at -20). Who has just run much still waits for a tick of the kernel's then,
 * up to 4 ms, and nice counts for nothing against another control group. So
 * besides in real time (SCHED_RR), while the thread is idle for most of the
 * time: p99.9 in the same place 1.4 ms instead of 3.8. Once it has much to do
 * it would only push aside those who work for it (a raced miss at full load:
 * 30 µs instead of 17), or, in a flood, everybody; then nice has to do.
 */
import { openSync, readlinkSync, readSync } from 'node:fs'
import { setPriority } from 'node:os'
import type { Milliseconds } from '../boundary/messages.ts'
import { SCHED_OTHER, SCHED_RESET_ON_FORK, SCHED_RR, type Libc } from './io/libc.ts'

/** As in nice(1). The unit allows it (LimitNICE). */
const NICE = -15
/** The least there is. The unit allows it (LimitRTPRIO). */
const RT_PRIORITY = 1
/** How often the share of time is looked at; also the longest a flood is met in real time. */
const LOOK_MS: Milliseconds = 1_000
/** Shares of a core: below the first real time begins, above the second it ends. */
const IDLE = 0.4
const BUSY = 0.5

/** Raises the priority of the calling thread. Does nothing where that is not allowed, or not Linux. */
export const goFirst = (): void => {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1))
    // Linux takes a thread's number for a process's here, and means the thread.
    if (thread !== process.pid) setPriority(thread, NICE)
  } catch {
    // It answers all the same.
  }
}

/** What the kernel does for one thread. */
export type Scheduling = {
  /** In real time, or as usual; false if that is not allowed. */
  setRealTime(on: boolean): boolean
  /** Processor time it has had. Throws where nobody counts. */
  spent(): Milliseconds
}

/** Of the calling thread. */
export const schedulingOf = (libc: Libc): Scheduling => {
  const param = new Int32Array(new ArrayBuffer(4))
  const at = libc.addressOf(param.buffer)
  const text = Buffer.alloc(64)
  // kept open: there may be no descriptor left when a flood has to be noticed
  let stat = -1
  return {
    setRealTime: on => {
      param[0] = on ? RT_PRIORITY : 0
      // threads that this one starts (V8's, libuv's) are none of it
      const policy = (on ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK
      return libc.sched_setscheduler(0, policy, at) === 0
    },
    spent: () => {
      if (stat < 0) stat = openSync('/proc/thread-self/schedstat', 'r')
      const length = readSync(stat, text, 0, text.length, 0)
      return Number(text.toString('latin1', 0, length).split(' ')[0]) / 1e6
    },
  }
}

/** Real time for a thread that is idle enough, and never for one whose time nobody counts. Where it is not allowed it is not tried again. */
export class RealTime {
  readonly #scheduling: Scheduling
  #at: Milliseconds = 0
  #spent: Milliseconds = NaN
  #on = false
  #possible = true

  constructor(scheduling: Scheduling) {
    this.#scheduling = scheduling
  }

  get on(): boolean {
    return this.#on
  }

  /** Call several times a second, from the thread itself. True when real time has just begun. */
  look(now: Milliseconds): boolean {
    if (now - this.#at < LOOK_MS) return false
    const share = this.#share(now)
    if (this.#on && !(share <= BUSY)) this.#on = !this.#scheduling.setRealTime(false)
    else if (!this.#on && this.#possible && share < IDLE) {
      this.#on = this.#possible = this.#scheduling.setRealTime(true)
      return this.#on
    }
    return false
  }

  /** Of a core, since the last look; NaN where that is not known. */
  #share(now: Milliseconds): number {
    const before = { at: this.#at, spent: this.#spent }
    this.#at = now
    try {
      this.#spent = this.#scheduling.spent()
    } catch {
      this.#spent = NaN
    }
    return (this.#spent - before.spent) / (now - before.at)
  }
}
