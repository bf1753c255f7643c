/**
 * The head of a zone in the gossip: who publishes it, under which term, and
 * the hash of every piece. Several nodes may claim one zone after a failover;
 * the highest term counts, and of equal terms the greater node name. A term
 * is one more than the best its node knew, so no clock has a part in it.
 *
 *   head  version(1) term(6) bitmap(64)  hash(8) of each piece in the bitmap
 */
import type { Entry } from '../../gossip/records/types.ts'
import { PIECES } from './zone-piece.ts'

const VERSION = 2
const BITMAP = PIECES / 8
const FIXED = 7 + BITMAP
const HASH = 8
/** Limit of terms; a higher one is refused, because it could not be exceeded. */
const TERM_MOST = 2 ** 47

export type Head = {
  readonly term: number
  /** Hash by piece; missing pieces are empty. */
  readonly hashes: ReadonlyMap<number, string>
}

export const encodeHead = ({ term, hashes }: Head): Buffer => {
  const bytes = Buffer.alloc(FIXED + hashes.size * HASH)
  bytes[0] = VERSION
  bytes.writeUIntBE(term, 1, 6)
  let at = FIXED
  for (const piece of [...hashes.keys()].sort((a, b) => a - b)) {
    bytes[7 + (piece >> 3)] = (bytes[7 + (piece >> 3)] as number) | (1 << (piece & 7))
    at += bytes.write(hashes.get(piece) as string, at, 'latin1')
  }
  return bytes
}

/** Undefined if the octets are not a valid head. */
export const decodeHead = (value: Uint8Array): Head | undefined => {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length)
  if (bytes.length < FIXED || bytes[0] !== VERSION) return undefined
  const term = bytes.readUIntBE(1, 6)
  const hashes = new Map<number, string>()
  let at = FIXED
  for (let piece = 0; piece < PIECES; piece++) {
    if (((bytes[7 + (piece >> 3)] as number) & (1 << (piece & 7))) === 0) continue
    if (at + HASH > bytes.length) return undefined
    hashes.set(piece, bytes.toString('latin1', at, (at += HASH)))
  }
  return at === bytes.length && term > 0 && term <= TERM_MOST ? { term, hashes } : undefined
}

/** A head and its owner. */
export type Claim = { readonly owner: string; readonly head: Head }

/** The best claim among the entries under a head's key. */
export const bestClaim = (entries: readonly Entry[]): Claim | undefined => {
  let best: Claim | undefined
  for (const { owner, value } of entries) {
    const head = decodeHead(value)
    if (!head) continue
    const better =
      !best || head.term > best.head.term || (head.term === best.head.term && owner > best.owner)
    if (better) best = { owner, head }
  }
  return best
}
