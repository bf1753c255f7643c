/**
 * Several messages in one packet, the ring's label before a packet or a
 * stream, and the checksum before a plain one: the frames that lie around
 * messages.
 *
 *   compound  [7] [n] [length: 16 bit] * n, then the n messages
 *   label     [244] [length] label, then what it labels
 *   checksum  [12] [CRC-32 of the rest], then the rest
 */
import { crc32 } from './crc32.ts'
import { bufferOf } from './msgpack.ts'
import { TYPE } from './types.ts'

/** Octets of a compound before its messages, and for each message. */
export const COMPOUND_HEAD = 2
export const COMPOUND_EACH = 2
const COMPOUND_MOST = 255

/** One message unchanged; several as a compound of at most 255. */
export const compounded = (messages: readonly Uint8Array[]): Uint8Array => {
  if (messages.length === 1) return messages[0]!
  const n = Math.min(messages.length, COMPOUND_MOST)
  let size = COMPOUND_HEAD + COMPOUND_EACH * n
  for (let i = 0; i < n; i++) size += messages[i]!.length
  const out = Buffer.allocUnsafe(size)
  out[0] = TYPE.compound
  out[1] = n
  let at = COMPOUND_HEAD + COMPOUND_EACH * n
  for (let i = 0; i < n; i++) {
    const message = messages[i]!
    out.writeUInt16BE(message.length, COMPOUND_HEAD + COMPOUND_EACH * i)
    out.set(message, at)
    at += message.length
  }
  return out
}

/** The messages in a compound, without its type octet. Messages cut off at the end are left out. */
export const partsOf = (body: Uint8Array): Uint8Array[] => {
  const n = body[0] ?? 0
  const lengths = bufferOf(body)
  let at = 1 + COMPOUND_EACH * n
  const parts: Uint8Array[] = []
  if (body.length < at) return parts
  for (let i = 0; i < n; i++) {
    const length = lengths.readUInt16BE(1 + COMPOUND_EACH * i)
    if (at + length > body.length) break
    parts.push(body.subarray(at, at + length))
    at += length
  }
  return parts
}

/** The header of a label; empty if there is no label. */
export const labelHeader = (label: string): Buffer => {
  if (label === '') return Buffer.alloc(0)
  const text = Buffer.from(label)
  return Buffer.concat([Buffer.of(TYPE.label, text.length), text])
}

/**
 * The octets after the expected label header; undefined if there is another label or none. `header` comes from
 * `labelHeader`.
 */
export const unlabelled = (bytes: Uint8Array, header: Uint8Array): Uint8Array | undefined => {
  if (header.length === 0) return bytes[0] === TYPE.label ? undefined : bytes
  if (bytes.length < header.length) return undefined
  for (let i = 0; i < header.length; i++) if (bytes[i] !== header[i]) return undefined
  return bytes.subarray(header.length)
}

/** The octets after a checksum; undefined if it does not match; all octets if there is no checksum. */
export const checked = (bytes: Uint8Array): Uint8Array | undefined => {
  if (bytes[0] !== TYPE.checksum || bytes.length < 5) return bytes
  const rest = bytes.subarray(5)
  return bufferOf(bytes).readUInt32BE(1) === crc32(rest) ? rest : undefined
}
