/**
 * The two hash functions of the records. `ownerHash` identifies an owner in lists: 53 bits, so that it fits a
 * number, and equal on every node. `keyHash` is for our own hash table; its seed is secret, so that no one can
 * choose names that collide.
 */

const final = (h: number): number => {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** 53 bits of an owner's name. With 10,000 owners, a collision happens in one of 10^8 clusters. */
export const ownerHash = (name: string): number => {
  let a = 0x9e3779b1
  let b = 0x7feb352d
  for (let i = 0; i < name.length; i++) {
    const c = name.charCodeAt(i)
    a = Math.imul(a ^ c, 0x01000193)
    b = Math.imul((b ^ c) + 0x6d2b79f5, 0x5bd1e995)
    b ^= b >>> 15
  }
  return (final(a ^ Math.imul(b, 3)) & 0x1fffff) * 0x100000000 + final(b + a)
}

/** The digest bucket of an owner hash, 0 to 127. */
export const bucketOf = (hash: number): number => (hash % 0x100000000) & 127

/** Half of the digest contribution of an owner at an epoch and version; salt 0 or 1 selects the half. */
export const stateHash = (hash: number, epoch: number, version: number, salt: number): number => {
  let h = final((hash % 0x100000000) + salt * 0x3c6ef372)
  h = final(h ^ Math.floor(hash / 0x100000000) ^ Math.imul(salt, 0x27d4eb2f))
  h = final((h ^ (epoch % 0x100000000)) + Math.floor(epoch / 0x100000000))
  return final(h ^ version ^ Math.imul(salt, 0x165667b1))
}

/** A seeded hash of bytes[at .. at + length). */
export const keyHash = (bytes: Uint8Array, at: number, length: number, seed: number): number => {
  let h = seed ^ length
  for (let i = at; i < at + length; i++) h = Math.imul(h ^ (bytes[i] as number), 0x01000193)
  return final(h)
}

/** A seeded hash of two small numbers. */
export const pairHash = (a: number, b: number, seed: number): number =>
  final(Math.imul(a, 0x9e3779b1) ^ Math.imul(b + seed, 0x85ebca77))
