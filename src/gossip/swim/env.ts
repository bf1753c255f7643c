/**
 * State shared by all parts of the membership machine: the node's name, the time of the current input, pending
 * timers, and counters. Nothing here reads a clock or a socket.
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
  /**
   * Packets and streams that no key decrypts, that were not encrypted in a ring with keys, or that had another
   * label.
   */
  refused: number
  /** Packets, streams and messages that were malformed. */
  malformed: number
  /** Streams closed because too many were open, or too many octets were buffered. */
  busy: number
  /** Streams that failed or timed out. */
  streamsFailed: number
  probes: number
  probesFailed: number
  /** Probes that were answered over TCP only, which shows that UDP to that member is broken. */
  probesByTcp: number
  /** Times we refuted an accusation against us. */
  refutations: number
  /** Claims that a member is alive that a ping verified, and those that turned out wrong. */
  verified: number
  verifiedWrong: number
  conflicts: number
  /** Members refused because the table is full. */
  membersRefused: number
  syncs: number
  syncsFailed: number
  /** Periodic syncs skipped because digests showed equal tables. */
  syncsSaved: number
  recordBytesIn: number
  recordBytesOut: number
  /** Records packets not sent: over the budget, too long, or to an unknown member. */
  recordsDropped: number
  /** Stalls of our own event loop, after which deadlines of others were extended. */
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
  /** Time of the current input: milliseconds, monotonic. */
  now: number
  /** 0 ≤ random() < 1. */
  readonly random: () => number
  readonly timers: Timers
  readonly stats: RingStats
  readonly log: Log
}

/** Sends messages; the core packs and encrypts them. */
export type Outbox = {
  /**
   * Sends messages in one packet, and fills the rest with queued news. `node`, if known, shows what the receiver
   * understands.
   */
  readonly send: (to: Endpoint, node: Node | undefined, messages: readonly Uint8Array[]) => void
  /** A ping over TCP; `done` is called once, at the answer or at the deadline. */
  readonly pingByStream: (
    to: Endpoint,
    message: Uint8Array,
    seq: number,
    ms: number,
    done: (ok: boolean) => void,
  ) => void
}
