/**
 * What we hold, in brief: 128 buckets of 8 octets, each the exclusive-or of a
 * hash of (owner, epoch, version) over its owners, and a root over all of
 * them that rides on pings. Kept up as owners advance, never recomputed.
 *
 *   root  format(1) flags(1) hash(8) owners(4) entries(4)      flags: 1 synced
 */
import { bucketOf, stateHash } from './hash.ts'

export const BUCKET_COUNT = 128
const FORMAT = 1
const SYNCED = 1

export type Root = {
  readonly synced: boolean
  readonly high: number
  readonly low: number
  readonly owners: number
  readonly entries: number
}

/** Reads a root digest; undefined if its format is unknown. */
export const readRoot = (octets: Uint8Array): Root | undefined => {
  if (octets.length < 18 || octets[0] !== FORMAT) return undefined
  const b = Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength)
  return {
    synced: ((b[1] as number) & SYNCED) !== 0,
    high: b.readUInt32BE(2),
    low: b.readUInt32BE(6),
    owners: b.readUInt32BE(10),
    entries: b.readUInt32BE(14),
  }
}

export class Digest {
  #high = new Uint32Array(BUCKET_COUNT)
  #low = new Uint32Array(BUCKET_COUNT)
  high = 0
  low = 0

  /** Adds or removes an owner's state: both are the same operation. */
  toggle(hash: number, epoch: number, version: number): void {
    const bucket = bucketOf(hash)
    const high = stateHash(hash, epoch, version, 0)
    const low = stateHash(hash, epoch, version, 1)
    this.#high[bucket] = (this.#high[bucket] as number) ^ high
    this.#low[bucket] = (this.#low[bucket] as number) ^ low
    this.high = (this.high ^ high) >>> 0
    this.low = (this.low ^ low) >>> 0
  }

  root(synced: boolean, owners: number, entries: number): Buffer {
    const b = Buffer.allocUnsafe(18)
    b[0] = FORMAT
    b[1] = synced ? SYNCED : 0
    b.writeUInt32BE(this.high, 2)
    b.writeUInt32BE(this.low, 6)
    b.writeUInt32BE(owners, 10)
    b.writeUInt32BE(entries, 14)
    return b
  }

  /** All buckets as 1,024 octets. */
  buckets(): Buffer {
    const b = Buffer.allocUnsafe(BUCKET_COUNT * 8)
    for (let i = 0; i < BUCKET_COUNT; i++) {
      b.writeUInt32BE(this.#high[i] as number, i * 8)
      b.writeUInt32BE(this.#low[i] as number, i * 8 + 4)
    }
    return b
  }

  /** Numbers of the buckets that differ from another node's 1,024 octets. */
  differing(theirs: Buffer): number[] {
    const differ: number[] = []
    for (let i = 0; i < BUCKET_COUNT; i++)
      if (
        theirs.readUInt32BE(i * 8) !== this.#high[i] ||
        theirs.readUInt32BE(i * 8 + 4) !== this.#low[i]
      )
        differ.push(i)
    return differ
  }
}
