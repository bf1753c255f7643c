/**
 * Writes a response from an entry in the cases that `putHit` alone does not cover: EDNS options, a size limit, a stale
 * answer, or TCP. If the response is too large, NSID and the text of an extended error are dropped first, then records.
 */
import type { Milliseconds } from '../../boundary/messages.ts'
import type { Entry } from '../cache/entry.ts'
import { putHit, shownTtl } from '../cache/hit.ts'
import { addOption, hasOption, OPT_LENGTH } from '../../wire/edns.ts'
import { put16 } from '../../wire/octets.ts'
import { truncate } from '../../wire/truncate.ts'
import type { Head } from './admit.ts'

/** Largest response: a TCP frame. */
export const MOST = 65_535
const NO_TEXT = new Uint8Array(0)
/** Limit of octets of our name in an NSID option. */
const NSID_LENGTH = 128

export type Responding = {
  /** Our name, sent to clients that ask for NSID. */
  readonly node: string
  readonly settings: { readonly tcp: { readonly idle: Milliseconds } }
}

/** How long ago, in seconds, the data of an entry was known to be right. */
export const ageOf = ({ storedAt }: Entry, now: number): number =>
  Math.max(0, now - storedAt) / 1000

/** For the person who runs dig: how old a stale answer is. */
const ageText = (entry: Entry, now: number): Buffer =>
  Buffer.from(`the answer is ${Math.round(ageOf(entry, now))} s old`)

/** The buffer that `respond` writes to. */
export const response = Buffer.allocUnsafeSlow(MOST + 512)

/**
 * Writes the response to the query at b[at] into `response`, and returns its length. `ede` is 0, or the extended error
 * for a stale entry.
 */
export const respond = (
  entry: Entry,
  ede: number,
  b: Uint8Array,
  at: number,
  head: Head,
  limit: number,
  now: number,
  tcp: boolean,
  { node, settings }: Responding,
): number => {
  const ttl = ede > 0 ? entry.staleTtl : shownTtl(entry, now)
  const code = ede > 0 ? ede : entry.ede
  const text = ede > 0 ? ageText(entry, now) : (entry.edeText ?? NO_TEXT)
  let end = putHit(entry, b, at, head, response, 0, ttl, code, text)
  let optAt = end - OPT_LENGTH - (code < 0 ? 0 : 6 + text.length)
  if (asksFor(b, at, head, 'nsid'))
    end = addOption(response, optAt, end, 'nsid', Buffer.from(node.slice(0, NSID_LENGTH)))
  if (end > limit && head.edns) {
    end = putHit(entry, b, at, head, response, 0, ttl, code, NO_TEXT)
    optAt = end - OPT_LENGTH - (code < 0 ? 0 : 6)
  }
  if (tcp && asksFor(b, at, head, 'keepalive')) {
    const tenths = Buffer.alloc(2)
    put16(tenths, 0, Math.min(65_535, Math.trunc(settings.tcp.idle / 100)))
    end = addOption(response, optAt, end, 'keepalive', tenths)
  }
  return end > limit ? truncate(response.subarray(0, end), end, limit) : end
}

const asksFor = (b: Uint8Array, at: number, head: Head, option: 'nsid' | 'keepalive'): boolean =>
  head.optionsEnd > 0 && hasOption(b, at + head.optionsAt, at + head.optionsEnd, option)
