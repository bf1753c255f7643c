/**
 * A member's tags as encoded in its metadata: the octet 255 and a map of strings. Metadata without that octet is
 * only the role, as in early versions of Serf.
 */
import { Reader } from '../wire/msgpack.ts'
import { Writer } from '../wire/writer.ts'
import { META_MOST } from '../wire/types.ts'

export type Tags = Readonly<Record<string, string>>

const MAGIC = 255
/** Limit of tags of one member; 512 octets cannot hold more useful ones. */
const TAGS_MOST = 128

/** The tags in a member's metadata; none if it is malformed. */
export const readTags = (meta: Uint8Array): Tags => {
  if (meta.length === 0) return {}
  if (meta[0] !== MAGIC) return { role: Buffer.from(meta).toString('utf8') }
  const r = new Reader(meta, 1)
  const pairs: [string, string][] = []
  for (let n = r.map(TAGS_MOST); n > 0 && r.ok; n--)
    pairs.push([r.text(META_MOST), r.text(META_MOST)])
  // fromEntries treats '__proto__' as an ordinary name
  return r.ok ? Object.fromEntries(pairs) : {}
}

/** Metadata with these tags; undefined if it would be longer than 512 octets. */
export const writeTags = (tags: Tags): Uint8Array | undefined => {
  const pairs = Object.entries(tags)
  const w = new Writer(META_MOST).u8(MAGIC).map(pairs.length)
  for (const [name, value] of pairs) w.text(name).text(value)
  return w.length > META_MOST ? undefined : w.done()
}
