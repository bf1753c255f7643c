/**
 * Hash of a question: HalfSipHash-1-3 with a secret key, over the name in lower case, its type, and its DO and CD
 * bits. Without the key an attacker cannot choose names that collide.
 */

import { FOLD } from '../../wire/name.ts'

let key0 = 0
let key1 = 0

/** Sets the key from two random 32-bit numbers; call once at start. */
export const setHashKey = (first: number, second: number): void => {
  key0 = first | 0
  key1 = second | 0
}

/** The name is b[nameAt, nameEnd), octets without pointers. */
export const hashQuestion = (
  b: Uint8Array,
  nameAt: number,
  nameEnd: number,
  qtype: number,
  bits: number,
): number => {
  let v0 = key0
  let v1 = key1
  let v2 = 0x6c796765 ^ key0
  let v3 = 0x74656462 ^ key1
  let i = nameAt
  // A loop with only the round in it, because this is half of the cost of a look-up.
  for (; i + 4 <= nameEnd; i += 4) {
    const word = folded(b[i]! | (b[i + 1]! << 8) | (b[i + 2]! << 16) | (b[i + 3]! << 24))
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  let tail = 0
  for (let shift = 0; i < nameEnd; i++, shift += 8) tail |= FOLD[b[i]!]! << shift
  // Two more words: the remaining octets of the name with its length, then type and bits.
  for (let last = 0; last < 2; last++) {
    const word = last === 0 ? tail | ((nameEnd - nameAt) << 24) : qtype | (bits << 16)
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  v2 ^= 0xff
  for (let round = 0; round < 3; round++) {
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
  }
  return v1 ^ v3
}

/**
 * Four octets in lower case at once. Per octet, the high bit of one sum says 'at least A', that of the other 'after
 * Z'; octets above 127 match neither. 0x80 shifted right by two is the bit of lower case.
 */
const folded = (word: number): number => {
  const low = word & 0x7f7f7f7f
  const letters = (low + 0x3f3f3f3f) & ~(low + 0x25252525) & ~word & 0x80808080
  return word | (letters >>> 2)
}
