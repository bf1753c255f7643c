/**
 * Memory that the kernel reads and writes: message headers, their addresses
 * and their packets, laid out once. A batch then changes a few lengths and
 * nothing else.
 *
 * One header is a `struct mmsghdr`, 64 bytes on x86-64 and arm64 alike:
 *
 *     byte  word  field
 *     0     0     msg_name       pointer to a sockaddr
 *     8     2     msg_namelen
 *     16    4     msg_iov        pointer to an iovec
 *     24    6     msg_iovlen
 *     32    8     msg_control    pointer
 *     40    10    msg_controllen
 *     48    12    msg_flags
 *     56    14    msg_len        bytes received or sent
 *
 * and an `iovec` is a pointer and a length of 8 bytes each.
 */
import { NAME_BYTES, NAME_WORDS } from './inet.ts'
import type { Libc } from './libc.ts'

export const HEADER_BYTES = 64
export const HEADER_WORDS = 16
export const NAME_LENGTH = 2
export const IOV = 4
export const CONTROL = 8
export const CONTROL_LENGTH = 10
export const FLAGS = 12
export const LENGTH = 14
const IOVEC_BYTES = 16
const IOVEC_WORDS = 4

/** The dimensions of a Messages. */
export type Layout = {
  /** 0 for packets that are sent through a SendList, which has its own headers. */
  readonly headers: number
  /** Packets, each with an iovec and a sockaddr. Header i initially refers to packet i. */
  readonly packets: number
  readonly packetBytes: number
  /** Bytes of control data per packet, a multiple of 8; 0 for none. */
  readonly controlBytes?: number
  /** Uses the sockaddrs and control data of these messages, so that replies go to the sender of the query. */
  readonly replyTo?: Messages
}

/**
 * Message headers and packets. Packets are one cache line further apart than their size: at multiples of 4,096 bytes
 * their first lines would share the same eight ways of the first-level cache.
 */
export class Messages {
  readonly memory: ArrayBuffer
  readonly base: number
  /** The whole memory as words; headers begin at word 0. */
  readonly words: Int32Array
  readonly bytes: Buffer
  readonly packetAt: Int32Array
  readonly controlAt: Int32Array
  /** The sockaddrs; packet i's is names[i * NAME_WORDS ...]. */
  readonly names: Int32Array
  readonly #iovecs: number
  /** Memory addresses of the first sockaddr and of the first control data. */
  readonly #namesAddress: number
  readonly #controlsAddress: number
  readonly #controlBytes: number

  constructor(libc: Libc, layout: Layout) {
    const { headers, packets, packetBytes, controlBytes = 0, replyTo } = layout
    const stride = packetBytes + 64
    this.#iovecs = headers * HEADER_BYTES
    const names = this.#iovecs + packets * IOVEC_BYTES
    const controls = names + packets * NAME_BYTES
    const first = (controls + packets * controlBytes + 63) & ~63
    this.memory = new ArrayBuffer(first + packets * stride)
    this.base = libc.addressOf(this.memory)
    this.words = new Int32Array(this.memory)
    this.bytes = Buffer.from(this.memory)
    this.names = replyTo?.names ?? new Int32Array(this.memory, names, packets * NAME_WORDS)
    this.packetAt = Int32Array.from({ length: packets }, (_, i) => first + i * stride)
    this.controlAt = Int32Array.from({ length: packets }, (_, i) => controls + i * controlBytes)
    this.#namesAddress = replyTo ? replyTo.#namesAddress : this.base + names
    this.#controlsAddress = replyTo ? replyTo.#controlsAddress : this.base + controls
    this.#controlBytes = replyTo ? replyTo.#controlBytes : controlBytes
    for (let i = 0; i < packets; i++) {
      this.#pointer(this.#iovecs / 4 + i * IOVEC_WORDS, this.base + this.packetAt[i]!)
      this.resize(i, packetBytes)
    }
    for (let i = 0; i < headers; i++) {
      this.words[i * HEADER_WORDS + NAME_LENGTH] = NAME_BYTES - 4
      this.words[i * HEADER_WORDS + IOV + 2] = 1
      this.point(i, i)
    }
  }

  #pointer(word: number, address: number): void {
    this.words[word] = address | 0
    this.words[word + 1] = Math.floor(address / 2 ** 32)
  }

  /**
   * Makes a header refer to a packet with its address and control data (the length of the control data is not
   * changed).
   */
  point(header: number, packet: number): void {
    const at = header * HEADER_WORDS
    this.#pointer(at, this.#namesAddress + packet * NAME_BYTES)
    this.#pointer(at + CONTROL, this.#controlsAddress + packet * this.#controlBytes)
    this.#pointer(at + IOV, this.base + this.#iovecs + packet * IOVEC_BYTES)
  }

  /** Sets the number of bytes of a packet to send, or the room to receive it. */
  resize(packet: number, bytes: number): void {
    this.words[this.#iovecs / 4 + packet * IOVEC_WORDS + 2] = bytes
  }

  /** Memory address of a packet, for an iovec. */
  packetAddress(packet: number): number {
    return this.base + this.packetAt[packet]!
  }

  /** Memory address of a packet's sockaddr. */
  nameAddress(packet: number): number {
    return this.#namesAddress + packet * NAME_BYTES
  }

  /** Memory address of a packet's control data. */
  controlAddress(packet: number): number {
    return this.#controlsAddress + packet * this.#controlBytes
  }
}
