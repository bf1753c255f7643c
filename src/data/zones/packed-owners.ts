/**
 * The owners of a large zone as octets and numbers: the text they came as
 * (boundary/zone-text.ts), and a tree of their labels in typed arrays, found by hash.
 * Nothing in it is an object, so a zone of 50,000 names that comes and one
 * that goes leave the garbage collector of the thread that answers nothing to
 * move, mark or free one by one.
 *
 *   node 0 is the apex; every other is one label below its parent. A node is
 *   an owner, or only on the way to some. Where its label begins the rest of
 *   an owner's line follows, so the place of an owner's label leads to all
 *   that it holds.
 *
 * Owners come and may go; what one holds never changes (local-zone.ts keeps
 * what does).
 *
 * Its memory is of the kind that threads share, although no other sees it: V8
 * counts other kinds as garbage to come, and a load of 20,000 names made it
 * collect three times, stopping the thread that answers for 2 to 4 ms each.
 * Not counted, it is not collected in time either, so whoever replaces a zone
 * by another hands its memory on.
 */
import type { RRset } from '../../boundary/messages.ts'
import { unpack, type SharedText } from '../../boundary/shared-text.ts'
import { LF, rrsetsOfText, US } from '../../boundary/zone-text.ts'

/**
 * Unit of memory for pieces. Pieces have similar sizes (control/zones/zone-publisher.ts), so memory for one fits most
 * others.
 */
const PIECE = 64 * 1024
const DOT = 0x2e
const STAR = 0x2a

/** Kinds of nodes: an inner node, which may be a removed owner, and an owner. */
const WAY = 0
const OWNER = 1

/** The seed is secret, so that an attacker cannot choose names that collide. */
const SEED = (Math.random() * 2 ** 32) | 0

/** One step of FNV-1a. */
const hashed = (hash: number, code: number): number => Math.imul(hash ^ code, 0x01000193)

/** Initial hash for labels below this node. */
const begun = (parent: number): number => Math.imul(SEED ^ parent, 0x9e3779b1 | 0)

/** Mixes the upper bits into the slot number: the low bits alone hardly depend on a label's first octets. */
const mixed = (hash: number): number => hash ^ (hash >>> 15)

const numbers = (n: number): Int32Array => new Int32Array(new SharedArrayBuffer(4 * n))

const atLeast = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(8, n)))

export class PackedOwners {
  readonly #apex: Uint8Array
  /** The texts, each in memory that may be longer. */
  readonly #pieces: Buffer[] = []
  /** Memory for further pieces. */
  readonly #blank: Buffer[]
  #size = 0
  #wild = false
  // Columns by node:
  #nodes = 1
  #hash: Int32Array
  #parent: Int32Array
  /** Which piece contains its label, and where. */
  #piece: Int32Array
  #at: Int32Array
  /** Number of owners below it. */
  #below: Int32Array
  #kind: Uint8Array
  /** Node numbers by hash, 0 for none; at most half full. */
  #slots: Int32Array

  /** Allocates memory for `owners` owners, or reuses that of `old`, which must no longer be in use. */
  constructor(apex: string, owners: number, old?: PackedOwners) {
    this.#apex = Buffer.from(apex)
    this.#blank = old ? [...old.#pieces, ...old.#blank] : []
    const room = atLeast(owners + (owners >> 1))
    if (old && old.#hash.length >= room) {
      this.#hash = old.#hash
      this.#parent = old.#parent
      this.#piece = old.#piece
      this.#at = old.#at
      this.#below = old.#below.fill(0, 0, old.#nodes)
      this.#kind = old.#kind.fill(WAY, 0, old.#nodes)
      this.#slots = old.#slots.fill(0)
      return
    }
    this.#hash = numbers(room)
    this.#parent = numbers(room)
    this.#piece = numbers(room)
    this.#at = numbers(room)
    this.#below = numbers(room)
    this.#kind = new Uint8Array(new SharedArrayBuffer(room))
    this.#slots = numbers(2 * room)
  }

  get size(): number {
    return this.#size
  }

  /** Whether there is or was a wildcard. */
  get wild(): boolean {
    return this.#wild
  }

  /** Adds the owners of a text, `step` per step. */
  *add(text: SharedText, step: number): Generator<void> {
    const { length } = text
    const piece = unpack(text, n => this.#room(n))
    this.#pieces.push(piece)
    let n = 0
    for (let at = 0; at < length;) {
      const end = piece.indexOf(LF, at)
      this.#put(piece, at, nameEnd(piece, at))
      at = end + 1
      if (++n % step === 0) yield
    }
  }

  /** Memory for `length` octets. */
  #room(length: number): Buffer {
    const fits = this.#blank.findIndex(blank => blank.length >= length)
    if (fits >= 0) return this.#blank.splice(fits, 1)[0]!
    // the new, larger memory replaces one that was too small
    this.#blank.pop()
    return Buffer.from(new SharedArrayBuffer(Math.ceil(length / PIECE) * PIECE))
  }

  /** The records of a name; undefined if it is not an owner. */
  get(name: string): readonly RRset[] | undefined {
    const node = this.#find(name)
    if (node < 0 || this.#kind[node] !== OWNER) return undefined
    const piece = this.#pieces[this.#piece[node]!]!
    const us = nameEnd(piece, this.#at[node]!)
    return rrsetsOfText(piece.toString('utf8', us + 1, piece.indexOf(LF, us)))
  }

  has(name: string): boolean {
    const node = this.#find(name)
    return node >= 0 && this.#kind[node] === OWNER
  }

  /** Whether there are owners below this name. */
  leadsOn(name: string): boolean {
    const node = this.#find(name)
    return node >= 0 && this.#below[node]! > 0
  }

  /** Removes an owner; returns whether it was one. */
  drop(name: string): boolean {
    const node = this.#find(name)
    if (node < 0 || this.#kind[node] !== OWNER) return false
    this.#kind[node] = WAY
    this.#size--
    this.#count(node, -1)
    return true
  }

  /**
   * Adds the owner whose line begins at `from` and whose name ends before `end`; ignored if it is not in this zone.
   */
  #put(piece: Uint8Array, from: number, end: number): void {
    const apex = this.#apex
    let at = end - apex.length
    if (at < from || (at > from && piece[at - 1] !== DOT)) return
    for (let i = 0; i < apex.length; i++) if (piece[at + i] !== apex[i]) return
    let node = 0
    while (at > from) {
      const labelEnd = at - 1
      let hash = begun(node)
      for (at = labelEnd; at > from && piece[at - 1] !== DOT; at--)
        hash = hashed(hash, piece[at - 1]!)
      node = this.#child(node, hash, piece, at, labelEnd)
    }
    // the apex gets a position only when it is an owner
    this.#piece[node] = this.#pieces.length - 1
    this.#at[node] = from
    if (this.#kind[node] === OWNER) return
    this.#kind[node] = OWNER
    this.#size++
    this.#wild ||= piece[from] === STAR
    this.#count(node, 1)
  }

  /** The child node with this label; created if there is none. */
  #child(parent: number, hash: number, piece: Uint8Array, from: number, end: number): number {
    const mask = this.#slots.length - 1
    let slot = mixed(hash) & mask
    for (; ; slot = (slot + 1) & mask) {
      const node = this.#slots[slot]!
      if (node === 0) break
      if (this.#hash[node] !== hash || this.#parent[node] !== parent) continue
      const there = this.#pieces[this.#piece[node]!]!
      const at = this.#at[node]!
      let i = from
      while (i < end && there[at + i - from] === piece[i]) i++
      if (i === end && isEnd(there[at + end - from]!)) return node
    }
    const node = this.#nodes++
    this.#slots[slot] = node
    this.#hash[node] = hash
    this.#parent[node] = parent
    this.#piece[node] = this.#pieces.length - 1
    this.#at[node] = from
    if (this.#nodes === this.#hash.length) this.#grow()
    return node
  }

  /** The node of a name, -1 if there is none. */
  #find(name: string): number {
    let at = name.length - this.#apex.length
    if (at < 0 || (at > 0 && name.charCodeAt(at - 1) !== DOT)) return -1
    for (let i = 0; i < this.#apex.length; i++)
      if (name.charCodeAt(at + i) !== this.#apex[i]) return -1
    const mask = this.#slots.length - 1
    let node = 0
    while (at > 0) {
      const end = at - 1
      const parent = node
      let hash = begun(parent)
      for (at = end; at > 0 && name.charCodeAt(at - 1) !== DOT; at--)
        hash = hashed(hash, name.charCodeAt(at - 1))
      let slot = mixed(hash) & mask
      for (; (node = this.#slots[slot]!) !== 0; slot = (slot + 1) & mask)
        if (
          this.#hash[node] === hash &&
          this.#parent[node] === parent &&
          this.#is(node, name, at, end)
        )
          break
      if (node === 0) return -1
    }
    return node
  }

  /** Whether this text is the label of the node. */
  #is(node: number, name: string, from: number, end: number): boolean {
    const there = this.#pieces[this.#piece[node]!]!
    const at = this.#at[node]!
    for (let i = from; i < end; i++) if (there[at + i - from] !== name.charCodeAt(i)) return false
    return isEnd(there[at + end - from]!)
  }

  #count(node: number, step: 1 | -1): void {
    while (node !== 0) {
      node = this.#parent[node]!
      this.#below[node]! += step
    }
  }

  #grow(): void {
    const room = 2 * this.#hash.length
    const wider = (a: Int32Array): Int32Array => {
      const b = numbers(room)
      b.set(a)
      return b
    }
    this.#hash = wider(this.#hash)
    this.#parent = wider(this.#parent)
    this.#piece = wider(this.#piece)
    this.#at = wider(this.#at)
    this.#below = wider(this.#below)
    const kind = new Uint8Array(new SharedArrayBuffer(room))
    kind.set(this.#kind)
    this.#kind = kind
    this.#slots = numbers(2 * room)
    const mask = 2 * room - 1
    for (let node = 1; node < this.#nodes; node++) {
      let slot = mixed(this.#hash[node]!) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = node
    }
  }
}

/** Whether an octet ends a label: the next label, the records or the line follows. */
const isEnd = (octet: number): boolean => octet === DOT || octet === US || octet === LF

const nameEnd = (piece: Uint8Array, from: number): number => {
  let at = from
  while (piece[at] !== US && piece[at] !== LF) at++
  return at
}
