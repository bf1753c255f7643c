/**
 * The five messages of the records, as octets. A packet holds one; a stream
 * holds several in an envelope (envelope.ts). Every message is a type octet
 * at or above 0x80 (so that Serf's own types are never met), a version octet,
 * and fields; a field we do not know is stepped over.
 *
 *   message  type version field*        field  tag length octets
 *   deltas   1: delta (delta.ts), repeated
 *   buckets  1: 128 hashes of 8 octets
 *   owners   1: mask of the buckets told of, 16 octets  2: list
 *            3: flags: 1 the sender is synced, 2 more buckets differ than are told of
 *   want     1: list of what the sender has  2: list of owners gone
 *   large    1: type of the message whose answer fits no packets
 *   list     (hash7 epoch version status)*      status: 0, or 1 + (seconds gone × 2 + left)
 */
import { Reader, type Writer } from './octets.ts'
import { type Delta, readDelta } from './delta.ts'

export const VERSION = 1

export const DELTAS = 0x90
export const BUCKETS = 0x91
export const OWNERS = 0x92
export const WANT = 0x93
export const LARGE = 0x94

/**
 * Limit of a message in a packet. memberlist's packets have 1,400 octets; encryption takes 29, compound framing and
 * the user type a few.
 */
export const PACKET = 1_300
/** Limit of items in one list: the limit of owners. */
const MAX_LIST = 16_384
const MAX_DELTAS = 16_384

/** One owner as a peer has it. */
export type Listed = {
  readonly hash: number
  readonly epoch: number
  readonly version: number
  readonly goneMs: number
  readonly left: boolean
}

export type Message =
  | { readonly type: typeof DELTAS; readonly deltas: readonly Delta[] }
  | { readonly type: typeof BUCKETS; readonly hashes: Buffer }
  | {
      readonly type: typeof OWNERS
      readonly mask: Buffer
      readonly list: readonly Listed[]
      readonly synced: boolean
      readonly more: boolean
    }
  | {
      readonly type: typeof WANT
      readonly list: readonly Listed[]
      readonly gone: readonly Listed[]
    }
  | { readonly type: typeof LARGE; readonly asked: number }

export type OwnersMessage = Extract<Message, { type: typeof OWNERS }>

/** A message, or why it was refused. */
export type Parsed = Message | 'malformed' | 'version'

const readList = (r: Reader): Listed[] | undefined => {
  const list: Listed[] = []
  while (r.ok && r.left > 0) {
    const hash = r.hash()
    const epoch = r.varint()
    const version = r.varint()
    const status = r.varint()
    if (!r.ok || list.length >= MAX_LIST) return undefined
    const gone = status === 0 ? 0 : status - 1
    list.push({
      hash,
      epoch,
      version,
      goneMs: status === 0 ? -1 : Math.floor(gone / 2) * 1_000,
      left: gone % 2 === 1,
    })
  }
  return r.ok ? list : undefined
}

/** Reads a message. `valueBytes` limits the values in its deltas. */
export const readMessage = (bytes: Uint8Array, valueBytes: number): Parsed => {
  const r = new Reader(bytes)
  const type = r.u8()
  const version = r.u8()
  if (!r.ok || type < DELTAS || type > LARGE) return 'malformed'
  if (version !== VERSION) return 'version'
  let octets: Buffer | undefined
  let list: readonly Listed[] | undefined = []
  let gone: readonly Listed[] | undefined = []
  let flags = 0
  const deltas: Delta[] = []
  while (r.left > 0) {
    const tag = r.u8()
    const field = r.part(r.varint())
    if (!r.ok) return 'malformed'
    if (type === DELTAS) {
      if (tag !== 1) continue
      const delta = deltas.length < MAX_DELTAS ? readDelta(field, valueBytes) : undefined
      if (!delta) return 'malformed'
      deltas.push(delta)
    } else if (tag === 1 && type === WANT) list = readList(field)
    else if (tag === 2 && type === WANT) gone = readList(field)
    else if (tag === 1) octets = field.bytes.subarray(field.at, field.end)
    else if (tag === 2 && type === OWNERS) list = readList(field)
    else if (tag === 3 && type === OWNERS) flags = field.u8()
    if (!list || !gone) return 'malformed'
  }
  switch (type) {
    case DELTAS:
      return { type, deltas }
    case BUCKETS:
      return octets?.length === 1_024 ? { type, hashes: octets } : 'malformed'
    case OWNERS:
      return octets?.length === 16
        ? { type, mask: octets, list, synced: (flags & 1) !== 0, more: (flags & 2) !== 0 }
        : 'malformed'
    case WANT:
      return { type, list, gone }
    default:
      return octets?.length === 1 ? { type: LARGE, asked: octets[0] as number } : 'malformed'
  }
}

/** Begins a message in `w`. */
export const begin = (w: Writer, type: number): void => {
  w.at = 0
  w.u8(type)
  w.u8(VERSION)
}

export const writeField = (w: Writer, tag: number, octets: Uint8Array): void => {
  w.u8(tag)
  w.varint(octets.length)
  w.raw(octets)
}

/**
 * Appends a field whose content `write` appends. Three octets are reserved for its length, which is filled in
 * afterwards.
 */
export const writeNested = (w: Writer, tag: number, write: () => void): void => {
  w.u8(tag)
  const at = w.at
  w.room(3)
  w.at += 3
  write()
  let length = w.at - at - 3
  // A padded varint, so that nothing must be moved. 21 bits allow 2 MiB, more than any field.
  for (let i = 0; i < 3; i++) {
    w.bytes[at + i] = (length & 0x7f) | (i < 2 ? 0x80 : 0)
    length >>>= 7
  }
}

/** Largest size of one list item in octets: seven, a 48-bit and two 32-bit varints. */
export const LIST_ITEM = 7 + 7 + 5 + 5

export const writeListed = (w: Writer, item: Listed): void => {
  w.hash(item.hash)
  w.varint(item.epoch)
  w.varint(item.version)
  w.varint(item.goneMs < 0 ? 0 : 1 + Math.floor(item.goneMs / 1_000) * 2 + (item.left ? 1 : 0))
}
