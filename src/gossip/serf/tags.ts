/**
 * A member's tags as they lie in its metadata: the octet 255 and a map of
 * strings. Metadata without that octet is the role alone, as Serf did at
 * first.
 */
import { Reader } from '../wire/msgpack.ts'
import { Writer } from '../wire/writer.ts'
import { META_MOST } from '../wire/types.ts'

export type Tags = Readonly<Record<string, string>>

const MAGIC = 255
/** Tags taken from one member; the rest of 512 octets cannot hold more of use. */
const TAGS_MOST = 128

/** The tags in a member's metadata; none if it cannot be read. */
export const readTags = (meta: Uint8Array): Tags => {
  if (meta.length === 0) return {}
  if (meta[0] !== MAGIC) return { role: Buffer.from(meta).toString('utf8') }
  const r = new Reader(meta, 1)
  const pairs: [string, string][] = []
  for (let n = r.map(TAGS_MOST); n > 0 && r.ok; n--)
    pairs.push([r.text(META_MOST), r.text(META_MOST)])
  // fromEntries defines '__proto__' as any other name
  return r.ok ? Object.fromEntries(pairs) : {}
}

/** Metadata that holds these tags, or undefined if it would be longer than 512 octets. */
export const writeTags = (tags: Tags): Uint8Array | undefined => {
  const pairs = Object.entries(tags)
  const w = new Writer(META_MOST).u8(MAGIC).map(pairs.length)
  for (const [name, value] of pairs) w.text(name).text(value)
  return w.length > META_MOST ? undefined : w.done()
}
