/**
 * A list of datagrams for one sendmmsg. Datagrams for the same peer may share a message: the kernel processes their
 * octets once and splits them into datagrams at the end (UDP_SEGMENT, udp(7)). Processing is most of the cost of
 * sending, so a peer with many queries under way is answered with a quarter less CPU time.
 */
import { CONTROL, CONTROL_LENGTH, HEADER_BYTES, HEADER_WORDS, IOV, NAME_LENGTH } from './arena.ts'
import type { Messages } from './arena.ts'
import { AF_INET, NAME_BYTES, NAME_WORDS, portOf } from './inet.ts'
import type { Libc } from './libc.ts'
import { SOL_UDP, UDP_SEGMENT } from './libc.ts'

/** Limit of datagrams in one list, which is also the kernel's limit of segments in one message. */
export const LIST = 64
/** Limit of octets in one message; an IP packet has 65,535 with its headers. */
const MESSAGE_BYTES = 60_000
/** How many of the last messages a datagram is compared with: a race has three masters, a batch few busy clients. */
const COMPARED = 4
const IOVEC_BYTES = 16
const IOVEC_WORDS = 4
/** One cmsghdr with a segment size, padded: length 18, level, type, a 16-bit number. */
const CONTROL_BYTES = 24
const SEGMENT_CONTROL = 18

export class SendList {
  /** Messages in the list. */
  count = 0
  readonly #packets: Messages
  readonly #memory: ArrayBuffer
  readonly #base: number
  readonly #words: Int32Array
  /** Offsets of the iovecs and the control data. */
  readonly #iovecs = LIST * HEADER_BYTES
  readonly #controls = LIST * (HEADER_BYTES + IOVEC_BYTES)
  #size = 0
  /**
   * By position in the list: the packet, its octets, the octets of its control data, and the next position in the
   * same message.
   */
  readonly #packet = new Int32Array(LIST)
  readonly #length = new Int32Array(LIST)
  readonly #control = new Int32Array(LIST)
  readonly #next = new Int32Array(LIST)
  /** By message: its first and last position, its octets, and whether more datagrams may join. */
  readonly #first = new Int32Array(LIST)
  readonly #last = new Int32Array(LIST)
  readonly #bytes = new Int32Array(LIST)
  readonly #open = new Uint8Array(LIST)

  /** @param packets the memory of the datagrams, their addresses and control data */
  constructor(libc: Libc, packets: Messages) {
    this.#packets = packets
    this.#memory = new ArrayBuffer(LIST * (HEADER_BYTES + IOVEC_BYTES + CONTROL_BYTES))
    this.#base = libc.addressOf(this.#memory)
    this.#words = new Int32Array(this.#memory)
    for (let i = 0; i < LIST; i++) {
      const control = (this.#controls + i * CONTROL_BYTES) / 4
      this.#words[control] = SEGMENT_CONTROL
      this.#words[control + 2] = SOL_UDP
      this.#words[control + 3] = UDP_SEGMENT
      this.#words[i * HEADER_WORDS + NAME_LENGTH] = NAME_BYTES - 4
    }
  }

  clear(): void {
    this.count = 0
    this.#size = 0
  }

  /**
   * Adds the first `length` octets of a packet with `control` octets of control data. If `join` is set it may join
   * an earlier message: all datagrams of a message have the same size, only the last may be shorter.
   */
  add(packet: number, length: number, control: number, join: boolean): void {
    const place = this.#size++
    this.#packet[place] = packet
    this.#length[place] = length
    this.#control[place] = control
    this.#next[place] = -1
    // A datagram to port 0 always fails (a query may come from there); alone, its failure does not look like a
    // refused joined message.
    const mayJoin = join && control === 0 && portOf(this.#packets.names[packet * NAME_WORDS]!) !== 0
    if (mayJoin && this.#joins(place, length)) return
    const message = this.count++
    this.#first[message] = place
    this.#last[message] = place
    this.#bytes[message] = length
    this.#open[message] = mayJoin ? 1 : 0
  }

  #joins(place: number, length: number): boolean {
    const end = Math.max(0, this.count - COMPARED)
    for (let message = this.count - 1; message >= end; message--) {
      if (this.#open[message] === 0) continue
      const first = this.#first[message]!
      if (!this.#samePeer(this.#packet[first]!, this.#packet[place]!)) continue
      // Keeps the order: a datagram never overtakes a message to the same peer.
      const size = this.#length[first]!
      if (length > size || this.#bytes[message]! + length > MESSAGE_BYTES) {
        this.#open[message] = 0
        return false
      }
      if (length < size) this.#open[message] = 0
      this.#next[this.#last[message]!] = place
      this.#last[message] = place
      this.#bytes[message]! += length
      return true
    }
    return false
  }

  #samePeer(a: number, b: number): boolean {
    const { names } = this.#packets
    const x = a * NAME_WORDS
    const y = b * NAME_WORDS
    if (names[x] !== names[y] || names[x + 1] !== names[y + 1]) return false
    if ((names[x]! & 0xffff) === AF_INET) return true
    for (let i = 2; i < 7; i++) if (names[x + i] !== names[y + i]) return false
    return true
  }

  /** Writes the headers of all messages; returns their memory address. */
  seal(): number {
    let iovec = 0
    for (let message = 0; message < this.count; message++) {
      const first = this.#first[message]!
      const from = iovec
      for (let place = first; place >= 0; place = this.#next[place]!) {
        const at = this.#iovecs / 4 + iovec++ * IOVEC_WORDS
        this.#pointer(at, this.#packets.packetAddress(this.#packet[place]!))
        this.#words[at + 2] = this.#length[place]!
      }
      const header = message * HEADER_WORDS
      const packet = this.#packet[first]!
      this.#pointer(header, this.#packets.nameAddress(packet))
      this.#pointer(header + IOV, this.#base + this.#iovecs + from * IOVEC_BYTES)
      this.#words[header + IOV + 2] = iovec - from
      if (iovec - from > 1) {
        const control = this.#controls + message * CONTROL_BYTES
        this.#words[control / 4 + 4] = this.#length[first]!
        this.#pointer(header + CONTROL, this.#base + control)
        this.#words[header + CONTROL_LENGTH] = CONTROL_BYTES
      } else {
        this.#pointer(header + CONTROL, this.#packets.controlAddress(packet))
        this.#words[header + CONTROL_LENGTH] = this.#control[first]!
      }
    }
    return this.#base
  }

  /** Memory address of a message's header. */
  addressOf(message: number): number {
    return this.#base + message * HEADER_BYTES
  }

  /** Whether several datagrams share a message. */
  isJoined(message: number): boolean {
    return this.#first[message] !== this.#last[message]
  }

  /** Calls `each` with the packets of a message in order; returns their number. */
  packetsOf(message: number, each?: (packet: number) => void): number {
    let n = 0
    for (let place = this.#first[message]!; place >= 0; place = this.#next[place]!) {
      each?.(this.#packet[place]!)
      n++
    }
    return n
  }

  #pointer(word: number, address: number): void {
    this.#words[word] = address | 0
    this.#words[word + 1] = Math.floor(address / 2 ** 32)
  }
}
