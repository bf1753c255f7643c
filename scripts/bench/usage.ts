/**
 * What a process has used, from the kernel's own accounting: processor time
 * of all its threads, and its memory.
 */
import { readFileSync, readdirSync } from 'node:fs'

/** One clock tick of /proc/PID/stat (USER_HZ is 100 everywhere). */
const TICK_NS = 1e7

/**
 * Nanoseconds of processor time of all threads of a process, and of its
 * children that have ended (dnsmasq forks for each TCP connection). Threads
 * from /proc/PID/task/TID/schedstat, exact to the microsecond; ticks of 10 ms
 * where the kernel keeps no schedstat. Threads that have ended are not in it.
 */
export const processorTime = (pid: number): number => {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  // Fields 14 to 17 of proc(5), counted from behind the command's name.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = fields.slice(11, 15).map(Number)
  return (threadTime(pid) ?? (user + system) * TICK_NS) + (childUser + childSystem) * TICK_NS
}

const threadTime = (pid: number): number | undefined => {
  let ns = 0
  try {
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0])
    }
  } catch {
    // Not this kernel.
    return undefined
  }
  return ns > 0 ? ns : undefined
}

/** Resident memory of a process in bytes. */
export const residentBytes = (pid: number): number => {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(found?.[1] ?? NaN) * 1024
}
