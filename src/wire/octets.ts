/**
 * Reads and writes integers in a message by plain index arithmetic. Buffer's readUInt16BE checks its argument
 * on every call; here the callers have checked the bounds once for the whole message.
 */

/** The octet at `at`. The caller has checked the bounds. */
export const u8 = (b: Uint8Array, at: number): number => b[at]!

export const u16 = (b: Uint8Array, at: number): number => (b[at]! << 8) | b[at + 1]!

/** Unsigned. */
export const u32 = (b: Uint8Array, at: number): number =>
  ((b[at]! << 24) | (b[at + 1]! << 16) | (b[at + 2]! << 8) | b[at + 3]!) >>> 0

export const put16 = (b: Uint8Array, at: number, value: number): void => {
  b[at] = value >>> 8
  b[at + 1] = value
}

export const put32 = (b: Uint8Array, at: number, value: number): void => {
  b[at] = value >>> 24
  b[at + 1] = value >>> 16
  b[at + 2] = value >>> 8
  b[at + 3] = value
}

/** Copies octets between two arrays; a loop, because the pieces are short. */
export const copy = (
  from: Uint8Array,
  at: number,
  end: number,
  to: Uint8Array,
  toAt: number,
): number => {
  while (at < end) to[toAt++] = from[at++]!
  return toAt
}
