/** The terminal as commands see it, and the exit statuses. Tests pass in their own to read what a command prints. */

/** Exit statuses (README, spartan(8)). */
export const DONE = 0
export const FAILED = 1
/** Wrong usage or an unusable configuration. */
export const WRONG = 2

export type Io = {
  /** Results. */
  readonly out: (text: string) => void
  /** Errors, and remarks that are not part of the result. */
  readonly err: (text: string) => void
  /** Reads standard input as text of limited length. */
  readonly input: () => Promise<string>
  /** Whether the output is a terminal. */
  readonly tty: boolean
  /** Aborted by ^C, which ends commands that repeat or wait. */
  readonly interrupted: AbortSignal
}
