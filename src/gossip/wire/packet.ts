/**
 * Converts between a datagram and its messages: label, encryption, checksum, compound and compression, in any
 * nesting order, within limits.
 */
import { checked, compounded, labelHeader, partsOf, unlabelled } from './compound.ts'
import { opened, sealed } from './envelope.ts'
import { decompressed } from './lzw.ts'
import { readCompressHead } from './messages.ts'
import { Reader } from './msgpack.ts'
import { TYPE } from './types.ts'

/** Limit of a decompressed packet in octets; a datagram holds 64 KiB. */
const INFLATED_MOST = 64 * 1024
/** Limit of nested compounds and compressions. memberlist nests two at most. */
const DEPTH_MOST = 4
/** Limit of messages in one packet. */
const MESSAGES_MOST = 1024

export type PacketKeys = {
  readonly keys: readonly Uint8Array[]
  readonly primary: Uint8Array
  nonce: () => Uint8Array
}

/** Packs and unpacks the packets of one ring. */
export class Packets {
  readonly #header: Buffer
  readonly #label: Buffer
  readonly #keyring: PacketKeys | undefined

  constructor(label: string, keyring: PacketKeys | undefined) {
    this.#header = labelHeader(label)
    this.#label = Buffer.from(label)
    this.#keyring = keyring
  }

  /** Packs messages into one datagram. */
  pack(messages: readonly Uint8Array[]): Uint8Array {
    const body = compounded(messages)
    if (!this.#keyring) return this.#header.length > 0 ? Buffer.concat([this.#header, body]) : body
    const bytes = sealed(this.#keyring.primary, this.#keyring.nonce(), [body], this.#label)
    return this.#header.length > 0 ? Buffer.concat([this.#header, bytes]) : bytes
  }

  /**
   * The messages in a datagram, compounds resolved. 'refused': no key decrypts it, it is not encrypted in a ring
   * with keys, or it has another label. 'malformed': it contains no valid message.
   */
  unpack(datagram: Uint8Array): Uint8Array[] | 'refused' | 'malformed' {
    const bytes = unlabelled(datagram, this.#header)
    if (!bytes) return 'refused'
    const plain = this.#keyring ? opened(this.#keyring.keys, bytes, this.#label) : bytes
    if (!plain) return 'refused'
    const body = checked(plain)
    if (!body) return 'malformed'
    const out: Uint8Array[] = []
    return this.#flatten(body, 0, out) ? out : 'malformed'
  }

  #flatten(message: Uint8Array, depth: number, out: Uint8Array[]): boolean {
    if (message.length === 0 || depth > DEPTH_MOST || out.length >= MESSAGES_MOST) return false
    if (message[0] === TYPE.compound) {
      let some = false
      for (const part of partsOf(message.subarray(1)))
        some = this.#flatten(part, depth + 1, out) || some
      return some
    }
    if (message[0] === TYPE.compress) {
      const r = new Reader(message, 1)
      const length = readCompressHead(r, INFLATED_MOST)
      const inflated =
        length === undefined ? undefined : decompressed(r.take(length), INFLATED_MOST)
      return r.ok && inflated !== undefined && this.#flatten(inflated, depth + 1, out)
    }
    out.push(message)
    return true
  }
}
