/**
 * Periodic work that may begin at any time: all work of one interval hangs on one timer. An idle process pays more for
 * a wake-up than for most of the work.
 */

/** Called with the time at which the timer fired, on the clock of performance.now(). */
type Work = (now: number) => void

const groups = new Map<number, { readonly timer: NodeJS.Timeout; readonly works: Set<Work> }>()

/**
 * Calls `work` every `ms`, first within that time, until the returned function is called. It does not keep the process
 * alive. `work` must not throw.
 */
export const together = (ms: number, work: Work): (() => void) => {
  const own: Work = now => work(now)
  let group = groups.get(ms)
  if (!group) {
    const works = new Set<Work>()
    const timer = setInterval(() => {
      const now = performance.now()
      for (const each of works) each(now)
    }, ms).unref()
    group = { timer, works }
    groups.set(ms, group)
  }
  const { timer, works } = group
  works.add(own)
  return () => {
    if (!works.delete(own) || works.size > 0) return
    clearInterval(timer)
    groups.delete(ms)
  }
}
