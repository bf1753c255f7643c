/** CPU time and memory of a process, as accounted by the kernel. */
import { readFileSync, readdirSync } from 'node:fs'

/** One clock tick of /proc/PID/stat (USER_HZ is 100 everywhere). */
const TICK_NS = 1e7

/**
 * Nanoseconds of CPU time of all threads of a process and of its ended children (dnsmasq forks for each TCP
 * connection). Uses /proc/PID/task/TID/schedstat, which is exact to the microsecond, or ticks of 10 ms if the kernel
 * lacks it. A thread that has ended counts with what it had used at the last call.
 */
export const processorTime = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // Fields 14 to 17 of proc(5), counted from behind the command name, which may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15).map(Number)
  return (total(pid, TIME) || (user + system) * TICK_NS) + (childUser + childSystem) * TICK_NS
}

/** A figure that the kernel counts for each thread. */
type Counter = {
  /** File below /proc/PID/task/TID. */
  readonly file: string
  /** NaN if this kernel does not have it. */
  readonly read: (text: string) => number
  /** By process and thread: the value at the last call. */
  readonly last: Map<number, Map<string, number>>
}

const TIME: Counter = {
  file: 'schedstat',
  read: text => Number(text.split(' ')[0]),
  last: new Map(),
}
const WAITS: Counter = {
  file: 'status',
  read: text => Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(text)?.[1]),
  last: new Map(),
}

/**
 * The sum over all threads. One that has ended counts with its value at the last call: a starting daemon ends the thread
 * that has read its configuration, and without this the second of two readings could be below the first.
 */
const total = (pid: number, { file, read, last }: Counter): number => {
  const threads = last.get(pid) ?? new Map<string, number>()
  last.set(pid, threads)
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const value = read(readFileSync(`/proc/${pid}/task/${task}/${file}`, 'latin1'))
      if (!Number.isNaN(value)) threads.set(task, value)
    } catch {
      // This thread has just ended, or this kernel has no such file.
    }
  }
  let sum = 0
  for (const one of threads.values()) sum += one
  return sum
}

/** How often the threads of a process have begun to wait so far: each of these ends with a wake-up. */
export const waits = (pid: number): number => total(pid, WAITS)

/** Resident memory of a process in bytes. */
export const residentBytes = (pid: number): number => {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(found?.[1] ?? NaN) * 1024
}
