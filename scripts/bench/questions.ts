/**
 * The questions of a load. All names have the same length and differ in their digits, so a query is a copied
 * template, and an answer is checked by comparing octets. Type A, class IN, RD set.
 */

const HEADER = 12
/** Offset of a name's digits: after the header, the label's length and its letter. */
const DIGITS_AT = HEADER + 2
const DIGITS = 9

/** Names in this zone have so short a TTL, in seconds, that they are refreshed during the open loop. */
export const SHORT_ZONE = 'short.example.org'
export const SHORT_TTL = 10

/** Names here live as shortly, and their upstream takes its time. */
export const SLOW_ZONE = 'prefetch.example.org'
export const SLOW_MS = 50

/** Labels of so many octets, each one of two: enough for 262,144 names that differ in single bits only. */
const CRAFTED = 18

/** What a load asks for. */
export type Mix = {
  /** The repeated names are made of these two octets alone, which a careless hash takes for one. */
  readonly craft?: readonly [number, number]
  /** Names that repeat. */
  readonly names: number
  /** Share of queries, 0 to 1, for a name that was never asked before. */
  readonly fresh: number
  /** Zone of the repeated names; 'bench.example.org' is external, like most hits. */
  readonly zone: string
  /** Zone of the new names; names below `mesos` are sent to the masters and raced. */
  readonly freshZone: string
}

/** A query for a name whose digits are filled in later. It has no OPT, like the query of a plain libc resolver. */
const template = (first: string, zone: string): Buffer => {
  const labels = [first, ...zone.split('.')]
  const name = Buffer.concat(labels.map(l => Buffer.from([l.length, ...Buffer.from(l)])))
  return Buffer.concat([
    Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    name,
    Buffer.from([0, 0, 1, 0, 1]),
  ])
}

/** Number of the next new name; never reused within a process. */
let next = 0

/** Creates queries. Names are chosen by a fixed pseudo-random sequence, the same in every run. */
export class Questions {
  readonly #hit: Buffer
  readonly #fresh: Buffer
  readonly #mix: Mix
  #seed = 0x9e3779b9
  constructor(mix: Mix) {
    this.#mix = mix
    this.#hit = template(mix.craft ? '0'.repeat(CRAFTED) : `h${'0'.repeat(DIGITS)}`, mix.zone)
    this.#fresh = template(`f${'0'.repeat(DIGITS)}`, mix.freshZone)
  }

  /** How many names repeat. */
  get names(): number {
    return this.#mix.names
  }

  /** Writes the next query of the mix without an ID; returns its length. */
  write(to: Uint8Array, at: number): number {
    const { names, fresh } = this.#mix
    if (fresh > 0 && (fresh === 1 || this.#random() < fresh * 0x1_0000_0000)) {
      return put(this.#fresh, next++, to, at)
    }
    return this.writeName(this.#random() % names, to, at)
  }

  /** Writes the query for one of the repeated names. */
  writeName(n: number, to: Uint8Array, at: number): number {
    const { craft } = this.#mix
    return craft ? putCrafted(this.#hit, n, craft, to, at) : put(this.#hit, n, to, at)
  }

  /** xorshift32: fast, and even enough for choosing names. */
  #random(): number {
    let x = this.#seed
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#seed = x
    return x >>> 0
  }
}

const put = (from: Buffer, n: number, to: Uint8Array, at: number): number => {
  const length = from.length
  for (let i = 0; i < length; i++) to[at + i] = from[i]!
  for (let i = at + DIGITS_AT + DIGITS - 1; n > 0; i--) {
    to[i] = 0x30 + (n % 10)
    n = Math.floor(n / 10)
  }
  return length
}

const putCrafted = (
  from: Buffer,
  n: number,
  craft: readonly [number, number],
  to: Uint8Array,
  at: number,
): number => {
  for (let i = 0; i < from.length; i++) to[at + i] = from[i]!
  for (let bit = 0; bit < CRAFTED; bit++) to[at + HEADER + 1 + bit] = craft[(n >> bit) & 1]!
  return from.length
}
