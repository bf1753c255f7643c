/**
 * CRC-32 as in IEEE 802.3, which a memberlist of protocol version 5 may put
 * before an unencrypted packet. node:zlib has one only since Node 22.
 */

let table: Uint32Array | undefined

const tableOf = (): Uint32Array => {
  const made = new Uint32Array(256)
  for (let i = 0; i < 256; i++) {
    let value = i
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1
    made[i] = value
  }
  return made
}

/** The checksum of all octets, unsigned. */
export const crc32 = (bytes: Uint8Array): number => {
  table ??= tableOf()
  let sum = 0xffff_ffff
  for (let i = 0; i < bytes.length; i++) sum = table[(sum ^ bytes[i]!) & 0xff]! ^ (sum >>> 8)
  return (sum ^ 0xffff_ffff) >>> 0
}
