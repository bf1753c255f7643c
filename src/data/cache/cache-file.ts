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
import { Entry, FAILURE, NEGATIVE, POSITIVE } from './entry.ts'
import type { PacketCache } from './packet-cache.ts'
import { recentFirst } from './scan.ts'
import { FRESH, STALE, type Validity, type Verdict } from './validity.ts'
import { prepare } from '../forward/prepare.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { Records, scan } from '../../wire/scan.ts'

const MAGIC = 'SPC1'
const ENTRY = 12
const DIGEST = 32
/** Limit of the snapshot in octets; the most recently used entries are kept. */
const MOST_BYTES = 64 * 1024 * 1024

/** Octets hashed in one step: some tens of microseconds. */
const HASH_STEP = 32 * 1024
/** Entries read or written in one step. */
const STEP = 16

export type DumpContext = {
  readonly cache: PacketCache
  readonly validity: Validity
  /** The thread's clock. */
  readonly now: number
  readonly unixMs: number
}

/**
 * All positive and negative answers that may still be given, stale or not,
 * those used lately first; in memory of their own, which may be handed on.
 */
export function* dumpCache({
  cache,
  validity,
  now,
  unixMs,
}: DumpContext): Generator<void, Uint8Array> {
  // What a route or zone gave that has changed since would come back as the answer of the new one.
  const lasting = (entry: Entry): boolean =>
    entry.kind !== FAILURE &&
    entry.staleUntil > entry.expiresAt &&
    isGivable(validity.of(entry, now))
  const refs = yield* recentFirst(cache, now, lasting)
  // An entry takes more of the cache's budget than of the file.
  const room = Math.min(MOST_BYTES, cache.bytes + MAGIC.length)
  const out = Buffer.allocUnsafeSlow(room + DIGEST)
  const hash = createHash('sha256')
  let end = out.write(MAGIC, 'latin1')
  let hashed = 0
  const view = new Entry()
  for (const [n, ref] of refs.entries()) {
    const entry = cache.at(ref, view)
    if (entry && lasting(entry)) {
      const { bytes, at, length } = entry
      if (end + ENTRY + length > room) break
      out.writeUInt32BE(length, end)
      out.writeUInt32BE(Math.max(0, Math.trunc((unixMs - (now - entry.storedAt)) / 1000)), end + 4)
      out.writeUInt16BE(Math.min(entry.ttl, 65_535), end + 8)
      out[end + 10] = entry.kind
      out[end + 11] = entry.bits
      bytes.copy(out, end + ENTRY, at, at + length)
      end += ENTRY + length
    }
    if (end - hashed >= HASH_STEP) {
      hash.update(out.subarray(hashed, end))
      hashed = end
    }
    if (n % STEP === 0) yield
  }
  hash.update(out.subarray(hashed, end)).digest().copy(out, end)
  return out.subarray(0, end + DIGEST)
}

const isGivable = (verdict: Verdict): boolean => verdict === FRESH || verdict === STALE

/** What of a snapshot is one entry. */
type Stored = {
  readonly at: number
  readonly length: number
  readonly storedAt: number
  readonly ttl: number
  readonly kind: number
  readonly bits: number
}

/** The entries of a snapshot; none if its version is unknown or it is damaged. */
export function* readCacheFile(bytes: Uint8Array): Generator<void, Stored[]> {
  if (bytes.length < MAGIC.length + DIGEST) return []
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length - DIGEST)
  if (b.toString('latin1', 0, MAGIC.length) !== MAGIC) return []
  const hash = createHash('sha256')
  for (let at = 0; at < b.length; at += HASH_STEP) {
    hash.update(b.subarray(at, at + HASH_STEP))
    yield
  }
  if (!hash.digest().equals(bytes.subarray(b.length))) return []
  const found: Stored[] = []
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
    if (found.length % 1024 === 0) yield
  }
  return found
}

/** The route of a name: the number its answers depend on, its metric label, and the TTL of its stale answers. */
export type Origin = { readonly source: number; readonly zone: number; readonly staleTtl: Seconds }

export type RestoreContext = {
  readonly cache: PacketCache
  readonly clamps: { readonly serveStale: Seconds }
  /** The thread's clock. */
  readonly now: () => number
  readonly unixMs: number
  readonly epoch: () => number
  /** Which route would answer a name now; undefined for names that are not forwarded. */
  readonly originOf: (name: string) => Origin | undefined
}

/**
 * Adds a snapshot's answers to the cache as stale ones; returns their number. A damaged file adds nothing. Answers
 * that exist already are newer and stay.
 */
export function* restoreCache(bytes: Uint8Array, context: RestoreContext): Generator<void, number> {
  const found = yield* readCacheFile(bytes)
  let count = 0
  // The least recently used is added first, to keep the order.
  for (const [n, stored] of found.reverse().entries()) {
    if (restoreOne(bytes, stored, context)) count++
    if (n % STEP === 0) yield
  }
  return count
}

const records = new Records()
const there = new Entry()

const restoreOne = (
  bytes: Uint8Array,
  { at, length, storedAt, ttl, kind, bits }: Stored,
  { cache, clamps, now, unixMs, epoch, originOf }: RestoreContext,
): boolean => {
  const wire = Buffer.from(bytes.subarray(at, at + length))
  // A clock that was set back must not make an entry immortal, so its age is never negative.
  const age = Math.max(0, Math.trunc(unixMs / 1000) - storedAt)
  const left = clamps.serveStale - Math.max(0, age - ttl)
  if (left <= 0 || !scan(wire, wire.length, records) || records.qnameEnd <= HEADER) return false
  const had = cache.find(wire, HEADER, records.qnameEnd, records.qtype, bits & 3, there)
  if (had && had.kind !== FAILURE) return false
  const origin = originOf(foldedText(wire, HEADER))
  if (!origin) return false
  // It is stale from the first moment, however long its TTL was, and keeps its age.
  const seconds = Math.max(1, age)
  const all = Array.from({ length: records.count }, (_, i) => i)
  const fill = prepare(wire, records, all, true, {
    kind: kind === POSITIVE ? POSITIVE : NEGATIVE,
    ttl: Math.max(1, Math.min(ttl, seconds)),
    stale: clamps.serveStale,
    staleTtl: origin.staleTtl,
    ede: -1,
    edeText: '',
    zone: origin.zone,
    source: origin.source,
    several: false,
    failures: 0,
    dnssecOk: (bits & 1) !== 0,
    checkingDisabled: (bits & 2) !== 0,
    onTrial: false,
    authoritative: false,
  })
  const entry = fill && cache.fill(fill, now() - seconds * 1000, epoch())
  if (!entry) return false
  entry.restored = true
  return true
}
