/**
 * Settings of V8's heap for the start of the daemon; imported first. The allocations of the start would grow
 * the young generation to semi-spaces of 16 MiB, which a daemon that allocates little never needs. This saves
 * 20 MB.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Full optimisation starts again after this time, because a missing address can delay readiness without
 * limit.
 */
const HURRY_MS = 2_000
const GROWTH = '--semi-space-growth-factor='

setFlagsFromString(`${GROWTH}1`)
// The old generation grows by a third between collections instead of fourfold. The live data is small and
// quick to mark, so frequent collections are cheap and save 40 MB.
const THIRD = '--heap-growing-percent=33'
setFlagsFromString(THIRD)

/**
 * Switches the optimising compilers off until `optimise` is called, or for two seconds. Most code of the
 * start runs once, so optimising it costs more than it saves.
 */
export const hurry = (): void => {
  setFlagsFromString('--no-opt')
  setFlagsFromString('--no-sparkplug')
  setTimeout(optimise, HURRY_MS).unref()
}

/** Switches the compilers on again, before the first clients ask. */
export const optimise = (): void => {
  setFlagsFromString('--opt')
  setFlagsFromString('--sparkplug')
}

/** Collects the garbage of the start on this thread, then lets the heap grow as usual. */
export const relax = (): void => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  collect()
  setFlagsFromString(`${GROWTH}2`)
}

let loads = 0

/**
 * Lets the old generation double between collections until the returned function is called. Nearly all data
 * of a large load stays alive, so collecting at every third would waste a fifth of its time. The flag holds
 * for the whole process.
 */
export const growFreely = (): (() => void) => {
  if (loads++ === 0) setFlagsFromString('--heap-growing-percent=100')
  return () => {
    if (--loads === 0) setFlagsFromString(THIRD)
  }
}
