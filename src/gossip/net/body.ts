/**
 * The network interface of a ring member: datagrams and byte streams between endpoints. `udp-tcp.ts` implements it
 * with sockets, `memory.ts` inside the process; one test suite covers both.
 */
import type { Endpoint } from '../wire/address.ts'

export type { Endpoint }

/** Callbacks of the network. Buffers may be reused after the call. */
export type BodyEvents = {
  readonly packet: (bytes: Uint8Array, from: Endpoint) => void
  /** A peer opened a stream. `id` is negative and new. */
  readonly accepted: (id: number, from: Endpoint) => void
  readonly data: (id: number, bytes: Uint8Array) => void
  /** The peer ended its side of the stream. */
  readonly ended: (id: number) => void
  /** The stream failed to open, broke, or was too slow. This is the last callback for the stream. */
  readonly failed: (id: number) => void
}

/** Counts since start. */
export type BodyStats = {
  /** Datagrams that the system refused to send. */
  sendFailed: number
  /** Streams refused because too many were open. */
  turnedAway: number
}

export interface Body {
  /**
   * Binds one UDP and one TCP socket to the same address and port (0: any port that is free for both). Rejects with
   * EBIND.
   */
  open(at: Endpoint, events: BodyEvents): Promise<Endpoint>
  /** Sends a datagram. A lost datagram is not reported. */
  send(to: Endpoint, bytes: Uint8Array): void
  /** Opens a stream under this positive id and writes the bytes. */
  connect(id: number, to: Endpoint, bytes: Uint8Array): void
  /** Writes the bytes and ends our side. An unknown id is ignored. */
  end(id: number, bytes: Uint8Array): void
  /** Closes a stream at once, without a callback. An unknown id is ignored. */
  drop(id: number): void
  /** Closes everything and frees the port. */
  close(): Promise<void>
  readonly stats: BodyStats
}
