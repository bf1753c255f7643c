/**
 * What a member of the ring needs of a network: datagrams and byte streams
 * between endpoints. `udp-tcp.ts` is the real one, `memory.ts` one inside the
 * process; one test suite holds for both.
 */
import type { Endpoint } from '../wire/address.ts'

export type { Endpoint }

/** What a body tells its member. Buffers may be reused after the call. */
export type BodyEvents = {
  readonly packet: (bytes: Uint8Array, from: Endpoint) => void
  /** Somebody opened a stream; `id` is negative and new. */
  readonly accepted: (id: number, from: Endpoint) => void
  readonly data: (id: number, bytes: Uint8Array) => void
  /** The peer ended its side. */
  readonly ended: (id: number) => void
  /** The stream could not be opened, broke, or was too slow. Said once; nothing follows. */
  readonly failed: (id: number) => void
}

/** Counts since start. */
export type BodyStats = {
  /** Datagrams the system did not take. */
  sendFailed: number
  /** Streams turned away because too many were open. */
  turnedAway: number
}

export interface Body {
  /**
   * Binds one UDP and one TCP socket to the same address and port (0: any
   * port that is free for both). Rejects with EBIND.
   */
  open(at: Endpoint, events: BodyEvents): Promise<Endpoint>
  /** Sends a datagram. It may be lost, and nobody will say so. */
  send(to: Endpoint, bytes: Uint8Array): void
  /** Opens a stream under this id, positive, and writes. */
  connect(id: number, to: Endpoint, bytes: Uint8Array): void
  /** Writes and ends our side. An unknown id is ignored. */
  end(id: number, bytes: Uint8Array): void
  /** Drops a stream at once; nothing more is said of it. An unknown id is ignored. */
  drop(id: number): void
  /** Drops everything and gives the port back. */
  close(): Promise<void>
  readonly stats: BodyStats
}
