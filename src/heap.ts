/**
 * Keeps V8's young generation small while the program starts. Imported first,
 * because what the start itself allocates would make it grow to semi-spaces
 * of 16 MiB that a daemon which allocates little never needs. Idle, with two
 * threads: 20 MB more resident without this.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

const GROWTH = '--semi-space-growth-factor='

setFlagsFromString(`${GROWTH}1`)
// The old generation may grow by a third between collections, not fourfold: what lives is small and
// quickly marked, and 50,000 misses left 183 MB resident without this, 143 MB with it.
setFlagsFromString('--heap-growing-percent=33')

/** The start is over: collects what it left on this thread (8 ms, 2.5 MB), and lets the heap grow as usual. */
export const relax = (): void => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  setFlagsFromString('--no-expose-gc')
  collect()
  setFlagsFromString(`${GROWTH}2`)
}
