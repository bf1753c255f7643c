/**
 * The records as bytes for the disk, so that a restarted agent answers at once
 * with what it knew. Written in pieces, one turn each; read whole at start. A
 * damaged file gives what stands before the damage.
 *
 *   file   'SPGR' version(1) head frame*      frame  length(4) crc(4) message
 *   head   length(4) crc(4) name(len8) epoch seconds             seconds: since 1970, when written
 *   the messages are deltas with all owners, then one `want` that lists the gone
 */
import { crc32 } from 'node:zlib'
import { type Gone, listed, wantMessage, WHOLE_MOST } from './answers.ts'
import { type Delta, writeDelta } from './delta.ts'
import { begin, DELTAS, type Listed, readMessage, WANT, writeField } from './message.ts'
import { Reader, Writer } from './octets.ts'
import { isGone, type Owner } from './owner.ts'
import type { Replica } from './replica.ts'

const MAGIC = Buffer.from('SPGR\x01', 'latin1')
/** Approximate size of a piece in octets: takes half a millisecond. */
const PIECE = 32_768

const frame = (message: Buffer): Buffer => {
  const w = new Writer(message.length + 8)
  w.u32(message.length)
  w.u32(crc32(message))
  w.raw(message)
  return w.done()
}

/** All records, piece by piece. They may change between pieces; each owner is complete in one piece. */
export function* pieces(
  self: string,
  epoch: number,
  replica: Replica,
  gone: (owner: Owner) => Gone,
  wallMs: number,
): Generator<Buffer> {
  const w = new Writer(PIECE + 4_096)
  w.text(self)
  w.varint(epoch)
  w.varint(Math.max(0, Math.floor(wallMs / 1_000)))
  yield Buffer.concat([MAGIC, frame(w.done())])
  begin(w, DELTAS)
  const part = new Writer(8_192)
  const list: Listed[] = []
  for (const owner of [...replica.owners.values()]) {
    if (owner.version === 0 || owner.busy || replica.byId(owner.id) !== owner) continue
    if (isGone(owner)) list.push(listed(owner, gone(owner)))
    part.at = 0
    if (writeDelta(part, replica.table, owner, 0, owner.version, WHOLE_MOST, 0) === 0) continue
    writeField(w, 1, part.bytes.subarray(0, part.at))
    if (w.at < PIECE) continue
    yield frame(w.done())
    begin(w, DELTAS)
  }
  yield frame(w.done())
  yield frame(wantMessage(list, []))
}

/** The content of a file: the node's name, its epoch, the age of the file, and what to merge. */
export type Restored = {
  readonly self: string
  readonly epoch: number
  readonly ageMs: number
  readonly deltas: readonly Delta[]
  readonly gone: readonly Listed[]
  /** Whether the whole file could be read. */
  readonly complete: boolean
}

/** Reads a file; undefined if it is not a snapshot. */
export const readSnapshot = (
  bytes: Uint8Array,
  valueBytes: number,
  wallMs: number,
): Restored | undefined => {
  const r = new Reader(bytes)
  const magic = r.skip(MAGIC.length)
  if (!r.ok || r.bytes.compare(MAGIC, 0, MAGIC.length, magic, magic + MAGIC.length) !== 0)
    return undefined
  const next = (): Buffer | undefined => {
    const length = r.u32()
    const crc = r.u32()
    const at = r.skip(length)
    if (!r.ok) return undefined
    const octets = r.bytes.subarray(at, at + length)
    return crc32(octets) === crc ? octets : undefined
  }
  const first = next()
  if (!first) return undefined
  const head = new Reader(first)
  const self = head.text(head.u8())
  const epoch = head.varint()
  const ageMs = Math.max(0, wallMs - head.varint() * 1_000)
  const deltas: Delta[] = []
  let gone: readonly Listed[] = []
  while (r.left > 0) {
    const octets = next()
    const message = octets && readMessage(octets, valueBytes)
    if (!message || typeof message === 'string')
      return { self, epoch, ageMs, deltas, gone, complete: false }
    if (message.type === DELTAS) deltas.push(...message.deltas)
    else if (message.type === WANT) gone = message.list
  }
  return { self, epoch, ageMs, deltas, gone, complete: true }
}
