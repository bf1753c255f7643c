/**
 * z-base-32, the human-oriented base 32 of Zooko Wilcox-O'Hearn. Mesos-DNS uses the first five characters of a task
 * id's SHA-1 in canonical task names; dcos-net encodes the cluster's public key with it.
 */
import { hash } from 'node:crypto'

const ALPHABET = 'ybndrfg8ejkmcpqxot1uwisza345h769'

/** Five bits a character, the last one filled with zero bits, no padding. */
export const zbase32 = (bytes: Uint8Array): string => {
  let out = ''
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      out += ALPHABET[(held >> bits) & 31]
    }
  }
  return bits > 0 ? out + ALPHABET[(held << (5 - bits)) & 31] : out
}

/** The five characters that distinguish tasks of one name in Mesos-DNS: 'test' gives 'iffe9'. */
export const taskHash = (taskId: string): string => {
  // five characters are 25 bits, which seven hexadecimal digits contain
  const bits = parseInt(hash('sha1', taskId, 'hex').slice(0, 7), 16) >> 3
  const at = (shift: number): string => ALPHABET[(bits >> shift) & 31]!
  return at(20) + at(15) + at(10) + at(5) + at(0)
}
