/**
 * Answers a peer that compares its state with ours. Buckets are answered with our owners in the buckets that differ,
 * a `want` with the deltas that the peer lacks. Packets and streams differ only in size limits: an answer of more
 * than 8 kB in packets is replaced by `large`, and the peer asks again by stream.
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

/** Limit of octets in packets for one answer. */
const PACKET_ANSWER = 8_192
/**
 * Octets of deltas after which an answer on a stream ends; the peer asks for the rest. Takes about 1 ms to create
 * and 1 ms to merge.
 */
const PAGE = 65_536
/** The complete state of one owner with the largest allowed size, and its op headers. */
export const WHOLE_MOST = 10 * 1024 * 1024
/** Approximate limit of owners in one answer on a stream: about 1 ms to list and 1 ms to compare. */
const LIST_MOST = 2_000
/** Type, version, mask, tags and lengths. */
const LIST_HEAD = 40

export type Answer = Buffer[] | 'large'

/** How long an owner has been gone, in ms, -1 if it is not; and whether it said goodbye. */
export type Gone = { readonly goneMs: number; readonly left: boolean }

/** An owner as an item of a list. */
export const listed = ({ hash, epoch, version }: Owner, { goneMs, left }: Gone): Listed => ({
  hash,
  epoch,
  version,
  goneMs,
  left,
})

const inDigest = (owner: Owner): boolean => owner.version > 0 && !owner.quiet

/** The message with all our buckets. */
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
    // All owners of a bucket are sent together, otherwise the peer would treat the others as missing.
    if (owners.length > room || messages.length * PACKET > PACKET_ANSWER) return 'large'
    if (road === 'stream' && list.length >= LIST_MOST) {
      close(true)
      return messages
    }
    if (list.length + owners.length > room) close()
    mask[i >> 3] = (mask[i >> 3] as number) | (1 << (i & 7))
    for (const owner of owners) list.push(listed(owner, gone(owner)))
  }
  // Sent even if nothing differs, as the answer "no difference".
  close()
  return messages.some(message => road === 'packet' && message.length > PACKET) ? 'large' : messages
}

/** Whether a mask contains a bucket. */
export const masked = (mask: Buffer, bucket: number): boolean =>
  ((mask[bucket >> 3] as number) & (1 << (bucket & 7))) !== 0

/** The message that requests what these owners have above the listed versions, and reports owners that are gone. */
export const wantMessage = (list: readonly Listed[], gone: readonly Listed[]): Buffer => {
  const w = new Writer(LIST_HEAD + (list.length + gone.length) * LIST_ITEM)
  begin(w, WANT)
  writeNested(w, 1, () => list.forEach(item => writeListed(w, item)))
  if (gone.length > 0) writeNested(w, 2, () => gone.forEach(item => writeListed(w, item)))
  return w.done()
}

/** The message that says that the answer to a message of type `asked` does not fit into packets. */
export const largeMessage = (asked: number): Buffer => {
  const w = new Writer()
  begin(w, LARGE)
  writeField(w, 1, Buffer.of(asked))
  return w.done()
}

/** Deltas of owners above a version each (0: everything). On a stream, as many as fit into one page. */
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
