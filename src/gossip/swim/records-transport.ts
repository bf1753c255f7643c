/**
 * Carries the records' bytes (gossip/rider.ts) over the ring: in packets within a
 * budget of their own, on streams, and as a digest beside pings and acks.
 * Only capable members ever get any of it.
 *
 *   packet, stream  [8] [0xfe] [length] sender's name, bytes
 *   digest          [8] [0xff] [table digest: 32 bit] [living: 32 bit] bytes
 */
import type { Rider, RiderSend } from '../rider.ts'
import { readUserHead, writeStreamUser } from '../wire/messages.ts'
import { bufferOf, Reader } from '../wire/msgpack.ts'
import { STREAM_MOST } from '../wire/stream.ts'
import { OURS, TYPE } from '../wire/types.ts'
import type { Env } from './env.ts'
import { isGone, type Node } from './members.ts'
import type { Post } from './post.ts'
import { STREAM_MS, type Streams } from './streams.ts'
import type { Swim } from './swim.ts'

/**
 * Octets per second that the records may send in packets, independent of the membership's traffic (memberlist #299):
 * 21 kB for news, which the records limit themselves, and the rest for answers to repairs.
 */
export const RECORDS_PER_SECOND = 32_000
/** Unused budget is kept for up to two seconds. */
const BURST_SECONDS = 2
/**
 * Longest datagram with records. A records message has up to 1,300 octets; with a name of 128 octets it must still
 * fit without fragments.
 */
const DATAGRAM_MOST = 1472
const DIGEST_HEAD = 9

/** The membership part of a peer's digest. */
export type TableDigest = { readonly digest: number; readonly living: number }

export class RecordsTransport {
  readonly #env: Env
  readonly #swim: Swim
  readonly #post: Post
  readonly #streams: Streams
  readonly #rider: Rider | undefined
  readonly #head: Buffer
  readonly #rate: number
  #allowance: number
  #filledAt: number
  #polling = false
  /** When to poll the records next; the rider returned the wait. */
  nextMs = Infinity

  constructor(
    env: Env,
    swim: Swim,
    post: Post,
    streams: Streams,
    rider: Rider | undefined,
    perSecond = RECORDS_PER_SECOND,
  ) {
    this.#env = env
    this.#swim = swim
    this.#post = post
    this.#streams = streams
    this.#rider = rider
    const name = Buffer.from(env.name)
    this.#head = Buffer.concat([Buffer.of(OURS.records, name.length), name])
    this.#rate = perSecond
    this.#allowance = perSecond * BURST_SECONDS
    this.#filledAt = env.now
    if (rider) this.nextMs = env.now
  }

  /** Our digest as a message for a capable member. */
  digest(): Uint8Array {
    const rider = this.#rider?.digest(this.#env.now)
    const out = Buffer.allocUnsafe(1 + DIGEST_HEAD + (rider?.length ?? 0))
    out[0] = TYPE.user
    out[1] = OURS.digest
    out.writeUInt32BE(this.#swim.table.digest, 2)
    out.writeUInt32BE(this.#swim.table.living, 6)
    if (rider) out.set(rider, 1 + DIGEST_HEAD)
    return out
  }

  #capable(name: string): Node | undefined {
    const entry = name === '' ? undefined : this.#swim.table.get(name)
    return entry && !isGone(entry) && entry.node.capable ? entry.node : undefined
  }

  /**
   * Handles a records message from a packet, without its type octet.
   * @param sender who sent the ping or ack in the same packet, '' if there was none
   * @param onTable called with the table digest of a capable sender
   * @returns false if the message is malformed
   */
  message(
    body: Uint8Array,
    sender: string,
    onTable: (node: Node, table: TableDigest) => void,
  ): boolean {
    if (body[0] === OURS.digest) {
      if (body.length < DIGEST_HEAD) return false
      const node = this.#capable(sender)
      if (!node) return true
      const bytes = bufferOf(body)
      onTable(node, { digest: bytes.readUInt32BE(1), living: bytes.readUInt32BE(5) })
      if (body.length > DIGEST_HEAD)
        this.#rider?.onDigest(node.name, body.subarray(DIGEST_HEAD), this.#env.now)
      return true
    }
    const letter = opened(body)
    if (!letter) return false
    this.#env.stats.recordBytesIn += letter.bytes.length
    this.#rider?.onPacket(letter.from, letter.bytes, this.#env.now)
    return true
  }

  /**
   * Handles a user message from a stream, type octet included. Returns the answer to write, or undefined to close
   * the stream.
   */
  request(message: Uint8Array): Uint8Array | undefined {
    const letter = openedStream(message)
    if (!letter) {
      this.#env.stats.malformed++
      return undefined
    }
    this.#env.stats.recordBytesIn += letter.bytes.length
    const answer = this.#rider?.onStreamRequest(letter.from, letter.bytes, this.#env.now)
    if (!answer) return undefined
    this.#env.stats.recordBytesOut += answer.length
    return writeStreamUser(Buffer.concat([this.#head, answer]))
  }

  /** Asks the records for what to send, and sends it. */
  poll(): void {
    // the rider may call back while it is polled; without this check that would recurse without end
    if (!this.#rider || this.#polling) return
    this.#polling = true
    const { sends, nextMs } = this.#rider.poll(this.#env.now)
    for (const send of sends) this.#send(send)
    this.nextMs = this.#env.now + nextMs
    this.#polling = false
  }

  /** After a stall the rider is polled at once. */
  shift(by: number): void {
    this.#filledAt += by
  }

  #afford(octets: number): boolean {
    const { now } = this.#env
    this.#allowance = Math.min(
      this.#rate * BURST_SECONDS,
      this.#allowance + (Math.max(0, now - this.#filledAt) / 1000) * this.#rate,
    )
    this.#filledAt = Math.max(now, this.#filledAt)
    if (this.#allowance < octets) return false
    this.#allowance -= octets
    return true
  }

  #send(send: RiderSend): void {
    const node = this.#capable(send.to)
    if (send.via === 'packet') {
      const octets = this.#head.length + send.body.length
      if (!node || octets + this.#post.overhead + 1 > DATAGRAM_MOST || !this.#afford(octets)) {
        this.#env.stats.recordsDropped++
        return
      }
      this.#env.stats.recordBytesOut += send.body.length
      this.#post.user(node, Buffer.concat([this.#head, send.body]))
      return
    }
    const { token, to } = send
    const answered = (message: Buffer | undefined): void => {
      const letter = message && openedStream(message)
      if (letter) this.#env.stats.recordBytesIn += letter.bytes.length
      this.#rider?.onStreamResponse(to, token, letter?.bytes, this.#env.now)
    }
    const bytes =
      node && this.#post.frame([writeStreamUser(Buffer.concat([this.#head, send.body]))])
    this.#env.stats.recordBytesOut += send.body.length
    // the failure is reported later, because the rider is in the middle of a poll
    if (!node || !bytes || !this.#streams.open('records', node, bytes, STREAM_MS, answered)) {
      this.#env.timers.at(this.#env.now, () => answered(undefined))
    }
  }
}

/** Sender and content of a records message. */
const opened = (body: Uint8Array): { from: string; bytes: Uint8Array } | undefined => {
  const length = body[1] ?? 0
  if (body[0] !== OURS.records || length === 0 || body.length < 2 + length) return undefined
  const from = bufferOf(body).toString('utf8', 2, 2 + length)
  return { from, bytes: body.subarray(2 + length) }
}

const openedStream = (message: Uint8Array): { from: string; bytes: Uint8Array } | undefined => {
  if (message[0] !== TYPE.user) return undefined
  const r = new Reader(message, 1)
  const length = readUserHead(r, STREAM_MOST)
  return length === undefined ? undefined : opened(r.take(length))
}
