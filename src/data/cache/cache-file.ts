/**
 * The packet cache as bytes, so that a restart finds answers where it left
 * them. What is read back counts as stale: it carries agents through a
 * reboot during an outage of the masters, and the first question refreshes
 * it. What another route gave than the one that answers its name now is left
 * out: the configuration may have changed meanwhile.
 *
 *     magic 'SPC2'
 *     per entry: u32 length of the response, u32 Unix time it was stored,
 *     i32 number of its route, u16 TTL, u8 kind, u8 DO/CD, then the response
 *     32 octets SHA-256 of all before
 */
import { createHash } from 'node:crypto'
import type { Restored, Seconds } from '../../boundary/messages.ts'
import { Entry, FAILURE, NEGATIVE, POSITIVE } from './entry.ts'
import type { PacketCache } from './packet-cache.ts'
import { recentFirst } from './scan.ts'
import { FRESH, STALE, type Validity, type Verdict } from './validity.ts'
import { prepare } from '../forward/prepare.ts'
import { HEADER } from '../../wire/header.ts'
import { foldedText } from '../../wire/name.ts'
import { Records, scan } from '../../wire/scan.ts'

const FORMAT = 'SPC'
const MAGIC = `${FORMAT}2`
const ENTRY = 16
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
  // The number of what has several sources means nothing in the next run.
  const lasting = (entry: Entry): boolean =>
    entry.kind !== FAILURE &&
    !entry.several &&
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
      out.writeInt32BE(entry.source, end + 8)
      out.writeUInt16BE(Math.min(entry.ttl, 65_535), end + 12)
      out[end + 14] = entry.kind
      out[end + 15] = entry.bits
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

const DAMAGED = 'it is damaged'
const OTHER_VERSION = 'another version has written it'

/** What of a snapshot is one entry. */
type Stored = {
  readonly at: number
  readonly length: number
  readonly storedAt: number
  readonly source: number
  readonly ttl: number
  readonly kind: number
  readonly bits: number
}

/** The entries of a snapshot; a sentence that says why if it cannot be read. */
function* readCacheFile(bytes: Uint8Array): Generator<void, Stored[] | string> {
  if (bytes.length < MAGIC.length + DIGEST) return DAMAGED
  const b = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length - DIGEST)
  const magic = b.toString('latin1', 0, MAGIC.length)
  if (magic !== MAGIC) return magic.startsWith(FORMAT) ? OTHER_VERSION : DAMAGED
  const hash = createHash('sha256')
  for (let at = 0; at < b.length; at += HASH_STEP) {
    hash.update(b.subarray(at, at + HASH_STEP))
    yield
  }
  if (!hash.digest().equals(bytes.subarray(b.length))) return DAMAGED
  const found: Stored[] = []
  for (let at = MAGIC.length; at + ENTRY <= b.length;) {
    const length = b.readUInt32BE(at)
    if (length > 65_535 || at + ENTRY + length > b.length) break
    found.push({
      at: at + ENTRY,
      length,
      storedAt: b.readUInt32BE(at + 4),
      source: b.readInt32BE(at + 8),
      ttl: b.readUInt16BE(at + 12),
      kind: b[at + 14]!,
      bits: b[at + 15]!,
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
 * Adds a snapshot's answers to the cache as stale ones. A damaged file adds nothing. Answers that exist already are
 * newer and stay.
 */
export function* restoreCache(
  bytes: Uint8Array,
  context: RestoreContext,
): Generator<void, Restored> {
  const found = yield* readCacheFile(bytes)
  if (typeof found === 'string') return { count: 0, otherRoute: 0, trouble: found }
  const counts = { restored: 0, over: 0, otherRoute: 0 }
  // The least recently used is added first, to keep the order.
  for (const [n, stored] of found.reverse().entries()) {
    counts[restoreOne(bytes, stored, context)]++
    if (n % STEP === 0) yield
  }
  return { count: counts.restored, otherRoute: counts.otherRoute, trouble: '' }
}

const records = new Records()
const there = new Entry()

/** `over`: too old, or not needed. */
const restoreOne = (
  bytes: Uint8Array,
  { at, length, storedAt, source, ttl, kind, bits }: Stored,
  { cache, clamps, now, unixMs, epoch, originOf }: RestoreContext,
): 'restored' | 'over' | 'otherRoute' => {
  const wire = Buffer.from(bytes.subarray(at, at + length))
  // A clock that was set back must not make an entry immortal, so its age is never negative.
  const age = Math.max(0, Math.trunc(unixMs / 1000) - storedAt)
  const left = clamps.serveStale - Math.max(0, age - ttl)
  if (left <= 0 || !scan(wire, wire.length, records) || records.qnameEnd <= HEADER) return 'over'
  const had = cache.find(wire, HEADER, records.qnameEnd, records.qtype, bits & 3, there)
  if (had && had.kind !== FAILURE) return 'over'
  const origin = originOf(foldedText(wire, HEADER))
  if (origin?.source !== source) return 'otherRoute'
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
  if (!entry) return 'over'
  entry.restored = true
  return 'restored'
}
