/**
 * The terminal as the commands see it: handed in, so that tests read what a
 * command printed, and the exit statuses that scripts decide on.
 */

/** Exit statuses (README, spartan(8)). */
export const DONE = 0
export const FAILED = 1
/** Wrong usage or a configuration that cannot be used. */
export const WRONG = 2

export type Io = {
  /** Results. */
  readonly out: (text: string) => void
  /** What is wrong, and remarks that are no result. */
  readonly err: (text: string) => void
  /** Everything on standard input, as text of bounded length. */
  readonly input: () => Promise<string>
  /** Is the output a person's terminal? */
  readonly tty: boolean
  /** Aborted by ^C: a command that repeats or waits ends then. */
  readonly interrupted: AbortSignal
}
