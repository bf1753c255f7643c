/**
 * Runs periodic work for which the exact time does not matter: all work with the same interval shares one timer, and all
 * whose interval is a multiple of five seconds another one, because waking up costs an idle process more than most of
 * the work itself.
 */

/** Called with the time at which the timer fired, on the clock of performance.now(). */
type Work = (now: number) => void

const BEAT_MS = 5_000

/** By the interval of the timer. */
const groups = new Map<number, { readonly timer: NodeJS.Timeout; readonly works: Set<Work> }>()

/**
 * Calls `work` every `ms`, first within that time, until the returned function is called. It does not keep the process
 * alive. If `work` throws, that is an uncaught exception, as in a timer of its own, and other work still runs.
 */
export const together = (ms: number, work: Work): (() => void) => {
  const beat = ms % BEAT_MS === 0 ? BEAT_MS : ms
  let left = ms / beat
  const own: Work = now => {
    if (--left > 0) return
    left = ms / beat
    work(now)
  }
  let group = groups.get(beat)
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
    }, beat).unref()
    group = { timer, works }
    groups.set(beat, group)
  }
  const { timer, works } = group
  works.add(own)
  return () => {
    if (!works.delete(own) || works.size > 0) return
    clearInterval(timer)
    groups.delete(beat)
  }
}
