/**
 * Runs periodic work for which the exact time does not matter: all work with the same interval shares one timer, because
 * waking up costs an idle process more than most of the work itself.
 */

/** Called with the time at which the timer fired, on the clock of performance.now(). */
type Work = (now: number) => void

const groups = new Map<number, { readonly timer: NodeJS.Timeout; readonly works: Set<Work> }>()

/**
 * Calls `work` every `ms`, first within that time, until the returned function is called. It does not keep the process
 * alive. If `work` throws, that is an uncaught exception, as in a timer of its own, and other work still runs.
 */
export const together = (ms: number, work: Work): (() => void) => {
  const own: Work = now => work(now)
  let group = groups.get(ms)
  if (!group) {
    const works = new Set<Work>()
    const timer = setInterval(() => {
      const now = performance.now()
      for (const each of works) {
        try {
          each(now)
        } catch (er) {
          queueMicrotask(() => {
            throw er
          })
        }
      }
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
