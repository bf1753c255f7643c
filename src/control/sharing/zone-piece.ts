/**
 * A zone in the gossip travels in pieces. A name's piece follows from the
 * label that its task's names have in common, so that one task touches few
 * pieces and its names compress together.
 *
 *   piece   deflated text of the owners in it (boundary/zone-text.ts), sorted, names relative to the apex
 *   values  the piece cut into chunks; the first begins with their number in one octet
 *   keys    `<apex> <piece>`, `<apex> <piece>.<chunk>` from the second chunk on, `<apex> head`
 */
import { createHash } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { Owner, RRset } from '../../boundary/messages.ts'
import { ownersToText, RECORD, rrsetsOfText, UNIT } from '../../boundary/zone-text.ts'
import { isName, isOwnerName, MAX_NAME } from '../../boundary/zone.ts'
import { canonicalIp } from '../../base/ip.ts'
import type { Key } from '../../gossip/records/types.ts'

/** Number of pieces of a zone. With 10,000 tasks each holds 270 or 400 names, in 4 to 6 kB. */
export const PIECES = 512
/** Limit of a value in octets: it must fit one block of storage. */
const CHUNK = 48 * 1024
const CHUNKS_MOST = 64
/** Limit of an inflated piece in octets; a task name with 10,000 instances takes 3 MB. */
const TEXT_MOST = 8 * 1024 * 1024
/** Larger texts are compressed at a faster level, so that a turn does not last too long. */
const LARGE_TEXT = 256 * 1024
/** Limit of records with one name and type. */
const DATA_MOST = 65_536
const ZONE_TYPES: ReadonlySet<string> = new Set(['A', 'AAAA', 'SRV'])

export const headKey = (apex: string): Key => ({ kind: 'zone', name: `${apex} head` })
const chunkKey = (apex: string, piece: number, chunk: number): Key => ({
  kind: 'zone',
  name: chunk === 0 ? `${apex} ${piece}` : `${apex} ${piece}.${chunk}`,
})

/** The piece of `apex` that a key belongs to, or 'head'; undefined for a key of another zone. */
export const pieceIn = (name: string, apex: string): number | 'head' | undefined => {
  if (!name.startsWith(`${apex} `)) return undefined
  const rest = name.slice(apex.length + 1)
  if (rest === 'head') return rest
  const match = /^(0|[1-9]\d{0,2})(?:\.([1-9]\d?))?$/.exec(rest)
  const piece = Number(match?.[1] ?? PIECES)
  return piece < PIECES && Number(match?.[2] ?? 0) < CHUNKS_MOST ? piece : undefined
}

/** A name without the apex; '@' for the apex itself, undefined if it is not below it. */
export const relative = (name: string, apex: string): string | undefined =>
  name === apex ? '@' : name.endsWith(`.${apex}`) ? name.slice(0, -apex.length - 1) : undefined

/**
 * The label that determines the piece: `web` for `_http._web._tcp.marathon`, `web.marathon` and
 * `_web._tcp.marathon`.
 */
const placing = (rel: string): string => {
  let found = rel.split('.', 1)[0] as string
  for (const label of rel.split('.')) {
    if (!label.startsWith('_')) break
    if (label !== '_tcp' && label !== '_udp') found = label
  }
  return found.startsWith('_') ? found.slice(1) : found
}

export const pieceOf = (rel: string): number => {
  const label = placing(rel)
  let h = 0x811c9dc5
  for (let i = 0; i < label.length; i++) h = Math.imul(h ^ label.charCodeAt(i), 0x01000193)
  return (h ^ (h >>> 16)) & (PIECES - 1)
}

/** SRV targets within the zone are written without the apex, others with a final dot. */
const writtenSet = ({ type, ttl, data }: RRset, apex: string): RRset => {
  if (type !== 'SRV') return { type, ttl, data }
  const short = data.map(datum =>
    datum.endsWith(`.${apex}`) ? datum.slice(0, -apex.length - 1) : `${datum}.`,
  )
  return { type, ttl, data: short }
}

export type Piece = {
  readonly bytes: Buffer
  /** Eight octets as latin1. */
  readonly hash: string
}

export const hashOf = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest().toString('latin1', 0, 8)

/** @param owners names of one piece, relative to the apex */
export const encodePiece = (owners: readonly Owner[], apex: string): Piece => {
  const sorted = [...owners].sort(([a], [b]) => (a < b ? -1 : 1))
  const text = ownersToText(
    sorted.map(([rel, rrsets]) => [rel, rrsets.map(set => writtenSet(set, apex))]),
  )
  const bytes = deflateRawSync(text, { level: text.length > LARGE_TEXT ? 1 : 6 })
  return { bytes, hash: hashOf(bytes) }
}

/** The values that contain a piece; undefined if it is too large. */
export const chunksOf = (
  { bytes }: Piece,
  apex: string,
  piece: number,
): [Key, Buffer][] | undefined => {
  const count = Math.ceil(bytes.length / CHUNK)
  if (count > CHUNKS_MOST) return undefined
  return Array.from({ length: count }, (_, i) => {
    const part = bytes.subarray(i * CHUNK, (i + 1) * CHUNK)
    return [chunkKey(apex, piece, i), i === 0 ? Buffer.concat([Buffer.of(count), part]) : part]
  })
}

/** The keys of chunks from `from` to `to`, which a smaller piece no longer needs. */
export const chunkKeys = (apex: string, piece: number, from: number, to: number): Key[] =>
  Array.from({ length: Math.max(0, to - from) }, (_, i) => chunkKey(apex, piece, from + i))

/** Joins the values of a piece; undefined while one is missing. */
export const joined = (
  valueOf: (key: Key) => Uint8Array | undefined,
  apex: string,
  piece: number,
): Piece | undefined => {
  const first = valueOf(chunkKey(apex, piece, 0))
  const count = first?.[0] ?? 0
  if (!first || count === 0 || count > CHUNKS_MOST) return undefined
  const parts = [first.subarray(1)]
  for (let i = 1; i < count; i++) {
    const part = valueOf(chunkKey(apex, piece, i))
    if (!part) return undefined
    parts.push(part)
  }
  const bytes = parts.length === 1 ? Buffer.from(first.subarray(1)) : Buffer.concat(parts)
  return { bytes, hash: hashOf(bytes) }
}

/** The text of a piece; undefined if it cannot be inflated or is too large. */
export const textOf = (bytes: Uint8Array, most = TEXT_MOST): string | undefined => {
  try {
    return inflateRawSync(bytes, { maxOutputLength: Math.min(most, TEXT_MOST) }).toString('latin1')
  } catch {
    return undefined
  }
}

/** Maps the relative name at the beginning of each line to the line. */
export const linesOf = (text: string): Map<string, string> => {
  const lines = new Map<string, string>()
  for (const line of text.split('\n')) {
    const end = line.indexOf(UNIT)
    if (end > 0) lines.set(line.slice(0, end), line.slice(end + 1))
  }
  return lines
}

/** Number of lines in a text. */
export const countLines = (text: string): number => {
  let count = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++
  return count
}

/** The line of a name in a text, undefined if there is none. */
export const lineOf = (text: string, rel: string): string | undefined => {
  const key = rel + UNIT
  const at = text.startsWith(key) ? 0 : text.indexOf(`\n${key}`) + 1
  if (at === 0 && !text.startsWith(key)) return undefined
  const end = text.indexOf('\n', at)
  return text.slice(at + key.length, end < 0 ? undefined : end)
}

/** Parses the line of an owner; undefined if its name or records are not allowed in a zone of the gossip. */
export const ownerOf = (rel: string, line: string, apex: string): Owner | undefined => {
  const text = allowedName(rel, apex) ? allowedSets(line, apex) : ''
  return text === '' ? undefined : [wholeName(rel, apex), rrsetsOfText(text)]
}

/**
 * The lines of a piece in the format of boundary/zone-text.ts: with whole names, and without what is not allowed. They
 * are made from the text directly: both zones of 10,000 tasks have 500,000 records, and with an object for each a node that
 * joins takes 2.5 s of CPU time instead of 2.0.
 */
export const wholeLines = function* (text: string, apex: string): Generator<string> {
  let end = 0
  for (let at = 0; at < text.length; at = end + 1) {
    end = text.indexOf('\n', at)
    if (end < 0) end = text.length
    const unit = text.indexOf(UNIT, at)
    if (unit <= at || unit > end) continue
    const rel = text.slice(at, unit)
    const sets = allowedName(rel, apex) ? allowedSets(text.slice(unit + 1, end), apex) : ''
    if (sets !== '') yield `${wholeName(rel, apex)}${UNIT}${sets}\n`
  }
}

/** A name of a piece with the apex; '@' is the apex itself. */
export const wholeName = (rel: string, apex: string): string =>
  rel === '@' ? apex : `${rel}.${apex}`

/** Whether the whole name can be an owner's. The first test suffices for nearly all, and makes no string. */
const allowedName = (rel: string, apex: string): boolean =>
  (isName(rel) && rel.length + apex.length < MAX_NAME) || isOwnerName(wholeName(rel, apex))

/** The allowed RRsets of a line as text, with whole names in their data; '' if there are none. */
const allowedSets = (line: string, apex: string): string => {
  let sets = ''
  for (let at = 0, end = 0; at < line.length; at = end + 1) {
    end = line.indexOf(RECORD, at)
    if (end < 0) end = line.length
    const set = allowedSet(line.slice(at, end), apex)
    if (set !== '') sets = sets === '' ? set : `${sets}${RECORD}${set}`
  }
  return sets
}

const allowedSet = (set: string, apex: string): string => {
  const typeEnd = set.indexOf(UNIT)
  const ttlEnd = set.indexOf(UNIT, typeEnd + 1)
  if (typeEnd < 0 || ttlEnd < 0) return ''
  const type = set.slice(0, typeEnd)
  const ttl = Number(set.slice(typeEnd + 1, ttlEnd))
  if (!ZONE_TYPES.has(type) || !(ttl >= 0 && ttl < 2 ** 31)) return ''
  let good = ''
  let count = 0
  for (let at = ttlEnd + 1, end = 0; at <= set.length; at = end + 1) {
    if (++count > DATA_MOST) return ''
    end = set.indexOf(UNIT, at)
    if (end < 0) end = set.length
    const datum = allowedData(type, set.slice(at, end), apex)
    if (datum !== '') good += UNIT + datum
  }
  return good === '' ? '' : `${type}${UNIT}${Math.trunc(ttl)}${good}`
}

/** The rdata with a whole name; '' if it is not allowed. */
const allowedData = (type: string, datum: string, apex: string): string => {
  if (type !== 'SRV')
    return canonicalIp(datum) === datum && datum.includes(':') === (type !== 'A') ? datum : ''
  const numbers = endOfNumbers(datum)
  if (numbers < 0) return ''
  const target = datum.slice(numbers)
  if (!target.endsWith('.')) return allowedName(target, apex) ? `${datum}.${apex}` : ''
  return isOwnerName(target.slice(0, -1)) ? datum.slice(0, -1) : ''
}

/**
 * Where the target begins in an SRV's rdata, after three numbers of 16 bits and a space each; -1 if they are not there.
 * Octet by octet, as for names (boundary/zone.ts): a large zone has hundreds of thousands of them.
 */
const endOfNumbers = (datum: string): number => {
  let at = 0
  for (let field = 0; field < 3; field++) {
    const begin = at
    let value = 0
    for (let digit = 0; (digit = datum.charCodeAt(at) - 48) >= 0 && digit <= 9; at++)
      value = value * 10 + digit
    if (at === begin || at > begin + 5 || value > 65_535 || datum[at++] !== ' ') return -1
  }
  return at
}
