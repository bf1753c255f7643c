/**
 * Datagrams in and out, in batches: the one interface both bodies serve.
 * `batch.ts` calls recvmmsg and sendmmsg through koffi on Linux; `dgram.ts`
 * is plain node:dgram and runs everywhere. The choice is `createPacketIO`'s
 * (io.ts). One PacketIO belongs to one thread.
 */

/** An opaque destination or source. Text is made only when somebody asks. */
export interface Peer {
  readonly family: 4 | 6
  readonly address: string
  readonly port: number
}

/**
 * Received datagrams, valid only during the OnBatch call that got them.
 * Views are made once and reused for every batch.
 */
export interface Batch {
  readonly socket: UdpSocket
  readonly count: number
  /** All received bytes: datagram i is rx[rxAt[i] .. rxAt[i] + rxLen[i]). */
  readonly rx: Buffer
  readonly rxAt: Int32Array
  /** Bytes received; longer datagrams were cut by the kernel and are flagged by rxCut[i] = 1. */
  readonly rxLen: Int32Array
  readonly rxCut: Uint8Array
  /** Room for one reply per datagram: tx[txAt[i] .. txAt[i] + TX_SLOT). */
  readonly tx: Buffer
  readonly txAt: Int32Array
  /**
   * Bytes of slot i to send to the sender of datagram i, from this socket;
   * 0 (its value on entry) sends nothing. Sent together after the handler
   * returns.
   */
  readonly txLen: Int32Array
  /** The sender's IPv4 address as an unsigned 32-bit number, -1 for IPv6. Allocates nothing. */
  source4(i: number): number
  /** The sender's port. Allocates nothing. */
  sourcePort(i: number): number
  /** Whether datagram i came from exactly this address and port. Allocates nothing. */
  isFrom(i: number, peer: Peer): boolean
  /** A copy of the sender's address that may be kept. Allocates. */
  peer(i: number): Peer
}

/** Largest reply a tx slot holds; larger than any UDP answer we send (1,232). */
export const TX_SLOT = 1536
/** Largest datagram received whole; our queries upstream offer 1,232. */
export const RX_SLOT = 4096

export type OnBatch = (batch: Batch) => void

export interface UdpSocket {
  readonly address: string
  readonly port: number
  /**
   * Queue bytes[at .. at + length) to a peer; copied at once, sent at the end
   * of the turn together with all others. False when the queue is full or the
   * socket is closed (counted in stats).
   */
  send(bytes: Uint8Array, at: number, length: number, to: Peer): boolean
  close(): void
}

/** What a socket is made of. `fd` adopts a bound descriptor (systemd's), which is ours to close from then on. */
export type SocketSpec = {
  /** 0.0.0.0 and :: are every address; replies then leave from the one that was asked (batch body, port not 0). */
  readonly address: string
  /** 0: any free one. */
  readonly port: number
  readonly fd?: number
  /** SO_RCVBUF asked for, bytes. Default 1 MiB (as dcos-net's udp_recbuf), 256 KiB for upstream sockets. */
  readonly receiveBuffer?: number
  /** Datagrams that leave together for one peer may share a message (send-list.ts; batch body). */
  readonly join?: boolean
  /**
   * Datagrams taken by one call, at most 64 (the default), and answered
   * before the next call (batch body).
   */
  readonly atOnce?: number
  readonly onBatch: OnBatch
  /**
   * An ICMP error or a send error named this peer (undefined where the body
   * cannot tell). `code` is an errno name such as ECONNREFUSED.
   */
  readonly onError?: (code: string, peer: Peer | undefined) => void
}

/**
 * Called once per turn of the loop; returns milliseconds until it wants to be
 * called again (Infinity: only after packets).
 * @param now the time
 * @param seen what had arrived by then has been handed over. A timer that
 *   stands for silence is due by this one: when the machine held the thread
 *   up, now is past and the packets are still in the sockets.
 */
export type OnTurn = (now: number, seen: number) => number

export interface PacketIO {
  readonly body: 'batch' | 'dgram'
  /**
   * Monotonic milliseconds (performance.now() scale), read once per turn and
   * again before each further batch of it.
   */
  now(): number
  /** Opens, binds and starts reading. Rejects with code EBIND and the errno name in `errno`. */
  open(spec: SocketSpec): Promise<UdpSocket>
  /** A peer to send to. Throws EUSAGE on a bad literal. */
  peer(address: string, port: number): Peer
  /** Runs `turn` each turn until close(). Call once. */
  start(turn: OnTurn): void
  /** Say that `turn` should run soon although no packet came (a promise resolved, a message arrived). */
  wake(): void
  /** Closes every socket and ends the loop; the thread may exit after it. */
  close(): void
  readonly stats: IoStats
}

/** Plain numbers since start, for metrics. */
export type IoStats = {
  receiveCalls: number
  received: number
  sendCalls: number
  sent: number
  /** Datagrams not sent: queue full, ENOBUFS after retry, or a socket error. */
  sendDropped: number
  sendRetried: number
  /** Kernel receive-queue overflows where the body can tell (SO_MEMINFO, read every second and on close). */
  receiveDropped: number
  errors: number
}
