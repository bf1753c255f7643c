/**
 * The interface for receiving and sending datagrams in batches. `batch.ts` implements it with recvmmsg and sendmmsg
 * on Linux, `dgram.ts` with node:dgram everywhere; `createPacketIO` (io.ts) chooses. One PacketIO belongs to one
 * thread.
 */

import type { Client } from '../../base/ip.ts'

/** A destination or source. Its text is created on demand. */
export interface Peer {
  readonly family: 4 | 6
  readonly address: string
  readonly port: number
}

/** Received datagrams, valid only during the OnBatch call. The object is reused for every batch. */
export interface Batch {
  readonly socket: UdpSocket
  readonly count: number
  /** All received bytes: datagram i is rx[rxAt[i] .. rxAt[i] + rxLen[i]). */
  readonly rx: Buffer
  readonly rxAt: Int32Array
  /** Bytes received. The kernel cuts longer datagrams; those have rxCut[i] = 1. */
  readonly rxLen: Int32Array
  readonly rxCut: Uint8Array
  /** Room for one reply per datagram: tx[txAt[i] .. txAt[i] + TX_SLOT). */
  readonly tx: Buffer
  readonly txAt: Int32Array
  /**
   * Set it to the length of the reply in slot i, which is sent to the sender of datagram i from this socket after
   * the handler returns. 0 (its value on entry) sends nothing.
   */
  readonly txLen: Int32Array
  /** The sender's IPv4 address as an unsigned 32-bit number, -1 for IPv6. Allocates nothing. */
  source4(i: number): number
  /** Whom the sender counts as where clients share something fairly. Allocates nothing. */
  client(i: number): Client
  /** The sender's port. Allocates nothing. */
  sourcePort(i: number): number
  /** Whether datagram i came from exactly this address and port. Allocates nothing. */
  isFrom(i: number, peer: Peer): boolean
  /** A copy of the sender's address that may be kept. Allocates. */
  peer(i: number): Peer
}

/** Size of a reply slot; more than any UDP answer that we send (1,232). */
export const TX_SLOT = 1536
/** Largest datagram received completely; our queries allow 1,232. */
export const RX_SLOT = 4096

/**
 * Handles a batch. True promises that the replies in `tx` are all that came of it: no promise, immediate or stream
 * was begun, so that the thread may wait for the next datagram without a round of libuv's loop.
 */
export type OnBatch = (batch: Batch) => boolean | void

export interface UdpSocket {
  readonly address: string
  readonly port: number
  /**
   * Queues bytes[at .. at + length) to a peer. They are copied, and sent at the end of the turn together with all
   * others. False if the queue is full or the socket is closed (counted in stats).
   */
  send(bytes: Uint8Array, at: number, length: number, to: Peer): boolean
  /** Receives no more: datagrams wait in the kernel for the next owner of the socket (batches only). */
  pause(): void
  close(): void
}

/** How to create a socket. `fd` adopts a bound descriptor from systemd; it belongs to us from then on. */
export type SocketSpec = {
  /** 0.0.0.0 and :: are wildcards; replies then leave from the address that was asked (batches only, port not 0). */
  readonly address: string
  /** 0 chooses any free port. */
  readonly port: number
  readonly fd?: number
  /**
   * SO_RCVBUF in bytes. Default 1 MiB (as in dcos-net), 256 KiB for upstream sockets. A larger one of an adopted
   * descriptor is kept.
   */
  readonly receiveBuffer?: number
  /** Datagrams for one peer that are sent together may share a message (send-list.ts; batches only). */
  readonly join?: boolean
  /**
   * Limit of datagrams that are received in one call and answered before the next (batches only). Default and
   * maximum 64.
   */
  readonly atOnce?: number
  readonly onBatch: OnBatch
  /**
   * Called for an ICMP error or a send error; `peer` is undefined if it is not known. `code` is an errno name such
   * as ECONNREFUSED.
   */
  readonly onError?: (code: string, peer: Peer | undefined) => void
}

/**
 * Called once per turn of the loop; returns the milliseconds until the next call (Infinity: only after packets).
 * @param now the current time
 * @param seen everything that had arrived by this time has been handled. Timers that detect silence must use it: if
 * the thread was suspended, `now` is late and replies may still be in the sockets.
 */
export type OnTurn = (now: number, seen: number) => number

export interface PacketIO {
  readonly body: 'batch' | 'dgram'
  /**
   * Monotonic milliseconds (the scale of performance.now()), read once per turn and before each further batch of it.
   */
  now(): number
  /** Opens, binds and starts to receive. Rejects with code EBIND and the errno name in `errno`. */
  open(spec: SocketSpec): Promise<UdpSocket>
  /** A peer to send to. Throws EUSAGE for a bad literal. */
  peer(address: string, port: number): Peer
  /** Runs `turn` each turn until close(). Call once. */
  start(turn: OnTurn): void
  /** Makes `turn` run soon although no packet came (after a promise or a message), and libuv's loop after it. */
  wake(): void
  /** Closes every socket and ends the loop; the thread may then exit. */
  close(): void
  readonly stats: IoStats
}

/** Counters since the start. */
export type IoStats = {
  receiveCalls: number
  received: number
  sendCalls: number
  sent: number
  /** Datagrams not sent: queue full, ENOBUFS after retry, or a socket error. */
  sendDropped: number
  sendRetried: number
  /** Datagrams dropped because a receive queue was full, if known (SO_MEMINFO, read every second and on close). */
  receiveDropped: number
  errors: number
}
