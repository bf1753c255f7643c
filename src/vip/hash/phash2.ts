/**
 * Erlang's `phash2` of a binary. Running DC/OS clusters chose the IPv4 addresses of named VIPs by it, and we must
 * choose the same ones.
 *
 * For a binary it is Bob Jenkins' 1996 hash ("lookup2") over the bytes as little-endian words, started from 13 times
 * the golden ratio.
 */

const GOLDEN = 0x9e3779b9
/** 13 × GOLDEN mod 2^32: Erlang's salt for binaries. */
const START = 0x08d12e65

/** The unsigned 32-bit hash of these bytes, before Erlang reduces it to a range. */
export const phash2 = (bytes: Uint8Array): number => {
  let a = GOLDEN | 0
  let b = GOLDEN | 0
  let c = START | 0
  const mix = (): void => {
    a = (a - b - c) ^ (c >>> 13)
    b = (b - c - a) ^ (a << 8)
    c = (c - a - b) ^ (b >>> 13)
    a = (a - b - c) ^ (c >>> 12)
    b = (b - c - a) ^ (a << 16)
    c = (c - a - b) ^ (b >>> 5)
    a = (a - b - c) ^ (c >>> 3)
    b = (b - c - a) ^ (a << 10)
    c = (c - a - b) ^ (b >>> 15)
  }
  const at = (i: number): number => bytes[i] ?? 0
  const word = (i: number): number =>
    at(i) | (at(i + 1) << 8) | (at(i + 2) << 16) | (at(i + 3) << 24)
  let i = 0
  for (; bytes.length - i >= 12; i += 12) {
    a = (a + word(i)) | 0
    b = (b + word(i + 4)) | 0
    c = (c + word(i + 8)) | 0
    mix()
  }
  // The lowest octet of c holds the length, so the last three bytes are shifted up by one octet.
  a = (a + word(i)) | 0
  b = (b + word(i + 4)) | 0
  c = (c + bytes.length + ((at(i + 8) << 8) | (at(i + 9) << 16) | (at(i + 10) << 24))) | 0
  mix()
  return c >>> 0
}
