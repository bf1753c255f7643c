/**
 * The packet cache as bytes, so that a restart finds answers where it left
 * them. What is read back counts as stale: it carries agents through a
 * reboot during an outage of the masters, and the first question refreshes
 * it.
 *
 *     magic 'SPC1'
 *     per entry: u32 length of the response, u32 Unix time it was stored,
 *     u16 TTL, u8 kind, u8 DO/CD, then the response
 *     32 octets SHA-256 of all before
 */
import { createHash } from 'node:crypto'
import type { Seconds } from '../../boundary/messages.ts'
import { FAILURE, NEGATIVE, POSITIVE } from './entry.ts'
import type { PacketCache } from './packet-cache.ts'
import { prepare } from '../forward/prepare.ts'
import { CLUSTER_STALE_TTL } from '../forward/ttl-policy.ts'
import { HEADER, setRcode, rcode } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { Records, scan } from '../../wire/scan.ts'

const MAGIC = 'SPC1'
const ENTRY = 12
const DIGEST = 32
/** The snapshot never grows past this, most recently used first. */
const MOST_BYTES = 64 * 1024 * 1024

/** All positive and negative answers, most recently used first. Times: the thread's clock and Unix milliseconds. */
export const dumpCache = (cache: PacketCache, now: number, unixMs: number): Uint8Array => {
  const parts: Buffer[] = [Buffer.from(MAGIC)]
  let total = MAGIC.length
  for (const entry of cache.all()) {
    if (entry.kind === FAILURE || entry.staleUntil <= entry.expiresAt || now >= entry.staleUntil)
      continue
    const { bytes, at } = entry
    if (total + ENTRY + entry.length > MOST_BYTES) break
    const head = Buffer.alloc(ENTRY)
    head.writeUInt32BE(entry.length, 0)
    head.writeUInt32BE(Math.max(0, Math.trunc((unixMs - (now - entry.storedAt)) / 1000)), 4)
    head.writeUInt16BE(Math.min(entry.ttl, 65_535), 8)
    head[10] = entry.kind
    head[11] = entry.bits
    parts.push(head, Buffer.from(bytes.subarray(at, at + entry.length)))
    total += ENTRY + entry.length
  }
  const body = Buffer.concat(parts)
  return Buffer.concat([body, createHash('sha256').update(body).digest()])
}

/** Whether these bytes are a whole snapshot of a version we read. */
export const isCacheFile = (bytes: Uint8Array): boolean => {
  if (bytes.length < MAGIC.length + DIGEST) return false
  const body = bytes.subarray(0, bytes.length - DIGEST)
  if (Buffer.from(body.subarray(0, MAGIC.length)).toString('latin1') !== MAGIC) return false
  return createHash('sha256').update(body).digest().equals(bytes.subarray(body.length))
}

/**
 * Puts a snapshot's answers into the cache as stale ones; how many. Damaged
 * or foreign bytes put nothing. `originOf` says which route would answer a
 * name now; names that are not forwarded are left out.
 */
export const restoreCache = (
  bytes: Uint8Array,
  cache: PacketCache,
  clamps: { readonly serveStale: Seconds; readonly maxBytes: number },
  now: number,
  unixMs: number,
  epoch: number,
  originOf: (name: string) => { source: number; zone: number } | undefined,
): number => {
  if (!isCacheFile(bytes)) return 0
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length - DIGEST)
  const records = new Records()
  const found: {
    at: number
    length: number
    storedAt: number
    ttl: number
    kind: number
    bits: number
  }[] = []
  for (let at = MAGIC.length; at + ENTRY <= b.length;) {
    const length = b.readUInt32BE(at)
    if (length > 65_535 || at + ENTRY + length > b.length) break
    found.push({
      at: at + ENTRY,
      length,
      storedAt: b.readUInt32BE(at + 4),
      ttl: b.readUInt16BE(at + 8),
      kind: b[at + 10]!,
      bits: b[at + 11]!,
    })
    at += ENTRY + length
  }
  let count = 0
  // The least recently used goes in first, so that the order survives.
  for (const one of found.reverse()) {
    const wire = Buffer.from(b.subarray(one.at, one.at + one.length))
    // A clock that was set back would make an entry immortal: age is never negative.
    const age = Math.max(0, Math.trunc(unixMs / 1000) - one.storedAt)
    const left = clamps.serveStale - Math.max(0, age - one.ttl)
    if (left <= 0 || !scan(wire, wire.length, records) || records.qnameEnd <= HEADER) continue
    const origin = originOf(foldedText(wire, HEADER))
    if (!origin) continue
    setRcode(wire, rcode(wire))
    const all = Array.from({ length: records.count }, (_, i) => i)
    const fill = prepare(wire, records, all, true, {
      kind: one.kind === POSITIVE ? POSITIVE : NEGATIVE,
      ttl: 1,
      stale: left,
      staleTtl: CLUSTER_STALE_TTL,
      ede: -1,
      edeText: '',
      zone: origin.zone,
      source: origin.source,
      several: false,
      failures: 0,
      dnssecOk: (one.bits & 1) !== 0,
      checkingDisabled: (one.bits & 2) !== 0,
      authoritative: false,
    })
    const entry = fill && cache.fill(fill, now - 1000, epoch)
    if (entry) {
      entry.expiresAt = Math.round(now)
      count++
    }
  }
  return count
}
