/**
 * Raises the priority of the data thread. Metrics, zones and garbage collection run in slices of milliseconds, and
 * so do other programs of the host; on a busy core, queries would wait for them.
 *
 * First by nice, within the unit's limit; lower values than -15 did not improve latencies. A thread that used much
 * CPU lately still waits for the next scheduler tick, up to 4 ms, and nice has no effect against other control
 * groups. So while the thread is mostly idle it also runs in real time (SCHED_RR). When it has much to do, real time
 * would only block the threads that work for it and, in a flood, the whole host; then it uses nice alone.
 */
import { openSync, readlinkSync, readSync } from 'node:fs'
import { setPriority } from 'node:os'
import type { Milliseconds } from '../boundary/messages.ts'
import { SCHED_OTHER, SCHED_RESET_ON_FORK, SCHED_RR, type Libc } from './io/libc.ts'

/** As in nice(1). Permitted by LimitNICE in the unit. */
const NICE = -15
/** The lowest one. Permitted by LimitRTPRIO in the unit. */
const RT_PRIORITY = 1
/** Interval of checks of the CPU share; also the longest time that a flood runs in real time. */
const LOOK_MS: Milliseconds = 1_000
/** Shares of a core: real time begins below the first and ends above the second. */
const IDLE = 0.4
const BUSY = 0.5

/** Raises the priority of the calling thread. Does nothing if that is not permitted, or not on Linux. */
export const goFirst = (): void => {
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1))
    // Linux accepts a thread's number here, and changes only that thread.
    if (thread !== process.pid) setPriority(thread, NICE)
  } catch {
    // Not permitted: the thread works with normal priority.
  }
}

/** The kernel's scheduling of one thread. */
export type Scheduling = {
  /** Switches real time on or off; false if that is not permitted. */
  setRealTime(on: boolean): boolean
  /** CPU time used so far. Throws if the kernel does not count it. */
  spent(): Milliseconds
}

/** The scheduling of the calling thread. */
export const schedulingOf = (libc: Libc): Scheduling => {
  const param = new Int32Array(new ArrayBuffer(4))
  const at = libc.addressOf(param.buffer)
  const text = Buffer.alloc(64)
  // kept open, because in a flood there may be no free descriptor
  let stat = -1
  return {
    setRealTime: on => {
      param[0] = on ? RT_PRIORITY : 0
      // threads started by this one (V8's, libuv's) do not inherit it
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

/**
 * Uses real time while the thread is idle enough, never if its CPU time is unknown. If it is not permitted, it is
 * not tried again.
 */
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

  /** Call it several times a second from the thread itself. True if real time has just begun. */
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

  /** The used share of a core since the last call; NaN if unknown. */
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
