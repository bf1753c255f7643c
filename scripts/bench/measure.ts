/** One measurement of one server under one load. */
import { getPriority, setPriority } from 'node:os'
import { fail } from '../../src/base/error.ts'
import { createPacketIO } from '../../src/data/io/io.ts'
import type { PacketIO } from '../../src/data/io/packet-io.ts'
import type { Load } from './counts.ts'
import { SLOW_MS } from './questions.ts'
import { processorTime, waits } from './usage.ts'

/** The result. Latencies are in microseconds. */
export type Measured = {
  readonly seconds: number
  readonly answered: number
  readonly qps: number
  /** CPU time of all threads of the server per answer in microseconds; NaN without a process. */
  readonly cpuUs: number
  /** The same time as a share of one core in percent, and wake-ups of its threads per second. */
  readonly core: number
  readonly wakeups: number
  readonly lost: number
  readonly wrong: number
  readonly unsent: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** Share of the answers that took longer than an upstream's time: they waited for one. */
  readonly late: number
  /** The p99 without the client beside it, before and after; NaN if that is not measured. */
  readonly p99Before: number
  readonly p99After: number
  /** What else the load has to say. */
  readonly note: string
  readonly example: string
}

export type MeasureOptions = {
  /** The server's process; 0 for none. */
  readonly pid: number
  /** Whether each repeated name is asked once first. */
  readonly warm: boolean
  /** Time under load before counting begins, for compilers and caches. */
  readonly settleMs: number
  readonly seconds: number
  /** Whether it is measured for as long without the client beside it, before and after. */
  readonly around?: boolean
  /** Whether the load has the priority of others, because it never sleeps and must not starve the upstreams. */
  readonly usual?: boolean
}

/** Limit of the warm-up; 50,000 names take a second or two. */
const WARM_LIMIT_MS = 30_000
/** Wait for the last answers, slightly longer than the time after which a query counts as lost. */
const LAST_MS = 2_500
/** How much longer a phase may last in which the server has done nothing for the answers that were counted. */
const IDLE_LIMIT_MS = 5_000
/** Interval at which a phase checks whether it is over. */
const LOOK_MS = 10
/** Half of what a slow upstream takes; a hit takes far less. */
const LATE_MS = SLOW_MS / 2

/** Runs a load and measures it. Rejects with ESTATE if the warm-up fails. */
export const measure = async (
  open: (io: PacketIO) => Promise<Load>,
  options: MeasureOptions,
): Promise<Measured> => {
  const { io } = await createPacketIO({ io: 'auto' })
  try {
    const work = async (): Promise<Measured> => {
      const load = await open(io)
      try {
        return await run(io, load, options)
      } finally {
        load.close()
      }
    }
    return await (options.usual ? work() : goingFirst(work))
  } finally {
    io.close()
  }
}

/**
 * Runs `work` with real-time priority if that is permitted. The upstreams share this thread's core, and waiting for
 * them would count as the server's latency. Servers and threads started meanwhile do not inherit the priority.
 */
export const goingFirst = async <T>(work: () => Promise<T> | T): Promise<T> => {
  const usual = getPriority()
  renice(-20)
  try {
    return await work()
  } finally {
    renice(usual)
  }
}

const renice = (nice: number): void => {
  try {
    setPriority(nice)
  } catch {
    // Not permitted: it runs with normal priority.
  }
}

const run = (io: PacketIO, load: Load, options: MeasureOptions): Promise<Measured> =>
  new Promise((resolve, reject) => {
    const { pid, settleMs, seconds, around } = options
    const used = (): number => (pid > 0 ? processorTime(pid) : NaN)
    let phase: 'warm' | 'before' | 'settle' | 'count' | 'after' | 'last' = 'warm'
    let until = performance.now() + WARM_LIMIT_MS
    let p99Before = NaN
    let since = 0
    let before = 0
    let waitsBefore = 0
    let measured: Omit<Measured, 'lost' | 'wrong' | 'example'> | undefined
    const begin = (next: typeof phase, ms: number, now: number, disturbed = true): void => {
      phase = next
      until = now + ms
      if (load.disturbed !== undefined) load.disturbed = disturbed
      load.clear()
    }
    const warmed = (now: number): void =>
      around ? begin('before', seconds * 1000, now, false) : begin('settle', settleMs, now)
    if (options.warm) load.warm()
    else warmed(performance.now())
    const end = (now: number): void => {
      phase = 'last'
      until = now + LAST_MS
      load.stop()
    }
    const step = (now: number): void => {
      if (phase === 'warm') {
        const { lost, wrong, answered, example } = load.counts
        if (load.warmed && lost + wrong > answered / 100) {
          reject(fail(`it does not answer: ${lost} lost, ${wrong} wrong ${example}`, 'ESTATE'))
        } else if (load.warmed) {
          warmed(now)
        } else if (now > until) {
          reject(fail(`only ${load.counts.answered} names were answered in time`, 'ESTATE'))
        }
      } else if (phase === 'before') {
        if (now < until) return
        p99Before = load.latency.percentile(0.99)
        begin('settle', settleMs, now)
      } else if (phase === 'settle') {
        if (now < until) return
        begin('count', seconds * 1000, now)
        since = now
        waitsBefore = pid > 0 ? waits(pid) : NaN
        before = used()
      } else if (phase === 'count') {
        if (now < until) return
        const ns = used() - before
        // If this thread slept through its time, all answers so far are to questions from before it.
        if (ns === 0 && load.counts.answered > 0 && now < until + IDLE_LIMIT_MS) return
        const waited = pid > 0 ? waits(pid) - waitsBefore : NaN
        const { answered, unsent } = load.counts
        const [p50, p99, p999] = [0.5, 0.99, 0.999].map(p => load.latency.percentile(p)) as [
          number,
          number,
          number,
        ]
        const took = (now - since) / 1000
        const cpuUs = answered > 0 ? ns / 1000 / answered : NaN
        const core = ns / 1e7 / took
        const wakeups = waited / took
        const late = load.latency.shareOver(LATE_MS)
        const { note } = load
        const qps = answered / took
        measured = {
          seconds: took,
          answered,
          qps,
          cpuUs,
          core,
          wakeups,
          unsent,
          p50,
          p99,
          p999,
          late,
          p99Before,
          p99After: NaN,
          note,
        }
        if (!around) return end(now)
        phase = 'after'
        until = now + seconds * 1000
        load.disturbed = false
        load.latency.clear()
      } else if (phase === 'after') {
        if (now < until) return
        measured = { ...measured!, p99After: load.latency.percentile(0.99) }
        end(now)
      } else if (load.open === 0 || now > until) {
        const { lost, wrong, example } = load.counts
        resolve({ ...measured!, lost, wrong, example })
      }
    }
    io.start(now => {
      const next = load.turn(now)
      step(now)
      return Math.min(next, LOOK_MS)
    })
  })
