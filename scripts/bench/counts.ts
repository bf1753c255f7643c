/** The counters of a load over UDP or TCP, and the check of one answer. */
import type { Histogram } from './histogram.ts'

/** Counts since the last `clear`. */
export type Counts = {
  sent: number
  answered: number
  wrong: number
  lost: number
  /** Queries of an open loop that could not be sent, because too many were unanswered. */
  unsent: number
  /** The first wrong answer, as text. */
  example: string
}

export const noCounts = (): Counts => ({
  sent: 0,
  answered: 0,
  wrong: 0,
  lost: 0,
  unsent: 0,
  example: '',
})

/** A running load; `measure.ts` controls it. */
export interface Load {
  readonly counts: Counts
  readonly latency: Histogram
  /** First asks each repeated name once. */
  warm(): void
  /** Whether the warm-up is complete. */
  readonly warmed: boolean
  /** Starts the mix and resets the counts. */
  clear(): void
  /** Stops sending. */
  stop(): void
  /** Queries under way. */
  readonly open: number
  /** Whether another client goes on beside it; undefined if there is none. */
  disturbed?: boolean
  /** What else there is to say of it, '' for nothing. */
  readonly note: string
  /** Sends what is due; returns milliseconds until more is. */
  turn(now: number): number
  close(): void
}

/**
 * Why the response at b[at .. at + length) is wrong for the query at q[from .. from + asked); '' if it is right. The
 * caller compares the IDs.
 */
export const fault = (
  b: Uint8Array,
  at: number,
  length: number,
  q: Uint8Array,
  from: number,
  asked: number,
  answers: number,
): string => {
  if (length < asked || (b[at + 2]! & 0x80) === 0) return 'no response'
  const rcode = b[at + 3]! & 15
  if (rcode !== 0) return `RCODE ${rcode}`
  if (((b[at + 6]! << 8) | b[at + 7]!) !== answers) return 'wrong number of answers'
  for (let i = 12; i < asked; i++) if (b[at + i] !== q[from + i]) return 'another question'
  return ''
}
