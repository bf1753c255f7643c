/**
 * What every part of the membership machine shares: the node's name, the
 * time of the input being handled, the pending timers, and the counters.
 * Nothing here reads a clock or a socket.
 */
import type { Log } from '../../base/log.ts'
import type { Endpoint } from '../wire/address.ts'
import type { Node } from './members.ts'
import type { Timers } from './timers.ts'

/** Plain counts since start, for metrics and tests. */
export type RingStats = {
  packetsIn: number
  packetsOut: number
  bytesIn: number
  bytesOut: number
  streamsIn: number
  streamsOut: number
  streamBytesIn: number
  streamBytesOut: number
  /** Packets and streams that no key opened, or that were plain in a ring with keys, or that bore another label. */
  refused: number
  /** Packets, streams and messages that could not be read. */
  malformed: number
  /** Streams closed because too many were open, or too many octets were held. */
  busy: number
  /** Streams that failed or were late. */
  streamsFailed: number
  probes: number
  probesFailed: number
  /** Probes that only TCP saved: UDP between us and that member is broken. */
  probesByTcp: number
  /** Times we had to say that we are alive. */
  refutations: number
  /** Claims that a member is alive that were checked by a ping first, and those that were wrong. */
  verified: number
  verifiedWrong: number
  conflicts: number
  /** Members not taken because the table is full. */
  membersRefused: number
  syncs: number
  syncsFailed: number
  /** Periodic syncs saved because both tables were known to be equal. */
  syncsSaved: number
  recordBytesIn: number
  recordBytesOut: number
  /** Records' packets not sent: over the budget, too long, or to nobody we know. */
  recordsDropped: number
  /** Stalls of our own event loop that lengthened our patience with others. */
  stalls: number
  eventsOld: number
}

export const newStats = (): RingStats => ({
  packetsIn: 0,
  packetsOut: 0,
  bytesIn: 0,
  bytesOut: 0,
  streamsIn: 0,
  streamsOut: 0,
  streamBytesIn: 0,
  streamBytesOut: 0,
  refused: 0,
  malformed: 0,
  busy: 0,
  streamsFailed: 0,
  probes: 0,
  probesFailed: 0,
  probesByTcp: 0,
  refutations: 0,
  verified: 0,
  verifiedWrong: 0,
  conflicts: 0,
  membersRefused: 0,
  syncs: 0,
  syncsFailed: 0,
  syncsSaved: 0,
  recordBytesIn: 0,
  recordBytesOut: 0,
  recordsDropped: 0,
  stalls: 0,
  eventsOld: 0,
})

export type Env = {
  readonly name: string
  /** Time of the input being handled, milliseconds, monotonic. */
  now: number
  /** From 0 to 1, 1 excluded. */
  readonly random: () => number
  readonly timers: Timers
  readonly stats: RingStats
  readonly log: Log
}

/** How messages leave; the core packs and seals them. */
export type Outbox = {
  /**
   * Sends messages in one packet, with queued news in the room that is left.
   * `node`, where known, says what it understands.
   */
  readonly send: (to: Endpoint, node: Node | undefined, messages: readonly Uint8Array[]) => void
  /** A ping over TCP; `done` is called once, within the time or at its end. */
  readonly pingByStream: (
    to: Endpoint,
    message: Uint8Array,
    seq: number,
    ms: number,
    done: (ok: boolean) => void,
  ) => void
}
