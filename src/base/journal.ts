/**
 * The log: JSON lines on standard output, one line for each change of state, never for a query. Repeats of a
 * message within a window become one line with a count, so that a flapping peer cannot fill the disk. Each
 * upstream is counted by itself, so that all upstreams that are lost at once are named. The only file that
 * imports pino.
 */
import { pino } from 'pino'
import type { Fields, Level, Log } from './log.ts'

/** Repeats of a message within this time are counted instead of written. */
const WINDOW_MS = 5_000
/** Lines of one message that are written in a window before the others are only counted. */
const BURST = 5
/** Distinct messages that are remembered. Messages are constants and upstreams are few, so their number stays below this. */
const MESSAGES = 512

/** A log whose level can be changed, for itself and all its children. */
export type Journal = Log & { readonly setLevel: (level: Level) => void }

const RANK: Readonly<Record<Level, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

/** A log on standard output. Writes are synchronous, so that the last line before an exit is not lost. */
export const createLog = (
  level: Level,
  base: Fields = {},
  now: () => number = Date.now,
): Journal => {
  let least = RANK[level]
  const out = pino(
    {
      level: 'debug',
      base: null,
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
      formatters: { level: label => ({ level: label }) },
      errorKey: 'err',
    },
    pino.destination({ dest: 1, sync: true }),
  ).child(base)
  const seen = new Map<string, { start: number; count: number }>()
  /** How many lines were suppressed before this one; -1 if this line is to be suppressed, too. */
  const admit = (msg: string, { upstream }: Fields): number => {
    const t = now()
    const what = typeof upstream === 'string' ? `${msg} ${upstream}` : msg
    const had = seen.get(what)
    if (had && t - had.start < WINDOW_MS) return ++had.count > BURST ? -1 : 0
    if (seen.size >= MESSAGES) seen.clear()
    seen.set(what, { start: t, count: 1 })
    return had ? Math.max(0, had.count - BURST) : 0
  }
  const wrap = (to: typeof out): Log => {
    const at =
      (name: Level) =>
      (msg: string, fields: Fields = {}): void => {
        if (RANK[name] < least) return
        const held = name === 'error' ? 0 : admit(msg, fields)
        if (held < 0) return
        to[name](held ? { ...fields, held } : fields, msg)
      }
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: fields => wrap(to.child(fields)),
    }
  }
  return { ...wrap(out), setLevel: next => void (least = RANK[next]) }
}
