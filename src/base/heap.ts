/**
 * How V8 treats the start of the program. Imported first: what the start
 * itself allocates would make the young generation grow to semi-spaces of
 * 16 MiB that a daemon which allocates little never needs. Idle, with two
 * threads: 20 MB more resident without this.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** An address that is missing may keep us from being ready for ever. */
const HURRY_MS = 2_000
const GROWTH = '--semi-space-growth-factor='

setFlagsFromString(`${GROWTH}1`)
// The old generation may grow by a third between collections, not fourfold: what lives is small and
// quickly marked, and 50,000 misses left 183 MB resident without this, 143 MB with it.
const THIRD = '--heap-growing-percent=33'
setFlagsFromString(THIRD)

/**
 * Optimises no code until `optimise` is called, or for two seconds: what runs
 * while a daemon starts runs once, and to optimise it took a fifth of the
 * start (READY after 546 ms instead of 666, 820 ms of processor time instead
 * of 1,050, medians of 21).
 */
export const hurry = (): void => {
  setFlagsFromString('--no-opt')
  setFlagsFromString('--no-sparkplug')
  setTimeout(optimise, HURRY_MS).unref()
}

/** The first clients are about to come: optimises from now on. */
export const optimise = (): void => {
  setFlagsFromString('--opt')
  setFlagsFromString('--sparkplug')
}

/** The start is over: collects what it left on this thread (8 ms, 2.5 MB), and lets the heap grow as usual. */
export const relax = (): void => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  collect()
  setFlagsFromString(`${GROWTH}2`)
}

let loads = 0

/**
 * A large load begins: the old generation may double between collections until
 * the function given is called. Nearly all of a load stays, and to go through it
 * at every third was a fifth of its time (10,000 tasks: 212 ms instead of 272).
 * The flag is the process's; the thread that answers makes little meanwhile.
 */
export const growFreely = (): (() => void) => {
  if (loads++ === 0) setFlagsFromString('--heap-growing-percent=100')
  return () => {
    if (--loads === 0) setFlagsFromString(THIRD)
  }
}
