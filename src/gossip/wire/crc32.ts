/**
 * CRC-32 of IEEE 802.3. memberlist with protocol version 5 puts it before an unencrypted packet. node:zlib has it
 * only since Node 22.
 */

let table: Uint32Array | undefined

const tableOf = (): Uint32Array => {
  const entries = new Uint32Array(256)
  for (let i = 0; i < 256; i++) {
    let value = i
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1
    entries[i] = value
  }
  return entries
}

/** The checksum of all octets, unsigned. */
export const crc32 = (bytes: Uint8Array): number => {
  table ??= tableOf()
  let sum = 0xffff_ffff
  for (let i = 0; i < bytes.length; i++) sum = table[(sum ^ bytes[i]!) & 0xff]! ^ (sum >>> 8)
  return (sum ^ 0xffff_ffff) >>> 0
}
