/** The end of the data thread: what was asked is answered, and what comes later stays for the next process. */
import type { Milliseconds } from '../boundary/messages.ts'
import type { DataParts } from './operator.ts'
import type { After } from './timers.ts'

/** The time for the last questions in flight, while new queries already wait for the next process. */
const LAST_FLIGHTS_MS = 500
/** The time for the last responses to be sent before the sockets close. */
const LAST_SENDS_MS = 5

/** Resolves when nothing is in flight any more, or the time is up. Then the listeners are closed. */
export const drain = async (
  { io, listeners, resolver }: DataParts,
  after: After,
  deadline: Milliseconds,
): Promise<void> => {
  const pause = (ms: Milliseconds): Promise<void> => new Promise(resolve => after(ms, resolve))
  const until = performance.now() + deadline
  await listeners.drain(Math.max(0, deadline - LAST_FLIGHTS_MS))
  // While queries are read, there is always a question in flight.
  listeners.pause()
  while (resolver.inFlight > 0 && performance.now() < until) await pause(2)
  resolver.close()
  io.wake()
  await pause(LAST_SENDS_MS)
  listeners.close()
}
