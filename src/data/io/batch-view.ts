/**
 * One batch of received datagrams, as a view of the thread's receive and reply memory. A single object is reused for
 * every batch.
 */
import { client6, type Client } from '../../base/ip.ts'
import { CONTROL_LENGTH, FLAGS, HEADER_WORDS, LENGTH, Messages, NAME_LENGTH } from './arena.ts'
import { AF_INET, InetPeer, NAME_WORDS, address4Of, asInet, portOf, swap32 } from './inet.ts'
import { MSG_TRUNC } from './libc.ts'
import type { Libc } from './libc.ts'
import { BATCH, CONTROL_BYTES } from './outbox.ts'
import { RX_SLOT, TX_SLOT } from './packet-io.ts'
import type { Batch, Peer, UdpSocket } from './packet-io.ts'

/** Offset of the data in a control message, and of the interface index in each pktinfo. */
const PKTINFO4_INTERFACE = 16
const PKTINFO6_INTERFACE = 32
/** First octets of a link-local IPv6 address, whose interface is part of the address. */
const LINK_LOCAL = 0xfe80

export class BatchView implements Batch {
  socket!: UdpSocket
  count = 0
  readonly rx: Buffer
  readonly rxAt: Int32Array
  readonly rxLen = new Int32Array(BATCH)
  readonly rxCut = new Uint8Array(BATCH)
  readonly tx: Buffer
  readonly txAt: Int32Array
  readonly txLen = new Int32Array(BATCH)
  readonly received: Messages
  readonly replies: Messages
  readonly #words: Int32Array
  readonly #names: Int32Array

  constructor(libc: Libc) {
    this.received = new Messages(libc, {
      headers: BATCH,
      packets: BATCH,
      packetBytes: RX_SLOT,
      controlBytes: CONTROL_BYTES,
    })
    this.replies = new Messages(libc, {
      headers: 0,
      packets: BATCH,
      packetBytes: TX_SLOT,
      replyTo: this.received,
    })
    this.rx = this.received.bytes
    this.rxAt = this.received.packetAt
    this.tx = this.replies.bytes
    this.txAt = this.replies.packetAt
    this.#words = this.received.words
    this.#names = this.received.names
  }

  /** Reads the results of recvmmsg from the headers. */
  fill(socket: UdpSocket, count: number): void {
    this.socket = socket
    this.count = count
    const words = this.#words
    for (let i = 0, at = 0; i < count; i++, at += HEADER_WORDS) {
      this.rxLen[i] = words[at + LENGTH]!
      this.rxCut[i] = words[at + FLAGS]! & MSG_TRUNC ? 1 : 0
      this.txLen[i] = 0
    }
  }

  source4(i: number): number {
    const at = i * NAME_WORDS
    return (this.#names[at]! & 0xffff) === AF_INET ? address4Of(this.#names[at + 1]!) : -1
  }

  client(i: number): Client {
    const at = i * NAME_WORDS
    const names = this.#names
    if ((names[at]! & 0xffff) === AF_INET) return address4Of(names[at + 1]!)
    return client6(
      swap32(names[at + 2]!),
      swap32(names[at + 3]!),
      swap32(names[at + 4]!),
      swap32(names[at + 5]!),
    )
  }

  sourcePort(i: number): number {
    return portOf(this.#names[i * NAME_WORDS]!)
  }

  isFrom(i: number, peer: Peer): boolean {
    const names = this.#names
    const at = i * NAME_WORDS
    const { family, word0, word1, word2, word3, word4, word5, word6 } = asInet(peer)
    if (names[at] !== word0) return false
    if (family === 4) return names[at + 1] === word1
    return (
      names[at + 2] === word2 &&
      names[at + 3] === word3 &&
      names[at + 4] === word4 &&
      names[at + 5] === word5 &&
      // A peer without a scope matches any scope.
      (word6 === 0 || names[at + 6] === word6)
    )
  }

  peer(i: number): Peer {
    const peer = new InetPeer(this.#names, i * NAME_WORDS)
    const length = this.replyControl(i)
    const at = this.received.controlAt[i]!
    if (length > 0) peer.control = Buffer.from(this.rx.subarray(at, at + length))
    return peer
  }

  /**
   * Makes the control data that was received fit for a reply. Returns its octets: 0 unless the socket is bound to the
   * wildcard address.
   */
  replyControl(i: number): number {
    const length = this.#words[i * HEADER_WORDS + CONTROL_LENGTH]!
    if (length > 0) clearInterface(this.received, i)
    return length
  }
}

/** Clears the interface that a query came in by, so that the route chooses the interface of the reply. */
const clearInterface = ({ bytes, controlAt, words }: Messages, i: number): void => {
  const at = controlAt[i]!
  const v6 = words[i * HEADER_WORDS + NAME_LENGTH]! > 16
  if (!v6) bytes.writeInt32LE(0, at + PKTINFO4_INTERFACE)
  else if ((bytes.readUInt16BE(at + 16) & 0xffc0) !== LINK_LOCAL) {
    bytes.writeInt32LE(0, at + PKTINFO6_INTERFACE)
  }
}
