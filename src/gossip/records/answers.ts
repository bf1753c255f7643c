/**
 * What we answer to a peer that compares itself with us: to its buckets our
 * owners in those that differ, to what it wants the deltas it lacks. The same
 * on packets and on streams but for the size; an answer that would take more
 * than 8 kB of packets is `large` and asked for again by stream.
 */
import { writeDelta } from './delta.ts'
import {
  begin,
  BUCKETS,
  DELTAS,
  LARGE,
  LIST_ITEM,
  type Listed,
  OWNERS,
  PACKET,
  WANT,
  writeField,
  writeListed,
  writeNested,
} from './message.ts'
import { Writer } from './octets.ts'
import type { Owner } from './owner.ts'
import type { Replica } from './replica.ts'

export type Road = 'packet' | 'stream'

/** Octets of packets one answer may take. */
const PACKET_ANSWER = 8_192
/** Octets of deltas after which a stream's answer ends; what is left is asked for again. 1 ms to make, 1 to take. */
const PAGE = 65_536
/** One owner's whole state at its caps, with what the ops add to it. */
export const WHOLE_MOST = 10 * 1024 * 1024
/** Owners told of in one answer on a stream, about: 1 ms to list, 1 to compare. */
const LIST_MOST = 2_000
/** Type, version, mask, tags and lengths. */
const LIST_HEAD = 40

export type Answer = Buffer[] | 'large'

/** How long an owner has been gone, in ms, -1 if it is not; and whether it said good-bye. */
export type Gone = { readonly goneMs: number; readonly left: boolean }

/** An owner as it is told of in lists. */
export const listed = ({ hash, epoch, version }: Owner, { goneMs, left }: Gone): Listed => ({
  hash,
  epoch,
  version,
  goneMs,
  left,
})

const inDigest = (owner: Owner): boolean => owner.version > 0 && !owner.quiet

/** The message that says what we have in all buckets. */
export const bucketsMessage = (replica: Replica): Buffer => {
  const w = new Writer()
  begin(w, BUCKETS)
  writeField(w, 1, replica.digest.buckets())
  return w.done()
}

const ownersMessage = (flags: number, mask: Buffer, list: readonly Listed[]): Buffer => {
  const w = new Writer(LIST_HEAD + list.length * LIST_ITEM)
  begin(w, OWNERS)
  writeField(w, 1, mask)
  writeNested(w, 2, () => list.forEach(item => writeListed(w, item)))
  writeField(w, 3, Buffer.of(flags))
  return w.done()
}

/** Our owners in the buckets that differ from these 1,024 octets. */
export const answerBuckets = (options: {
  synced: boolean
  replica: Replica
  gone: (owner: Owner) => Gone
  hashes: Buffer
  road: Road
}): Answer => {
  const { synced, replica, gone, hashes, road } = options
  const room = road === 'stream' ? Infinity : Math.floor((PACKET - LIST_HEAD) / 16)
  const messages: Buffer[] = []
  let mask = Buffer.alloc(16)
  let list: Listed[] = []
  const close = (more = false): void => {
    messages.push(ownersMessage((synced ? 1 : 0) | (more ? 2 : 0), mask, list))
    mask = Buffer.alloc(16)
    list = []
  }
  for (const i of replica.digest.differing(hashes)) {
    const owners = replica.bucket(i).filter(inDigest)
    // A bucket's owners go together, else the peer would take those in the other half for missing.
    if (owners.length > room || messages.length * PACKET > PACKET_ANSWER) return 'large'
    if (road === 'stream' && list.length >= LIST_MOST) {
      close(true)
      return messages
    }
    if (list.length + owners.length > room) close()
    mask[i >> 3] = (mask[i >> 3] as number) | (1 << (i & 7))
    for (const owner of owners) list.push(listed(owner, gone(owner)))
  }
  // Sent even when nothing differs: it says so.
  close()
  return messages.some(message => road === 'packet' && message.length > PACKET) ? 'large' : messages
}

/** Whether a mask has a bucket. */
export const masked = (mask: Buffer, bucket: number): boolean =>
  ((mask[bucket >> 3] as number) & (1 << (bucket & 7))) !== 0

/** The message that asks for what these owners have above what is listed, and tells of owners gone. */
export const wantMessage = (list: readonly Listed[], gone: readonly Listed[]): Buffer => {
  const w = new Writer(LIST_HEAD + (list.length + gone.length) * LIST_ITEM)
  begin(w, WANT)
  writeNested(w, 1, () => list.forEach(item => writeListed(w, item)))
  if (gone.length > 0) writeNested(w, 2, () => gone.forEach(item => writeListed(w, item)))
  return w.done()
}

/** The message that says: the answer to your message of type `asked` fits no packets. */
export const largeMessage = (asked: number): Buffer => {
  const w = new Writer()
  begin(w, LARGE)
  writeField(w, 1, Buffer.of(asked))
  return w.done()
}

/** Deltas of owners above a version each (0: all of it); on a stream as many as make a page. */
export const answerWant = (
  replica: Replica,
  wanted: Iterable<readonly [owner: Owner, from: number]>,
  road: Road,
): Answer => {
  const most = road === 'packet' ? PACKET - 6 : WHOLE_MOST
  const messages: Buffer[] = []
  const w = new Writer(road === 'packet' ? PACKET : PAGE + 4_096)
  const part = new Writer(most > PACKET ? 8_192 : PACKET)
  let total = 0
  begin(w, DELTAS)
  for (const [owner, above] of wanted) {
    if (owner.busy || owner.quiet) continue
    for (let from = above; from < owner.version;) {
      part.at = 0
      from = writeDelta(part, replica.table, owner, from, owner.version, most, 0)
      if (from === 0) {
        if (road === 'packet') return 'large'
        break
      }
      total += part.at
      if (road === 'packet' && total > PACKET_ANSWER) return 'large'
      if (road === 'packet' && w.at + part.at + 4 > PACKET) {
        messages.push(w.done())
        begin(w, DELTAS)
      }
      writeField(w, 1, part.bytes.subarray(0, part.at))
    }
    if (road === 'stream' && total >= PAGE) break
  }
  if (w.at > 2 || messages.length === 0) messages.push(w.done())
  return messages
}
