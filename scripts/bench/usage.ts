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
  return (threadTime(pid) ?? (user + system) * TICK_NS) + (childUser + childSystem) * TICK_NS
}

/**
 * What each thread of a process had used at the last call. A starting daemon ends the thread that has read its
 * configuration; without this its time would be missing from the second of two readings.
 */
const used = new Map<number, Map<string, number>>()

const threadTime = (pid: number): number | undefined => {
  const threads = used.get(pid) ?? new Map<string, number>()
  used.set(pid, threads)
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1')
      threads.set(task, Number(stat.split(' ')[0]))
    } catch {
      // This thread has just ended, or this kernel has no schedstat.
    }
  }
  let ns = 0
  for (const one of threads.values()) ns += one
  return ns > 0 ? ns : undefined
}

/** How often the threads of a process have begun to wait so far: each of these ends with a wake-up. */
export const waits = (pid: number): number => {
  let n = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    try {
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'latin1')
      n += Number(/^voluntary_ctxt_switches:\s+(\d+)$/m.exec(status)?.[1] ?? 0)
    } catch {
      // This thread has ended.
    }
  }
  return n
}

/** Resident memory of a process in bytes. */
export const residentBytes = (pid: number): number => {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(found?.[1] ?? NaN) * 1024
}
