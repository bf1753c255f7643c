/**
 * What the packed tables share: columns that grow, and hash slots that chain
 * rows by a `next` column. Row 0 means none.
 */

/** Above this many rows the slots are made for the largest table at once, so that no turn pays for a large rehash. */
const EARLY = 16_384

/** A longer copy of a column. */
export const grown = <T extends Uint8Array | Uint16Array | Uint32Array>(
  from: T,
  size: number,
): T => {
  const to = new (from.constructor as new (n: number) => T)(size)
  to.set(from)
  return to
}

/** How many slots a table of `rows` gets that will hold `most` at the most: a power of two. */
export const slotCount = (rows: number, most: number): number =>
  2 ** Math.ceil(Math.log2(rows > EARLY ? Math.max(rows, most) : rows))

/** Take a row out of its slot's chain. */
export const unslot = (slots: Uint32Array, next: Uint32Array, slot: number, row: number): void => {
  let at = slots[slot] as number
  if (at === row) {
    slots[slot] = next[row] as number
    return
  }
  while (next[at] !== row) at = next[at] as number
  next[at] = next[row] as number
}
