/**
 * Answers a query exactly as Mesos-DNS does, with the same flags, compression and truncation: no EDNS, 512 octets
 * over UDP, additional records are dropped first, and TC is set even if that was enough. Nothing is cached; each
 * answer is computed again.
 */
import { isIPv4 } from 'node:net'
import { ipFamily, ipToOctets } from '../../base/ip.ts'
import { RCODE, TYPE } from '../../wire/codes.ts'
import { AA, CD, HEADER, isResponse, opcode, qdcount, QR, RA, RD, TC } from '../../wire/header.ts'
import { foldedText, nameText, nameWire, skipPlainName } from '../../wire/name.ts'
import { copy, put16, put32, u16, u8 } from '../../wire/octets.ts'
import {
  compatAnswer,
  type CompatAnswer,
  type CompatRecord,
  type CompatZone,
  type Random,
} from './compat.ts'

/** Settings of Mesos-DNS that affect its answers. */
export type CompatOptions = {
  /** RA in answers: the recurseOn of Mesos-DNS, which sets the flag although it does not recurse. */
  readonly recursionAvailable: boolean
  /** False does not set TC on truncated answers: Mesos-DNS's setTruncateBit. */
  readonly setTruncateBit: boolean
  /** True refuses names outside the zone, like Mesos-DNS without resolvers. */
  readonly refuseOutside?: boolean
}

/** A UDP answer must be shorter than this, whatever EDNS allows. */
const UDP_LIMIT = 512
const TCP_LIMIT = 65_535
const CLASS_IN = 1

/** Writes records with name compression; a name is only reused in the same spelling. */
class Writer {
  readonly #out: Buffer
  readonly #seen = new Map<string, number>()
  at = 0

  constructor(size: number) {
    this.#out = Buffer.alloc(size)
  }

  bytes(from: Uint8Array, start: number, end: number): void {
    this.at = copy(from, start, end, this.#out, this.at)
  }

  /** Writes a name; `point` allows a pointer at its end. Later names may point to any part of it. */
  name(wire: Uint8Array, point: boolean): void {
    for (let from = 0; ;) {
      const length = u8(wire, from)
      if (length === 0) {
        this.#out[this.at++] = 0
        return
      }
      const key = Buffer.from(wire.subarray(from)).toString('latin1')
      const seen = this.#seen.get(key)
      if (seen !== undefined && point) {
        this.u16(0xc000 | seen)
        return
      }
      if (seen === undefined && this.at < 0x4000) this.#seen.set(key, this.at)
      this.bytes(wire, from, from + length + 1)
      from += length + 1
    }
  }

  u16(value: number): void {
    put16(this.#out, this.at, value)
    this.at += 2
  }

  u32(value: number): void {
    put32(this.#out, this.at, value)
    this.at += 4
  }

  /** Writes a record; returns false, and writes nothing, if its data is invalid. */
  record({ name, type, ttl, data }: CompatRecord): boolean {
    const owner = nameWire(name)
    const rdata = rdataOf(type, data)
    if (owner === undefined || rdata === undefined) return false
    this.name(owner, true)
    this.u16(TYPE[type])
    this.u16(CLASS_IN)
    this.u32(ttl)
    const lengthAt = this.at
    this.u16(0)
    for (const part of rdata) {
      if (typeof part === 'number') this.u32(part)
      else if (part.kind === 'octets') this.bytes(part.octets, 0, part.octets.length)
      else this.name(part.octets, part.kind === 'name')
    }
    put16(this.#out, lengthAt, this.at - lengthAt - 2)
    return true
  }

  /** The message so far, with its header. */
  message(query: Uint8Array, flags: readonly [number, number], counts: readonly number[]): Buffer {
    copy(query, 0, 2, this.#out, 0)
    this.#out[2] = flags[0]
    this.#out[3] = flags[1]
    counts.forEach((count, i) => put16(this.#out, 4 + 2 * i, count))
    return this.#out.subarray(0, this.at)
  }
}

/** A 32-bit number, octets, or a name that may (`name`) or may not (`plain`) be compressed. */
type Part = number | { readonly kind: 'octets' | 'name' | 'plain'; readonly octets: Uint8Array }

const octets = (bytes: Uint8Array): Part => ({ kind: 'octets', octets: bytes })

const nameParts = (names: readonly string[], kind: 'name' | 'plain'): Part[] | undefined => {
  const wires = names.map(nameWire)
  return wires.every(wire => wire !== undefined)
    ? wires.map(wire => ({ kind, octets: wire }))
    : undefined
}

/** The parts of canonical rdata; undefined if it is invalid. */
const rdataOf = (type: CompatRecord['type'], data: string): readonly Part[] | undefined => {
  const words = data.split(' ')
  switch (type) {
    case 'A':
      return isIPv4(data) ? [octets(Uint8Array.from(data.split('.'), Number))] : undefined
    case 'AAAA':
      return ipFamily(data) === 6 && !data.includes('.') ? [octets(ipToOctets(data))] : undefined
    case 'NS':
      return nameParts([data], 'name')
    case 'SRV': {
      const target = nameParts([words[3] ?? ''], 'plain')
      const head = Buffer.alloc(6)
      for (let i = 0; i < 3; i++) put16(head, 2 * i, Number(words[i]))
      return target && [octets(head), ...target]
    }
    case 'SOA': {
      const names = nameParts(words.slice(0, 2), 'name')
      return names && [...names, ...words.slice(2, 7).map(Number)]
    }
  }
}

/** The message with the first `answers` answers, with or without additional records. */
const written = (
  query: Uint8Array,
  questionEnd: number,
  flags: readonly [number, number],
  of: CompatAnswer,
  answers: number,
  additional: boolean,
): Buffer => {
  const sections = [of.answer.slice(0, answers), of.authority, additional ? of.additional : []]
  const count = sections.reduce((sum, section) => sum + section.length, 0)
  const out = new Writer(HEADER + questionEnd + count * 600)
  out.at = HEADER
  const qname = query.subarray(HEADER, questionEnd - 4)
  out.name(qname, false)
  out.bytes(query, questionEnd - 4, questionEnd)
  const counts = sections.map(section => section.filter(record => out.record(record)).length)
  return out.message(query, flags, [1, ...counts])
}

/** Truncates like Mesos-DNS: first without additional data, then with as many answers as fit. */
const fitted = (
  make: (answers: number, additional: boolean, truncated: boolean) => Buffer,
  total: number,
  limit: number,
): Buffer => {
  const whole = make(total, true, false)
  if (whole.length <= limit) return whole
  const bare = make(total, false, true)
  if (bare.length < limit) return bare
  let fits = 0
  let tooMany = total
  while (fits + 1 < tooMany) {
    const middle = (fits + tooMany) >> 1
    if (make(middle, false, true).length < limit) fits = middle
    else tooMany = middle
  }
  return make(fits, false, true)
}

const bare = (query: Uint8Array, third: number, rcode: number): Buffer =>
  Buffer.from([u8(query, 0), u8(query, 1), third, rcode, 0, 0, 0, 0, 0, 0, 0, 0])

const refused = (query: Uint8Array, questionEnd: number, third: number): Buffer => {
  const out = Buffer.concat([
    bare(query, third, RCODE.REFUSED),
    query.subarray(HEADER, questionEnd),
  ])
  out[5] = 1
  return out
}

/**
 * The response to a query over UDP or TCP; undefined if there is none (for a response, or a cut header); 'outside'
 * if the name is not in the zone and the query must be forwarded.
 */
export const compatReply = (
  query: Uint8Array,
  transport: 'udp' | 'tcp',
  zone: CompatZone,
  options: CompatOptions,
  random: Random,
): Buffer | 'outside' | undefined => {
  if (query.length < HEADER || isResponse(query)) return undefined
  const isQuery = opcode(query) === 0
  const second = u8(query, 2)
  const echoed = QR | (second & 0x78) | (isQuery ? second & RD : 0)
  if (qdcount(query) === 0) return bare(query, echoed, RCODE.SERVFAIL)
  const nameEnd = skipPlainName(query, HEADER, query.length)
  if (nameEnd < 0 || nameEnd + 4 > query.length)
    return bare(query, QR | (second & 0x78), RCODE.FORMERR)
  const folded = foldedText(query, HEADER)
  if (folded !== zone.apex && !folded.endsWith(`.${zone.apex}`)) {
    return options.refuseOutside ? refused(query, nameEnd + 4, echoed) : 'outside'
  }
  const of = compatAnswer(nameText(query, HEADER), u16(query, nameEnd), zone, random)
  const fourth =
    (options.recursionAvailable ? RA : 0) | (isQuery ? u8(query, 3) & CD : 0) | of.rcode
  return fitted(
    (answers, additional, truncated) => {
      const third = echoed | AA | (truncated && options.setTruncateBit ? TC : 0)
      return written(query, nameEnd + 4, [third, fourth], of, answers, additional)
    },
    of.answer.length,
    transport === 'udp' ? UDP_LIMIT : TCP_LIMIT,
  )
}

/** Answers for one zone before anything else does, once the zone's data has arrived. */
export const compatBypass =
  (
    options: CompatOptions & { readonly apex: string },
    zones: { get(apex: string): (CompatZone & { readonly loaded: boolean }) | undefined },
  ) =>
  (query: Buffer, transport: 'udp' | 'tcp'): Buffer | 'outside' | undefined => {
    const zone = zones.get(options.apex)
    return zone?.loaded ? compatReply(query, transport, zone, options, Math.random) : 'outside'
  }
