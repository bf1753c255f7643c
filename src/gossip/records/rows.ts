/**
 * Shared by the packed tables: columns that grow, and hash slots that chain rows by a `next` column. Row 0 stands
 * for none.
 */

/**
 * With more rows than this, the slots are allocated for the largest table at once, so that no turn must rehash a
 * large table.
 */
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

/** Number of slots for a table of `rows` rows that may grow to `most`: a power of two. */
export const slotCount = (rows: number, most: number): number =>
  2 ** Math.ceil(Math.log2(rows > EARLY ? Math.max(rows, most) : rows))

/** Removes a row from its slot's chain. */
export const unslot = (slots: Uint32Array, next: Uint32Array, slot: number, row: number): void => {
  let at = slots[slot] as number
  if (at === row) {
    slots[slot] = next[row] as number
    return
  }
  while (next[at] !== row) at = next[at] as number
  next[at] = next[row] as number
}
