/**
 * What a load counts while it runs, over UDP and TCP alike, and what it says
 * about one answer.
 */
import type { Histogram } from './histogram.ts'

/** Plain counts since the last `clear`. */
export type Counts = {
  sent: number
  answered: number
  wrong: number
  lost: number
  /** Queries of an open loop that found no slot free: the server is that far behind. */
  unsent: number
  /** The first wrong answer, for people. */
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

/** A load that runs; `measure.ts` drives it. */
export interface Load {
  readonly counts: Counts
  readonly latency: Histogram
  /** Asks each repeated name once before anything else. */
  warm(): void
  /** Whether that is done. */
  readonly warmed: boolean
  /** Goes on to the mix and counts from here. */
  clear(): void
  /** Sends nothing more. */
  stop(): void
  /** Queries under way. */
  readonly open: number
  /** What else there is to say of it, '' for nothing. */
  readonly note: string
  /** Sends what is due; returns milliseconds until more is. */
  turn(now: number): number
  close(): void
}

/**
 * Why the response at b[at .. at + length) is not a right answer to the query
 * at q[from .. from + asked), '' if it is. IDs are compared by the caller.
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
