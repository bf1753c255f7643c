/**
 * A delta: what one owner changed after version `from` up to `to`, each key
 * once with its newest value, in version order. Because of that order any
 * prefix of a delta is itself one, and a long one can be cut anywhere.
 *
 *   delta  name(len8) epoch from to gc flags age  op*         numbers are varints
 *   op     length  step flags key(len8) value(len)  …         step: version less the one before; key: kind octet, name
 *
 * What follows an op's value within its length is skipped: room for later.
 */
import { type Reader, type Writer, varintSize } from './octets.ts'
import type { Owner } from './owner.ts'
import { DELETED, type Table } from './table.ts'

/** The owner's complete state up to `to`: entries that are not in it are deleted. */
export const WHOLE = 1
/** Without ops, because they do not fit into a packet: only announces that they exist, and who has them. */
export const NOTICE = 2

/** An op's flag: the key is deleted, and no value follows. */
const OP_DELETED = 1

/**
 * Versions have 32 bits, epochs 48. An epoch is the seconds since 1970 at the owner's start, or its previous epoch
 * plus one.
 */
const MAX_VERSION = 2 ** 32 - 1
export const MAX_EPOCH = 2 ** 48 - 1

export type Delta = {
  readonly owner: string
  readonly epoch: number
  readonly from: number
  readonly to: number
  readonly gc: number
  readonly flags: number
  /** Age of the change in ms, as far as the peers that passed it on know. */
  readonly age: number
  /** Its ops begin at `at` of this reader's octets. */
  readonly ops: Reader
  readonly at: number
}

/** Iterates over a delta's ops. The fields hold the current op. */
export class Ops {
  readonly reader: Reader
  version: number
  keyAt = 0
  keyLength = 0
  valueAt = 0
  /** -1: deleted. */
  valueLength = 0
  #next: number

  constructor(delta: Delta) {
    this.reader = delta.ops
    this.version = delta.flags & WHOLE ? 0 : delta.from
    this.#next = delta.at
  }

  /** Goes to the next op. False at the end, and when an op is malformed (then `reader.ok` is false). */
  next(): boolean {
    const r = this.reader
    r.at = this.#next
    if (!r.ok || r.left === 0) return false
    const length = r.varint()
    const end = r.at + length
    this.version += r.varint()
    const deleted = (r.u8() & OP_DELETED) !== 0
    this.keyLength = r.u8()
    this.keyAt = r.skip(this.keyLength)
    this.valueLength = deleted ? -1 : r.varint()
    this.valueAt = deleted ? r.at : r.skip(this.valueLength)
    if (!r.ok || r.at > end || end > r.end) return (r.ok = false)
    this.#next = end
    return true
  }
}

/** Reads a delta in a field of a message and checks all its ops; undefined if it is malformed. */
export const readDelta = (r: Reader, valueBytes: number): Delta | undefined => {
  const owner = r.text(r.u8())
  const epoch = r.varint()
  const from = r.varint()
  const to = r.varint()
  const gc = r.varint()
  const flags = r.varint()
  const age = r.varint()
  if (!r.ok || owner === '' || epoch < 1 || epoch > MAX_EPOCH || to > MAX_VERSION) return undefined
  const whole = (flags & WHOLE) !== 0
  if (from >= to || gc > to || (whole ? from !== 0 : flags === 0 && gc > from)) return undefined
  const delta: Delta = { owner, epoch, from, to, gc, flags, age, ops: r, at: r.at }
  const ops = new Ops(delta)
  let last = from
  while (ops.next()) {
    if (
      ops.version <= last ||
      ops.version > to ||
      ops.keyLength < 2 ||
      ops.valueLength > valueBytes
    )
      return undefined
    last = ops.version
  }
  return r.ok ? delta : undefined
}

const opSize = (table: Table, e: number, step: number): number => {
  const deleted = ((table.flags[e] as number) & DELETED) !== 0
  const length = table.length[e] as number
  return (
    varintSize(step) +
    2 +
    (table.keys.length[table.key[e] as number] as number) +
    (deleted ? 0 : varintSize(length) + length)
  )
}

const writeOp = (w: Writer, table: Table, e: number, step: number): void => {
  const k = table.key[e] as number
  const deleted = ((table.flags[e] as number) & DELETED) !== 0
  const length = table.length[e] as number
  const keyLength = table.keys.length[k] as number
  const keyAddress = table.keys.address[k] as number
  const keyAt = table.slabs.offset(keyAddress)
  const key = table.slabs.slab(keyAddress)
  w.varint(opSize(table, e, step))
  w.varint(step)
  w.u8(deleted ? OP_DELETED : 0)
  w.u8(keyLength)
  w.raw(key, keyAt, keyAt + keyLength)
  if (deleted) return
  w.varint(length)
  const address = table.address[e] as number
  const at = table.slabs.offset(address)
  w.raw(table.slabs.slab(address), at, at + length)
}

/** First entry in an owner's list above a version, 0 if none. */
const firstAbove = (table: Table, owner: Owner, version: number): number => {
  if (version <= 0) return owner.head
  let e = owner.tail
  let found = 0
  while (e !== 0 && (table.version[e] as number) > version) {
    found = e
    e = table.before[e] as number
  }
  return found
}

const writeHead = (
  w: Writer,
  owner: Owner,
  from: number,
  to: number,
  flags: number,
  age: number,
): void => {
  w.text(owner.name)
  w.varint(owner.epoch)
  w.varint(from)
  w.varint(to)
  w.varint(owner.gc)
  w.varint(flags)
  w.varint(Math.max(0, Math.round(age)))
}

/**
 * Appends what an owner changed in (from, to] to `w`; the complete state if `from` is 0 or before its gc. Writes at
 * most about `limit` octets. Returns the version it reached, which is below `to` if it was cut; 0 if nothing was
 * written because not even one op fits (or not the complete state, if that is required).
 */
export const writeDelta = (
  w: Writer,
  table: Table,
  owner: Owner,
  from: number,
  to: number,
  limit: number,
  age: number,
): number => {
  const whole = from < owner.gc || from === 0
  if (whole) to = owner.version
  const headRoom = owner.name.length + 40
  let end = 0
  let reached = to
  let size = headRoom
  let last = whole ? 0 : from
  const first = firstAbove(table, owner, last)
  for (let e = first; e !== 0; e = table.after[e] as number) {
    const version = table.version[e] as number
    if (version > to) break
    const op = opSize(table, e, version - last)
    size += varintSize(op) + op
    if (size > limit) {
      if (whole || end === 0) return 0
      reached = last
      break
    }
    end = e
    last = version
  }
  writeHead(w, owner, whole ? 0 : from, reached, whole ? WHOLE : 0, age)
  last = whole ? 0 : from
  if (end !== 0)
    for (let e = first; ; e = table.after[e] as number) {
      const version = table.version[e] as number
      writeOp(w, table, e, version - last)
      last = version
      if (e === end) break
    }
  return reached
}

/** Appends a notice that an owner changed in (from, to], without the changes. */
export const writeNotice = (w: Writer, owner: Owner, from: number, to: number, age: number): void =>
  writeHead(w, owner, from, to, NOTICE, age)
