/**
 * What a stream carries: several messages, deflated when that pays. Both the
 * request and the response are one envelope, one of each per stream.
 *
 *   envelope  0x9e version flags messages      message  length octets      flags: 1 deflated (raw)
 */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { Reader, Writer } from './octets.ts'
import { VERSION } from './message.ts'

const ENVELOPE = 0x9e
const DEFLATED = 1
/** Limit of an inflated envelope in octets: the largest allowed state of one owner, and some reserve. */
export const MAX_ENVELOPE = 12 * 1024 * 1024
/** Below this size, deflating is not worth its time. */
const SMALL = 512
/** Above this size the content is mostly pieces of zones, which are deflated already. */
const LARGE = 512 * 1024

/** Packs messages into one envelope. */
export const seal = (messages: readonly Uint8Array[]): Buffer => {
  const w = new Writer(messages.reduce((sum, message) => sum + message.length + 4, 16))
  for (const message of messages) {
    w.varint(message.length)
    w.raw(message)
  }
  const plain = w.bytes.subarray(0, w.at)
  // Level 1: a page of 128 kB takes 1 ms and shrinks to a third.
  const body =
    plain.length < SMALL || plain.length > LARGE ? plain : deflateRawSync(plain, { level: 1 })
  return Buffer.concat([Buffer.of(ENVELOPE, VERSION, body === plain ? 0 : DEFLATED), body])
}

/** Limit of an inflated question in octets: the list of all owners takes 400 kB. */
export const MAX_QUESTION = 1_048_576

/** The messages in an envelope; undefined if it is malformed or inflates to more than `most` octets. */
export const unseal = (octets: Uint8Array, most = MAX_ENVELOPE): Buffer[] | undefined => {
  const bytes = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength)
  if (bytes.length < 3 || bytes.length > most || bytes[0] !== ENVELOPE || bytes[1] !== VERSION)
    return undefined
  let body = bytes.subarray(3)
  if ((bytes[2] as number) & DEFLATED) {
    try {
      body = inflateRawSync(body, { maxOutputLength: most })
    } catch {
      return undefined // zlib throws if the octets are not deflated, or are too many
    }
  }
  const r = new Reader(body)
  const messages: Buffer[] = []
  while (r.left > 0) {
    const length = r.varint()
    const at = r.skip(length)
    if (!r.ok) return undefined
    messages.push(body.subarray(at, at + length))
  }
  return messages
}
